"""Writes: one request, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from service.api.messages import Message, MessagesError, error, invalid, reference_not_found
from service.api.planning import Given, Plan, Scene, current, plan
from service.api.ports import Registry
from service.api.resource import Entropy, ResourceType
from service.api.types import label_of
from streams.domain.ids import IdKeys, Mode, id_text
from streams.domain.registry import Applied, Dangling, NotUnique, Refused, Stale, TooLarge, judge
from streams.domain.registry_events import Transaction
from streams.domain.registry_state import StoredObject

Precondition = Callable[[StoredObject | None], None]
"""Raises `MessagesError` where the object as it is, or None, is not what the request expects."""

_ATTEMPTS = 20
"""Against others who write the same object at the same time: each attempt that fails is another's that was applied."""


class Cause(NamedTuple):
    """Who asks for a write, where, and in which request."""

    resource: ResourceType
    company: str | None
    user: str
    request_id: str


class Written(NamedTuple):
    """One object as it is now stored, and what is shown of it this once."""

    stored: StoredObject
    shown_once: Mapping[str, str]


class Writes:
    """Plans transactions, has them judged, and plans again where somebody else was faster."""

    def __init__(self, registry: Registry, ids: IdKeys, entropy: Entropy, now_s: Callable[[], int]) -> None:
        """Take the registry, and what ids are made of."""
        self._registry, self._ids, self._entropy, self._now_s = registry, ids, entropy, now_s

    async def write(self, cause: Cause, objects: Sequence[Given], expect: Precondition) -> list[Written]:
        """
        Create or update *objects*, all of them or none, and return them in the same order.

        An update that changes nothing is not written.

        Raises:
            MessagesError: Something is wrong with them; nothing was written.
            LogUnavailableError: They may or may not have been written.
        """
        for _ in range(_ATTEMPTS):
            plans = self._plan(cause, objects, expect)
            writes = tuple(planned.write for planned in plans if planned.write is not None)
            if not writes:
                return self._written(cause, plans, ())
            transaction = Transaction(
                id=self._entropy(16).hex(), user=cause.user, request=cause.request_id, objects=writes
            )
            # What is refused here and now need not come to the log.
            reasons = judge(self._registry.state, transaction)
            verdict = Refused(reasons) if reasons else await self._registry.transact(transaction)
            match verdict:
                case Applied(applied):
                    return self._written(cause, plans, applied)
                case Refused(reasons) if not all(isinstance(reason, Stale) for reason in reasons):
                    raise _refusal(reasons)
        raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])

    def _plan(self, cause: Cause, objects: Sequence[Given], expect: Precondition) -> list[Plan]:
        plans: list[Plan] = []
        broken: list[Message] = []
        for given in objects:
            scene = Scene(
                cause.resource, self._registry.state, cause.company, self._entropy, self._new_id(cause, given)
            )
            expect(current(scene, given))
            planned, messages = plan(scene, given)
            plans.append(planned)
            broken += messages
        if broken:
            is_news = any(message.code == "error.referenced.object.not.found" for message in broken)
            raise MessagesError(400, broken, may_be_news=is_news)
        return plans

    def _new_id(self, cause: Cause, given: Given) -> str:
        if given.id is not None:
            return given.id
        kind = cause.resource.minted
        if kind is None:
            return self._entropy(8).hex()
        owner = (cause.company or "").encode()
        return id_text(kind, self._ids.mint(kind, Mode.LIVE, owner, now_s=self._now_s(), entropy=self._entropy(7)))

    def _written(self, cause: Cause, plans: Sequence[Plan], applied: Sequence[StoredObject]) -> list[Written]:
        by_id = {stored.id: stored for stored in applied}
        written: list[Written] = []
        for planned in plans:
            stored = by_id.get(planned.id) or self._registry.state.find(cause.resource.name, planned.id)
            if stored is None:
                raise AssertionError(planned.id)
            written.append(Written(stored, planned.shown_once))
        return written


def _refusal(reasons: Sequence[Stale | NotUnique | Dangling | TooLarge]) -> MessagesError:
    """Return the error for a transaction that was refused."""
    messages: list[Message] = []
    status = 400
    for reason in reasons:
        match reason:
            case TooLarge(size_bytes):
                status = 413
                text = "The objects are too large to be stored together: {{size}} bytes"
                messages.append(error("body.too.large", text, size=str(size_bytes)))
            case NotUnique():
                status = 409
                text = "Another {{type}} has this {{field}}"
                messages.append(
                    invalid("duplicate", text, type=label_of(reason.type), field=reason.field, id=reason.id)
                )
            case Dangling(reference=reference):
                messages.append(reference_not_found(label_of(reference.type), reference.id))
            case Stale():
                messages.append(
                    error("object.changed", "{{type}} {{id}} was changed", type=label_of(reason.type), id=reason.id)
                )
    return MessagesError(status, messages, may_be_news=status == 400)
