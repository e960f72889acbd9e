"""Writes: one request, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from service.api.auth_throttle import Throttle
from service.api.drafts import Given, Scene, current
from service.api.hashing import Hashing
from service.api.messages import Message, MessagesError, error, invalid, reference_not_found
from service.api.planned import Planned
from service.api.planning import Made, Plan, plan, plan_action, plan_made
from service.api.ports import Passwords, Registry, Vault
from service.api.resource import Action, Entropy, Means, ResourceType
from service.api.transactions_labels import CLAIM, LabelTakenError
from service.api.types import TYPES, label_of
from streams.domain.ids import IdKeys, Mode, id_text
from streams.domain.registry import (
    NOT_WRITTEN,
    Applied,
    Dangling,
    NotUnique,
    Refused,
    Stale,
    TooLarge,
    judge,
    stored_as,
)
from streams.domain.registry_events import Transaction
from streams.domain.registry_state import RegistryState, StoredObject

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


class Order(NamedTuple):
    """One object that is to be written."""

    cause: Cause
    given: Given
    expect: Precondition
    new_id: str | None = None
    """Of an object that is to be made, where others of the same request refer to it already."""


class Written(NamedTuple):
    """One object as it is now stored, and what is shown of it this once."""

    stored: StoredObject
    shown_once: Mapping[str, str]
    before: StoredObject | None
    """None: it was made."""


class Making(NamedTuple):
    """What ids, secrets and hashes are made with, and what the deployment allows."""

    ids: IdKeys
    vault: Vault
    entropy: Entropy
    now_s: Callable[[], int]
    passwords: Passwords | None = None
    """None: none are taken."""
    guesses: Throttle | None = None
    """Slows down those who try whether a password is somebody's by giving it again."""
    allows_loopback: bool = False
    """Whether the deployment calls this machine, in plain HTTP."""


