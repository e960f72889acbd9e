"""From what a request says of an object to what is to be written of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from service.api.drafts import Draft, Given, Scene, current
from service.api.kinds import OBJECT_ID, BrokenValueError
from service.api.messages import Message, MessagesError, error, invalid, not_found
from service.api.resource import NO_NAME, STATES, Action, Field
from service.api.shown import ENVELOPE, show_now
from service.api.transactions_labels import CLAIM, claim
from streams.domain.registry_events import ObjectWrite, Reference, UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject

_MAX_NAME_CHARS = 64
"""Of an unknown field's name, as many characters are told back."""


class Plan(NamedTuple):
    """What is to become of one object."""

    id: str
    write: ObjectWrite | None
    """None: it is already as it is to be."""
    shown_once: Mapping[str, str]
    before: StoredObject | None
    """None: it is to be made."""


class Made(NamedTuple):
    """An object as the service itself makes it."""

    id: str
    name: str
    """Of a new one; whoever changed it since is left with that."""
    fields: dict[str, Any]


def plan(scene: Scene, given: Given, new_id: str, *, has_label: bool = False) -> tuple[Plan, list[Message]]:
    """
    Return what is to become of an object, and everything that is wrong with it.

    Args:
        scene: Where it is planned.
        given: What the request says of it.
        new_id: For an object that has none yet.
        has_label: Whether it is made as none of its name is there.

    Raises:
        MessagesError: It is not there, or not the caller's to change.
    """
    before = current(scene, given)
    draft = Draft(scene, given, before, scene.company if before is None else before.company, has_label=has_label)
    if before is not None:
        draft.name, draft.state, draft.fields = before.name, before.state, dict(before.fields)
    _read_common(draft)
    for declared in scene.resource.fields:
        _read_field(draft, declared)
    _refuse_unknown(draft)
    return _planned(draft, new_id), draft.broken


def plan_action(scene: Scene, action: Action, given: Given) -> tuple[Plan, StoredObject]:
    """
    Return what is to become of an object that something is done to, and the object as it is.

    Raises:
        MessagesError: It is not there, the request's body is broken, or that cannot be done.
    """
    before = current(scene, given)
    if before is None or before.company != scene.company:
        raise MessagesError(404, [not_found(scene.resource.label, given.id or "")], may_be_news=before is None)
    draft = Draft(scene, given, None, before.company)
    for declared in action.fields:
        _read_field(draft, declared)
    _refuse_others(draft, {declared.name for declared in action.fields})
    if draft.broken:
        raise MessagesError(400, draft.broken)
    values = {declared.name: draft.fields.get(declared.key, declared.empty) for declared in action.fields}
    issued = action.run(before, values, scene.means)
    after = Draft(scene, given, before, before.company, before.name, before.state, {**before.fields, **issued.fields})
    return Plan(before.id, _write(after, before.id, before.partners), issued.shown_once, before), before


def plan_made(scene: Scene, made: Made) -> tuple[Plan, StoredObject | None]:
    """
    Return what is to become of an object that the service itself makes, and the object as it is.

    Raises:
        MessagesError: It is another company's.
    """
    before = scene.state.find(scene.resource.name, made.id)
    if before is None:
        draft = Draft(scene, Given(made.id, {}, None), None, scene.company, made.name, fields=made.fields)
    elif before.company != scene.company:
        raise MessagesError(404, [not_found(scene.resource.label, made.id)])
    elif before.fields == made.fields:
        return Plan(made.id, None, {}, before), before
    else:
        draft = Draft(
            scene, Given(made.id, {}, None), before, scene.company, before.name, before.state, fields=made.fields
        )
    return Plan(made.id, _write(draft, made.id, ()), {}, before), before


def checked_id(value: object) -> str:
    """Return *value* as an object's id; raise `MessagesError` (400) where it is none."""
    if not isinstance(value, str) or not OBJECT_ID.fullmatch(value):
        text = "{{id}} is no id: 1 to 64 letters, digits, dots, underscores and dashes"
        raise MessagesError(400, [invalid("id.invalid", text, id=str(value)[:_MAX_NAME_CHARS])])
    return value


def _read_common(draft: Draft) -> None:
    given, resource = draft.given.fields, draft.scene.resource
    if "name" in given:
        kind = resource.name_kind if resource.name_required else NO_NAME
        draft.name = str(draft.read("name", kind, given["name"], draft.name))
    elif draft.before is None and resource.name_required:
        draft.fault("name", _required())
    if "objectState" in given:
        read = draft.read("objectState", STATES, given["objectState"], draft.state)
        draft.state = next(state for state in ("ACTIVE", "INACTIVE", "HIDDEN") if state == read)
    if "company" in given and resource.in_company:
        company = given["company"]
        if (company.get("id") if isinstance(company, dict) else company) != draft.company:
            draft.fault("company", BrokenValueError("field.immutable", "{{field}} must be the object's own"))


def _read_field(draft: Draft, declared: Field) -> None:
    name = declared.name
    value = draft.given.fields.get(name)
    if name not in draft.given.fields:
        if declared.from_caller and draft.before is None and _is_user(draft.scene):
            value = draft.scene.caller
        else:
            if declared.required and draft.before is None:
                draft.fault(name, _required())
            return
    if declared.read_only:
        if draft.before is None or not _is_as_shown(declared, value, draft.before, draft.scene.state):
            draft.fault(name, BrokenValueError("field.read.only", "{{field}} is set by the service"))
        return
    before = draft.fields.get(declared.key)
    if value is not None:
        read = draft.read(name, declared.kind, value, before)
    elif declared.required or declared.empty is not None:
        draft.fault(name, BrokenValueError("field.null", "{{field}} must not be null"))
        return
    else:
        read = None
    if declared.immutable and draft.before is not None and read != before:
        draft.fault(name, BrokenValueError("field.immutable", "{{field}} cannot be changed"))
    _put(draft.fields, declared, read)


