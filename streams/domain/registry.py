"""The registry's fold: judges each transaction at its place in the log, as a whole, and applies it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, assert_never

from streams.domain.registry_events import (
    AnyRegistryEvent,
    DeploymentDeclared,
    DeploymentMoved,
    ObjectWrite,
    Reference,
    Transaction,
    UniqueValue,
)
from streams.domain.registry_state import Deployment, RegistryState, StoredObject, may_be_referred_to


class Stale(NamedTuple):
    """The object is not, or no more, in the version that the transaction was made from."""

    type: str
    id: str


class NotUnique(NamedTuple):
    """Another object of the type has this value."""

    type: str
    id: str
    field: str
    value: str


class Dangling(NamedTuple):
    """The object refers to one that is absent, HIDDEN or another company's."""

    type: str
    id: str
    reference: Reference


class TooLarge(NamedTuple):
    """The transaction is larger than one record may be. It never comes to the log."""

    size_bytes: int


Refusal = Stale | NotUnique | Dangling | TooLarge


class Declared(NamedTuple):
    """What holds for the deployment, from now on or since long."""

    deployment: Deployment


class Applied(NamedTuple):
    """All objects were written; here they are, in the order of the transaction."""

    objects: tuple[StoredObject, ...]


class Refused(NamedTuple):
    """Nothing was written, for all these reasons."""

    reasons: tuple[Refusal, ...]


Verdict = Declared | Applied | Refused

_Key = tuple[str, str]


def fold(state: RegistryState, event: AnyRegistryEvent, offset: int, time_ms: int) -> Verdict:
    """Fold *event*, which stands at *offset* since *time_ms*, into *state* and return what became of it."""
    match event:
        case DeploymentDeclared():
            if state.deployment is None:
                state.deployment = Deployment(event.fingerprint, event.partitions)
            return Declared(state.deployment)
        case DeploymentMoved():
            if state.deployment is None:
                return Refused(())
            state.deployment = moved(state.deployment, event)
            return Declared(state.deployment)
        case Transaction():
            reasons = judge(state, event)
            if reasons:
                return Refused(reasons)
            applied = tuple(
                stored_as(write, state.find(write.type, write.id), event.user, offset, time_ms)
                for write in event.objects
            )
            for stored, write in zip(applied, event.objects, strict=True):
                state.put(stored, keeps_past=write.keeps_past)
            state.revision = offset + 1
            return Applied(applied)
        case _:
            assert_never(event)


def moved(deployment: Deployment, event: DeploymentMoved) -> Deployment:
    """Return the deployment as it goes on in another log; once, however often the event is there."""
    if event.log in deployment.earlier_logs:
        return deployment
    return Deployment(deployment.fingerprint, event.partitions, (*deployment.earlier_logs, event.log))


def judge(state: RegistryState, transaction: Transaction) -> tuple[Refusal, ...]:
    """Return everything that keeps *transaction* from being applied to *state*; changes nothing."""
    written: dict[_Key, ObjectWrite] = {}
    reasons: list[Refusal] = []
    for write in transaction.objects:
        if (write.type, write.id) in written or not _is_current(state, write):
            reasons.append(Stale(write.type, write.id))
        written.setdefault((write.type, write.id), write)
    reasons += _not_unique(state, written)
    for write in written.values():
        reasons += _dangling(state, written, write)
    return tuple(reasons)


def _is_current(state: RegistryState, write: ObjectWrite) -> bool:
    before = state.find(write.type, write.id)
    if before is None:
        return write.version == 0
    return before.version == write.version and before.company == write.company


def _not_unique(state: RegistryState, written: Mapping[_Key, ObjectWrite]) -> Iterator[NotUnique]:
    claimed: dict[tuple[str, UniqueValue], str] = {}
    for write in written.values():
        for unique in write.unique:
            claimant = claimed.setdefault((write.type, unique), write.id)
            holder = state.holder(write.type, unique)
            # What its holder gives up in the same transaction may be taken; where it does not, both have claimed it.
            is_held = holder is not None and holder.id != write.id and (write.type, holder.id) not in written
            if claimant != write.id or is_held:
                yield NotUnique(write.type, write.id, unique.field, unique.value)


def _dangling(state: RegistryState, written: Mapping[_Key, ObjectWrite], write: ObjectWrite) -> Iterator[Dangling]:
    for reference in write.references:
        target = written.get((reference.type, reference.id)) or state.find(reference.type, reference.id)
        if target is None or not may_be_referred_to(target, reference):
            yield Dangling(write.type, write.id, reference)


NOT_WRITTEN = 0
"""The offset of what is not in the log, only planned."""


def stored_as(write: ObjectWrite, before: StoredObject | None, user: str, offset: int, time_ms: int) -> StoredObject:
    """Return the object that *write* makes of the one *before*, which is None where there was none."""
    return StoredObject(
        type=write.type,
        id=write.id,
        version=write.version + 1,
        offset=offset,
        company=write.company,
        partners=write.partners,
        name=write.name,
        state=write.state,
        fields=write.fields,
        unique=write.unique,
        created_ms=time_ms if before is None else before.created_ms,
        created_by=user if before is None else before.created_by,
        updated_ms=time_ms,
        updated_by=user,
    )
