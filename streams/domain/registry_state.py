"""What the registry's events fold into: every object, by type and id, with the indexes that readers need."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from streams.domain.registry_events import DeploymentDeclared, ObjectState, ObjectWrite, Reference, UniqueValue


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of the registry as it is now. Its fields are never changed in place."""

    type: str
    id: str
    version: int
    """1 for the first; each write that was applied is one more."""
    offset: int
    """Of the transaction that wrote this version."""
    company: str | None
    partners: tuple[str, ...]
    name: str
    state: ObjectState
    fields: Mapping[str, Any]
    unique: tuple[UniqueValue, ...]
    created_ms: int
    created_by: str
    updated_ms: int
    updated_by: str

    def is_seen_by(self, company: str | None) -> bool:
        """Say whether it is seen in a company's context; None is the deployment's."""
        return self.company == company or company in self.partners


_Scope = tuple[str, str | None]
_NO_OBJECTS: Mapping[str, StoredObject] = {}


class RegistryState:
    """All objects, in memory. Only the fold changes them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.deployment: DeploymentDeclared | None = None
        self.revision = 0
        """Changes with every transaction that is applied: one more than its offset."""
        self.count = 0
        """Objects of all types."""
        self._by_type: dict[str, dict[str, StoredObject]] = {}
        self._by_company: dict[_Scope, dict[str, StoredObject]] = {}
        self._holders: dict[tuple[str, UniqueValue], str] = {}
        self._ordered: dict[_Scope, Sequence[StoredObject]] = {}
        # Most objects are written once, so this holds the offsets of versions before the last alone.
        self._earlier: dict[tuple[str, str], array[int]] = {}

    def find(self, type_name: str, object_id: str) -> StoredObject | None:
        """Return an object, also a HIDDEN one; None where there is none."""
        return self._by_type.get(type_name, _NO_OBJECTS).get(object_id)

    def holder(self, type_name: str, unique: UniqueValue) -> StoredObject | None:
        """Return the object of a type that has a unique value."""
        object_id = self._holders.get((type_name, unique))
        return None if object_id is None else self.find(type_name, object_id)

    def resolve(self, reference: Reference) -> StoredObject | None:
        """Return what *reference* names, None where it is absent, HIDDEN or another company's."""
        target = self.find(reference.type, reference.id)
        return target if target is not None and may_be_referred_to(target, reference) else None

    def ordered(self, type_name: str, company: str | None) -> Sequence[StoredObject]:
        """Return the objects of a type, HIDDEN ones too, by name, then id; all, or those that one company sees."""
        known = self._ordered.get((type_name, company))
        if known is None:
            objects = (
                self._by_type.get(type_name, _NO_OBJECTS)
                if company is None
                else self._by_company.get((type_name, company), _NO_OBJECTS)
            )
            known = self._ordered[type_name, company] = sorted(objects.values(), key=_place)
        return known

    def put(self, stored: StoredObject) -> None:
        """Take an object in the place of the one with its type and id. For the fold alone."""
        before = self.find(stored.type, stored.id)
        if before is None:
            self.count += 1
        else:
            self._forget(before)
        for unique in stored.unique:
            self._holders[stored.type, unique] = stored.id
        self._by_type.setdefault(stored.type, {})[stored.id] = stored
        self._ordered.pop((stored.type, None), None)
        for company in _companies(stored):
            self._by_company.setdefault((stored.type, company), {})[stored.id] = stored
            self._ordered.pop((stored.type, company), None)

    def offsets(self, stored: StoredObject, first: int, last: int) -> Sequence[int]:
        """Return where the versions *first* to *last* of an object, given as it is now, were written."""
        earlier = self._earlier.get((stored.type, stored.id), ())[first - 1 : last]
        return [*earlier, stored.offset] if last >= stored.version else list(earlier)

    def _forget(self, before: StoredObject) -> None:
        """Take an object that is replaced out of the indexes, and keep where it was written."""
        for unique in before.unique:
            if self._holders.get((before.type, unique)) == before.id:
                del self._holders[before.type, unique]
        for company in _companies(before):
            del self._by_company[before.type, company][before.id]
            self._ordered.pop((before.type, company), None)
        self._earlier.setdefault((before.type, before.id), array("q")).append(before.offset)


def may_be_referred_to(target: StoredObject | ObjectWrite, reference: Reference) -> bool:
    """Say whether *target* is what *reference* asks for: not HIDDEN, and of or shared with the company it names."""
    is_of_it = reference.company in (None, target.company) or reference.company in target.partners
    return target.state != "HIDDEN" and is_of_it


def _companies(stored: StoredObject) -> Collection[str]:
    own = () if stored.company is None else (stored.company,)
    return {*own, *stored.partners}


def _place(stored: StoredObject) -> tuple[str, str]:
    return stored.name, stored.id
