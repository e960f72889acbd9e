"""Objects of several types, written together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from service.api.auth import check_role
from service.api.auth_objects import Guard
from service.api.calls import MAX_OBJECTS, Call, allowed_company, expected
from service.api.drafts import Given
from service.api.history import changes
from service.api.kinds import API, Json
from service.api.messages import MessagesError, error, invalid
from service.api.params import read_context, read_flag
from service.api.planning import checked_id
from service.api.ports import Registry
from service.api.resource import ResourceType
from service.api.shown import show, show_warnings
from service.api.transactions_labels import LabelTakenError, is_label, with_ids, with_labels
from service.api.types import TYPES
from service.api.writing import Cause, Order, Writes, Written
from service.http.calls import Answer
from service.http.json_body import JsonReader
from service.http.problems import MalformedJsonError
from streams.domain.registry_state import RegistryState

PATH = f"{API}/transactions"
TRANSACTIONS = ResourceType(
    name="transactions",
    label="Transaction",
    says="Objects of several types, written together.",
    in_company=False,
    fields=(),
)
"""No type of objects: what its path is answered by, beside those of the types."""
_TYPES = {resource.name: resource for resource in TYPES}
_ATTEMPTS = 3
"""Against others who make what labels stand for: each attempt that fails finds one more that is there."""
_UNMADE = "(new)"
"""In warnings, what stands for the id of an object that has neither one yet nor a label."""


class Asked(NamedTuple):
    """One object of a request."""

    cause: Cause
    given: Given
    label: str | None
    """What stands for its id in this request, where the service makes it."""


class Transactions:
    """Answers requests that write objects of several types."""

    def __init__(self, registry: Registry, writes: Writes) -> None:
        """Take the registry, and what writes to it."""
        self._registry, self._writes = registry, writes
        self._json = JsonReader()

    async def write(self, call: Call, body: bytes) -> Answer:
        """Create or update each object, all of them or none; or say what would become of them."""
        is_dry = read_flag(call.request.query, "dryRun")
        asked = self._asked(call, self._json.read_any(body))
        for _ in range(_ATTEMPTS):
            with suppress(LabelTakenError):
                return await self._write(call, asked, is_dry=is_dry)
        raise LabelTakenError

    async def _write(self, call: Call, asked: Sequence[Asked], *, is_dry: bool) -> Answer:
        known = await self._surely_known(asked)
        made = {
            one.label: self._writes.new_id(one.cause, one.given)
            for one in asked
            if one.label is not None and one.label not in known
        }
        orders = self._orders(call, asked, known, made)
        if is_dry:
            labels = {object_id: label for label, object_id in made.items()}
            previewed, planned = await self._writes.preview(orders)
            results = [_previewed(one, done, labels, planned) for one, done in zip(asked, previewed, strict=True)]
        else:
            results = [
                self._written(done, order)
                for done, order in zip(await self._writes.write_all(orders), orders, strict=True)
            ]
        return Answer(200, {}, msgspec.json.encode({"results": results}))

    def _asked(self, call: Call, body: object) -> list[Asked]:
        objects = [body] if isinstance(body, dict) else body
        if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
            raise MalformedJsonError("The body must be a JSON object or a list of objects.")
        if len(objects) > MAX_OBJECTS:
            text = "A request may have at most {{most}} objects"
            raise MessagesError(413, [error("body.too.large", text, most=str(MAX_OBJECTS))])
        made_here = {str(one.get("id")) for one in objects if one.get("type") == "companies"}
        usual = read_context(call.request.query) if "context" in call.request.query else None
        return [self._one(call, number, one, made_here, usual) for number, one in enumerate(objects)]

    def _one(
        self, call: Call, number: int, fields: Mapping[str, Any], made_here: Collection[str], usual: str | None
    ) -> Asked:
        resource = _type_of(fields.get("type"), number)
        company = self._company(call, resource, fields, number, made_here, usual)
        check_role(call.caller, resource.name, company, writes=True)
        cause = Cause(resource, company, call.caller.user, call.request_id)
        own = {name: value for name, value in fields.items() if name not in ("type", "context")}
        if "id" not in own:
            return Asked(cause, Given(None, own, number), None)
        label = own["id"]
        if resource.minted is None or not is_label(label):
            return Asked(cause, Given(checked_id(label), own, number), None)
        del own["id"]
        return Asked(cause, Given(None, own, number), str(label))

    def _company(
        self,
        call: Call,
        resource: ResourceType,
        fields: Mapping[str, Any],
        number: int,
        made_here: Collection[str],
        usual: str | None,
    ) -> str | None:
        """Return the company in whose context an object is written, None where its type has none."""
        if "context" in fields:
            checked_id(fields["context"])
        if not resource.in_company:
            return None
        own = fields.get("company")
        given = fields.get("context", own.get("id") if isinstance(own, dict) else own)
        if given is None:
            given = usual
        if given is None:
            text = "An object of the type {{type}} must say its context: the id of the company that it is about"
            raise MessagesError(400, [invalid("context.required", text, type=resource.name, index=str(number))])
        company = checked_id(given)
        if call.caller.is_super and company in made_here:
            return company
        return allowed_company(company, call.caller, self._registry.state)

    async def _surely_known(self, asked: Sequence[Asked]) -> dict[str, str]:
        """Return the ids of labelled objects that are there, also where another node has just written them."""
        known = self._known(asked)
        if all(one.label is None or one.label in known for one in asked):
            return known
        await self._registry.catch_up()
        return self._known(asked)

    def _known(self, asked: Sequence[Asked]) -> dict[str, str]:
        """Return the ids of labelled objects that are there: the ones that have their names."""
        named: dict[tuple[str, str | None], dict[str, list[str]]] = {}
        known: dict[str, str] = {}
        for cause, given, label in _labelled(asked):
            name = given.fields.get("name")
            if not isinstance(name, str):
                continue
            scope = (cause.resource.name, cause.company)
            if scope not in named:
                named[scope] = self._by_name(*scope)
            found = named[scope].get(name, [])
            if len(found) > 1:
                text = "There are {{count}} of the type {{type}} named {{name}}: give the id of one"
                params = {"type": cause.resource.label, "name": name, "index": str(given.number)}
                raise MessagesError(409, [invalid("label.ambiguous", text, count=str(len(found)), **params)])
            if found:
                known[label] = found[0]
        return known

    def _by_name(self, type_name: str, company: str | None) -> dict[str, list[str]]:
        ids: dict[str, list[str]] = {}
        for stored in self._registry.state.ordered(type_name, company):
            if stored.state != "HIDDEN":
                ids.setdefault(stored.name, []).append(stored.id)
        return ids

    def _orders(
        self, call: Call, asked: Sequence[Asked], known: Mapping[str, str], made: Mapping[str, str]
    ) -> list[Order]:
        ids = {**known, **made}
        given = [with_ids(one.given, one.cause.resource, ids) for one in asked]
        given = [
            one if label is None else one._replace(id=known.get(label))
            for one, (_, _, label) in zip(given, asked, strict=True)
        ]
        expect = expected(call.request, is_list=True)
        guarded = {
            name: Guard(call.caller, resource, self._registry.state).over(
                [one for one, (cause, _, _) in zip(given, asked, strict=True) if cause.resource is resource], expect
            )
            for name, resource in _TYPES.items()
        }
        _refuse_repeated(given, asked)
        return [
            Order(cause, one, guarded[cause.resource.name], None if label is None else made.get(label))
            for one, (cause, _, label) in zip(given, asked, strict=True)
        ]

    def _written(self, done: Written, order: Order) -> Json:
        resource = order.cause.resource
        return {
            **_outcome(resource, done),
            "object": show(resource, done.stored, self._registry.state, done.shown_once),
        }


def _previewed(one: Asked, done: Written, labels: Mapping[str, str], planned: RegistryState) -> Json:
    """Return what would become of an object; an id that is not made yet is its label, or none."""
    resource = one.cause.resource
    warnings = msgspec.to_builtins(show_warnings(resource, done.stored, planned))
    if done.before is None and one.given.id is None and one.label is None:
        labels = {**labels, done.stored.id: _UNMADE}
    outcome: Json = with_labels({**_outcome(resource, done), **warnings}, labels)
    return {**outcome, "id": None} if outcome["id"] == _UNMADE else outcome


def _outcome(resource: ResourceType, done: Written) -> Json:
    set_by_service = {field.name for field in resource.fields if field.read_only}
    changed = {} if done.before is done.stored else changes(resource, done.before, done.stored)
    return {
        "type": resource.name,
        "id": done.stored.id,
        "action": "CREATED" if done.before is None else "UPDATED" if changed else "UNCHANGED",
        "changes": {name: change for name, change in changed.items() if name not in set_by_service},
    }


def _type_of(name: object, number: int) -> ResourceType:
    resource = _TYPES.get(name) if isinstance(name, str) else None
    if resource is None:
        text = "{{field}} must be the type of the object, as apps or clients"
        raise MessagesError(400, [invalid("type.unknown", text, field="type", index=str(number))])
    return resource


def _labelled(asked: Sequence[Asked]) -> Iterator[tuple[Cause, Given, str]]:
    """Yield the objects that have labels; refuse those that could not be told apart when they are given again."""
    seen: set[object] = set()
    for cause, given, label in asked:
        if label is None:
            continue
        name = given.fields.get("name")
        scoped: object = (cause.resource.name, cause.company, name) if isinstance(name, str) else label
        if label in seen or scoped in seen:
            raise _repeated(label, given)
        seen.update((label, scoped))
        yield cause, given, label


def _refuse_repeated(given: Sequence[Given], asked: Sequence[Asked]) -> None:
    seen: set[tuple[str, str]] = set()
    for one, (cause, _, _) in zip(given, asked, strict=True):
        if one.id is None:
            continue
        if (cause.resource.name, one.id) in seen:
            raise _repeated(one.id, one)
        seen.add((cause.resource.name, one.id))


def _repeated(object_id: str, given: Given) -> MessagesError:
    text = "The object {{id}} is given twice"
    return MessagesError(400, [invalid("id.repeated", text, id=object_id, index=str(given.number))])
