"""Writes: one request, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from service.api.drafts import Given, Scene, current
from service.api.hashing import with_hashes
from service.api.messages import Message, MessagesError, error, invalid, reference_not_found
from service.api.planning import Made, Plan, plan, plan_action, plan_made
from service.api.ports import Passwords, Registry, Vault
from service.api.resource import Action, Entropy, Means, ResourceType
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


class Making(NamedTuple):
    """What ids, secrets and hashes are made with, and what the deployment allows."""

    ids: IdKeys
    vault: Vault
    entropy: Entropy
    now_s: Callable[[], int]
    passwords: Passwords | None = None
    """None: none are taken."""
    allows_loopback: bool = False
    """Whether the deployment calls this machine, in plain HTTP."""


class Writes:
    """Plans transactions, has them judged, and plans again where somebody else was faster."""

    def __init__(self, registry: Registry, making: Making) -> None:
        """Take the registry, and what new things are made with."""
        self._registry, self._making = registry, making

    async def write(self, cause: Cause, objects: Sequence[Given], expect: Precondition) -> list[Written]:
        """
        Create or update *objects*, all of them or none, and return them in the same order.

        An update that changes nothing is not written.

        Raises:
            MessagesError: Something is wrong with them; nothing was written.
            LogUnavailableError: They may or may not have been written.
        """
        hashed = await with_hashes(self._scene(cause), objects, self._making.passwords)
        return await self._transact(cause, lambda: self._plan(cause, hashed, expect))

    async def act(self, cause: Cause, action: Action, given: Given, expect: Precondition) -> Written:
        """
        Do something to the object that *given* names, and return it as it is then.

        Raises:
            MessagesError: That cannot be done; nothing was written.
            LogUnavailableError: It may or may not have been written.
        """

        def planned() -> list[Plan]:
            plan, before = plan_action(self._scene(cause), action, given)
            expect(before)
            return [plan]

        (written,) = await self._transact(cause, planned)
        return written

    async def put(self, cause: Cause, made: Made, expect: Precondition) -> Written:
        """
        Create or update an object as the service itself made it, and return it as it is then.

        Raises:
            MessagesError: It cannot be written; nothing was.
            LogUnavailableError: It may or may not have been written.
        """

        def planned() -> list[Plan]:
            plan, before = plan_made(self._scene(cause), made)
            expect(before)
            return [plan]

        (written,) = await self._transact(cause, planned)
        return written

    async def _transact(self, cause: Cause, make_plans: Callable[[], Sequence[Plan]]) -> list[Written]:
        for _ in range(_ATTEMPTS):
            plans = make_plans()
            writes = tuple(planned.write for planned in plans if planned.write is not None)
            if not writes:
                return self._written(cause, plans, ())
            transaction = Transaction(
                id=self._making.entropy(16).hex(), user=cause.user, request=cause.request_id, objects=writes
            )
            # What is refused here and now need not come to the log.
            reasons = judge(self._registry.state, transaction)
            verdict = Refused(reasons) if reasons else await self._registry.transact(transaction)
            match verdict:
                case Applied(applied):
                    return self._written(cause, plans, applied)
                case Refused(reasons) if not all(isinstance(reason, Stale) for reason in reasons):
                    raise _refusal(cause.resource, transaction, reasons)
        raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])

    def _plan(self, cause: Cause, objects: Sequence[Given], expect: Precondition) -> list[Plan]:
        plans: list[Plan] = []
        broken: list[Message] = []
        scene = self._scene(cause)
        for given in objects:
            expect(current(scene, given))
            planned, messages = plan(scene, given, self._new_id(cause, given))
            plans.append(planned)
            broken += messages
        if broken:
            is_news = any(message.code == "error.referenced.object.not.found" for message in broken)
            raise MessagesError(400, broken, may_be_news=is_news)
        return plans

    def _scene(self, cause: Cause) -> Scene:
        making = self._making
        means = Means(making.entropy, making.now_s() * 1000, making.vault)
        return Scene(cause.resource, self._registry.state, cause.company, cause.user, means, making.allows_loopback)

    def _new_id(self, cause: Cause, given: Given) -> str:
        if given.id is not None:
            return given.id
        kind, making = cause.resource.minted, self._making
        if kind is None:
            return making.entropy(8).hex()
        owner = (cause.company or "").encode()
        return id_text(kind, making.ids.mint(kind, Mode.LIVE, owner, now_s=making.now_s(), entropy=making.entropy(7)))

    def _written(self, cause: Cause, plans: Sequence[Plan], applied: Sequence[StoredObject]) -> list[Written]:
        by_id = {stored.id: stored for stored in applied}
        written: list[Written] = []
        for planned in plans:
            stored = by_id.get(planned.id) or self._registry.state.find(cause.resource.name, planned.id)
            if stored is None:
                raise AssertionError(planned.id)
            written.append(Written(stored, planned.shown_once))
        return written


def _refusal(
    resource: ResourceType, transaction: Transaction, reasons: Sequence[Stale | NotUnique | Dangling | TooLarge]
) -> MessagesError:
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
                field = _field_of(resource, transaction, reason)
                messages.append(reference_not_found(label_of(reference.type), reference.id, field))
            case Stale():
                messages.append(
                    error("object.changed", "{{type}} {{id}} was changed", type=label_of(reason.type), id=reason.id)
                )
    return MessagesError(status, messages, may_be_news=status == 400)


def _field_of(resource: ResourceType, transaction: Transaction, dangling: Dangling) -> str:
    """Return the field that a reference is of."""
    for write in transaction.objects:
        for field in resource.fields if write.id == dangling.id else ():
            stored = write.fields.get(field.key)
            if stored is not None and dangling.reference in field.kind.references(stored, write.company):
                return field.name
    return "company"