class Writes:
    """Plans transactions, has them judged, and plans again where somebody else was faster."""

    def __init__(self, registry: Registry, making: Making) -> None:
        """Take the registry, and what new things are made with."""
        self._registry, self._making = registry, making
        self._hashing = Hashing(making.passwords, making.guesses)

    async def write(self, cause: Cause, objects: Sequence[Given], expect: Precondition) -> list[Written]:
        """
        Create or update *objects*, all of them or none, and return them in the same order.

        An update that changes nothing is not written.

        Raises:
            MessagesError: Something is wrong with them; nothing was written.
            LogUnavailableError: They may or may not have been written.
        """
        return await self.write_all([Order(cause, given, expect) for given in objects])

    async def write_all(self, orders: Sequence[Order]) -> list[Written]:
        """
        Do the same with objects of several types and companies, which may refer to each other in whatever order.

        Raises:
            MessagesError: Something is wrong with them; nothing was written.
            LogUnavailableError: They may or may not have been written.
        """
        hashed = await self._hashed(orders)
        return await self._transact(
            [order.cause for order in hashed], lambda: self._plan(hashed, Planned(self._registry.state))
        )

    async def preview(self, orders: Sequence[Order]) -> tuple[list[Written], RegistryState]:
        """
        Return what `write_all` would, as far as is known here, and the registry as it would be; write nothing.

        Raises:
            MessagesError: Something is wrong with them.
        """
        hashed, state = await self._hashed(orders), Planned(self._registry.state)
        plans = self._plan(hashed, state)
        causes = [order.cause for order in orders]
        if transaction := self._transaction(causes, plans):
            reasons = judge(self._registry.state, transaction) or self._registry.too_large(transaction)
            if reasons:
                raise _refusal(transaction, reasons)
        now_ms = self._making.now_s() * 1000
        planned = [
            stored_as(one.write, one.before, cause.user, NOT_WRITTEN, now_ms)
            for one, cause in zip(plans, causes, strict=True)
            if one.write is not None
        ]
        return self._written(causes, plans, planned), state

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

        (written,) = await self._transact([cause], planned)
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

        (written,) = await self._transact([cause], planned)
        return written

    async def _transact(self, causes: Sequence[Cause], make_plans: Callable[[], Sequence[Plan]]) -> list[Written]:
        """Write what is planned; each cause is a plan's."""
        for _ in range(_ATTEMPTS):
            plans = make_plans()
            transaction = self._transaction(causes, plans)
            if transaction is None:
                return self._written(causes, plans, ())
            # What is refused here and now need not come to the log.
            reasons = judge(self._registry.state, transaction)
            verdict = Refused(reasons) if reasons else await self._registry.transact(transaction)
            match verdict:
                case Applied(applied):
                    return self._written(causes, plans, applied)
                case Refused(reasons) if not all(isinstance(reason, Stale) for reason in reasons):
                    raise _refusal(transaction, reasons)
        raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])

    async def _hashed(self, orders: Sequence[Order]) -> list[Order]:
        given = await self._hashing.hashed([(self._scene(order.cause), order.given) for order in orders])
        return [order._replace(given=one) for order, one in zip(orders, given, strict=True)]

    def _transaction(self, causes: Sequence[Cause], plans: Sequence[Plan]) -> Transaction | None:
        """Return what writes all that is planned, None where that is nothing."""
        writes = tuple(planned.write for planned in plans if planned.write is not None)
        if not writes:
            return None
        made_id = self._making.entropy(16).hex()
        return Transaction(id=made_id, user=causes[0].user, request=causes[0].request_id, objects=writes)

    def _plan(self, orders: Sequence[Order], state: Planned) -> list[Plan]:
        """Plan all, in the order in which types refer to each other, so that what is referred to is planned before."""
        plans: dict[int, Plan] = {}
        broken: dict[int, list[Message]] = {}
        for place in sorted(range(len(orders)), key=lambda place: _rank(orders[place].cause.resource)):
            cause, given, expect, new_id = orders[place]
            scene = self._scene(cause, state)
            expect(current(scene, given))
            plans[place], broken[place] = plan(
                scene, given, new_id or self.new_id(cause, given), has_label=new_id is not None
            )
            state.add(plans[place], scene)
        messages = [message for place in range(len(orders)) for message in broken[place]]
        if messages:
            is_news = any(message.code == "error.referenced.object.not.found" for message in messages)
            raise MessagesError(400, messages, may_be_news=is_news)
        for place, (cause, given, _, _) in enumerate(orders):
            messages += state.broken_by(plans[place], self._scene(cause, state), given)
        if messages:
            # Each is about other objects too, which another node may have just written.
            raise MessagesError(400, messages, may_be_news=True)
        return [plans[place] for place in range(len(orders))]

    def _scene(self, cause: Cause, state: RegistryState | None = None) -> Scene:
        making = self._making
        means = Means(making.entropy, making.now_s() * 1000, making.vault)
        judged_by = state or self._registry.state
        return Scene(cause.resource, judged_by, cause.company, cause.user, means, making.allows_loopback)

    def new_id(self, cause: Cause, given: Given) -> str:
        """Return the id of an object that is to be made: the one it is given, else a new one."""
        if given.id is not None:
            return given.id
        kind, making = cause.resource.minted, self._making
        if kind is None:
            return making.entropy(8).hex()
        owner = (cause.company or "").encode()
        return id_text(kind, making.ids.mint(kind, Mode.LIVE, owner, now_s=making.now_s(), entropy=making.entropy(7)))

    def _written(
        self, causes: Sequence[Cause], plans: Sequence[Plan], applied: Sequence[StoredObject]
    ) -> list[Written]:
        by_id = {(stored.type, stored.id): stored for stored in applied}
        written: list[Written] = []
        for cause, planned in zip(causes, plans, strict=True):
            type_name = cause.resource.name
            stored = by_id.get((type_name, planned.id)) or self._registry.state.find(type_name, planned.id)
            if stored is None:
                raise AssertionError(planned.id)
            before = stored if planned.write is None else planned.before
            written.append(Written(stored, planned.shown_once, before))
        return written


def _rank(resource: ResourceType) -> int:
    """Return the place of a type among all: each refers to those before it alone."""
    return TYPES.index(resource)


def _refusal(transaction: Transaction, reasons: Sequence[Stale | NotUnique | Dangling | TooLarge]) -> MessagesError:
    """Return the error for a transaction that was refused."""
    if any(isinstance(reason, NotUnique) and reason.field == CLAIM for reason in reasons):
        return LabelTakenError()
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
                field = _field_of(transaction, reason)
                messages.append(reference_not_found(label_of(reference.type), reference.id, field))
            case Stale():
                messages.append(
                    error("object.changed", "{{type}} {{id}} was changed", type=label_of(reason.type), id=reason.id)
                )
    return MessagesError(status, messages, may_be_news=status == 400)


def _field_of(transaction: Transaction, dangling: Dangling) -> str:
    """Return the field that a reference is of."""
    fields = next((resource.fields for resource in TYPES if resource.name == dangling.type), ())
    for write in transaction.objects:
        for field in fields if (write.type, write.id) == (dangling.type, dangling.id) else ():
            stored = write.fields.get(field.key)
            if stored is not None and dangling.reference in field.kind.references(stored, write.company):
                return field.name
    return "company"