def _is_as_shown(declared: Field, value: object, before: StoredObject, state: RegistryState) -> bool:
    """Say whether a value is what readers see, but for what changes by itself."""
    return _settled(declared, value) == _settled(declared, show_now(declared, before, state))


def _settled(declared: Field, value: object) -> object:
    if not declared.drifts or not isinstance(value, list):
        return value
    return [{**one, declared.drifts: None} if isinstance(one, dict) else one for one in value]


def _put(fields: dict[str, Any], declared: Field, read: object) -> None:
    """Store a value; one like that of a field that was never set is not stored, so that both are the same."""
    empty = list(declared.empty) if isinstance(declared.empty, tuple) else declared.empty
    if read is None or read == empty:
        fields.pop(declared.key, None)
    else:
        fields[declared.key] = read


def _is_user(scene: Scene) -> bool:
    """Say whether the caller is a user of the registry; the super user is not."""
    return scene.state.find("users", scene.caller) is not None


def _refuse_unknown(draft: Draft) -> None:
    resource = draft.scene.resource
    known = {"id", "name", "objectState", *ENVELOPE, *(declared.name for declared in resource.fields)}
    if resource.in_company:
        known.add("company")
    for name in draft.given.fields:
        if name in resource.shown_once and name not in known:
            known.add(name)
            draft.fault(name, BrokenValueError("field.read.only", "{{field}} is made by the service"))
    _refuse_others(draft, known)


def _refuse_others(draft: Draft, known: Collection[str]) -> None:
    for name in draft.given.fields:
        if name not in known:
            draft.fault(name[:_MAX_NAME_CHARS], BrokenValueError("field.unknown", "There is no field {{field}}"))


def _required() -> BrokenValueError:
    return BrokenValueError("field.required", "{{field}} is required")


def _planned(draft: Draft, new_id: str) -> Plan:
    scene, before = draft.scene, draft.before
    object_id = before.id if before is not None else draft.given.id or new_id
    shared_with = frozenset(scene.resource.partners(draft.fields, scene.state))
    _refuse_foreign(draft, shared_with)
    shown_once: Mapping[str, str] = {}
    if before is None:
        issued = scene.resource.issue(scene.means)
        draft.fields.update(issued.fields)
        shown_once = issued.shown_once
    elif (draft.name, draft.state, draft.fields) == (before.name, before.state, before.fields):
        return Plan(object_id, None, {}, before)
    partners = tuple(sorted(shared_with - {draft.company}))
    return Plan(object_id, _write(draft, object_id, partners), shown_once, before)


def _refuse_foreign(draft: Draft, shared_with: Collection[str]) -> None:
    """Raise `MessagesError` (403) where a field changes that is another company's to set."""
    before = {} if draft.before is None else draft.before.fields
    is_own, is_partner = draft.scene.company == draft.company, draft.scene.company in shared_with
    names = [
        declared.name
        for declared in draft.scene.resource.fields
        if draft.fields.get(declared.key) != before.get(declared.key)
        and not (is_partner if declared.by_partner else is_own)
    ]
    if draft.before is not None and not is_own:
        names += ["name"] if draft.name != draft.before.name else []
        names += ["objectState"] if draft.state != draft.before.state else []
    if names:
        text = "{{field}} is set by another company alone"
        raise MessagesError(403, [error("field.forbidden", text, field=name) for name in names])


def _write(draft: Draft, object_id: str, partners: tuple[str, ...]) -> ObjectWrite:
    return ObjectWrite(
        type=draft.scene.resource.name,
        id=object_id,
        version=0 if draft.before is None else draft.before.version,
        company=draft.company,
        partners=partners,
        name=draft.name,
        state=draft.state,
        fields=draft.fields,
        references=tuple(_new_references(draft)),
        unique=tuple(_unique(draft)),
    )


def _new_references(draft: Draft) -> Iterator[Reference]:
    before = {} if draft.before is None else draft.before.fields
    if draft.before is None and draft.company is not None:
        yield Reference("companies", draft.company)
    for declared in draft.scene.resource.fields:
        stored, known = draft.fields.get(declared.key), before.get(declared.key)
        if stored is not None and stored != known:
            old = frozenset(() if known is None else declared.kind.references(known, draft.company))
            yield from (one for one in declared.kind.references(stored, draft.company) if one not in old)


def _unique(draft: Draft) -> Iterator[UniqueValue]:
    fields = {**draft.fields, "name": draft.name}
    before = draft.before
    had_label = before is not None and before.name == draft.name and any(one.field == CLAIM for one in before.unique)
    if (draft.has_label or had_label) and draft.state != "HIDDEN":
        yield claim(draft.company, draft.name)
    for names in draft.scene.resource.unique:
        if all(name in fields for name in names):
            yield UniqueValue(",".join(names), ",".join(map(_one_text, (fields[name] for name in names))))


def _one_text(stored: Any) -> str:
    return str(stored["id"]) if isinstance(stored, dict) else str(stored)
