"""From what a request says of an object to what is to be written of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.api.kinds import OBJECT_ID, BrokenValueError, DanglingError, Kind, Place
from service.api.messages import Message, MessagesError, invalid, not_found, reference_not_found
from service.api.resource import NAME, NO_NAME, STATES, Entropy, Field, ResourceType
from service.api.shown import ENVELOPE, show_field
from service.api.types import label_of
from streams.domain.registry_events import ObjectState, ObjectWrite, Reference, UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject

_MAX_NAME_CHARS = 64
"""Of an unknown field's name, as many characters are told back."""


class Given(NamedTuple):
    """One object as a request gives it."""

    id: str | None
    """From the path or the body; None: to be made."""
    fields: Mapping[str, object]
    number: int | None
    """Its place, where it is one of a list."""


class Plan(NamedTuple):
    """What is to become of one object."""

    id: str
    write: ObjectWrite | None
    """None: it is already as it is to be."""
    shown_once: Mapping[str, str]


class Scene(NamedTuple):
    """What objects are planned in."""

    resource: ResourceType
    state: RegistryState
    company: str | None
    """That the request is about; None where the type has none."""
    entropy: Entropy
    new_id: str
    """For an object that has none yet."""


@dataclass
class _Draft:
    """An object on its way, and what was found to be wrong with it."""

    scene: Scene
    given: Given
    before: StoredObject | None
    name: str = ""
    state: ObjectState = "ACTIVE"
    fields: dict[str, Any] = field(default_factory=dict)
    broken: list[Message] = field(default_factory=list)

    def fault(self, name: str, error: BrokenValueError) -> None:
        """Note that a field is broken."""
        params = {"field": name, **error.params}
        self.broken.append(invalid(error.code, error.text, **params, **self._where()))

    def dangles(self, error: DanglingError) -> None:
        """Note that a field leads nowhere."""
        message = reference_not_found(label_of(*error.types), error.object_id)
        message.params.update(self._where())
        self.broken.append(message)

    def read(self, name: str, kind: Kind, before: object) -> object:
        """Return a field that is given, as it is stored; what it was before where it is broken."""
        try:
            return kind.read(self.given.fields[name], Place(self.scene.state, self.scene.company, before))
        except BrokenValueError as error:
            self.fault(name, error)
        except DanglingError as error:
            self.dangles(error)
        return before

    def _where(self) -> dict[str, str]:
        return {} if self.given.number is None else {"index": str(self.given.number)}


def current(scene: Scene, given: Given) -> StoredObject | None:
    """
    Return the object that *given* is about, None where it is to be made.

    Raises:
        MessagesError: 404, it is another company's, or absent with an id that only the service makes.
    """
    if given.id is None:
        return None
    before = scene.state.find(scene.resource.name, given.id)
    if before is None:
        if scene.resource.minted is not None:
            raise MessagesError(404, [not_found(scene.resource.label, given.id)], may_be_news=True)
    elif before.company != scene.company:
        raise MessagesError(404, [not_found(scene.resource.label, given.id)])
    return before


def plan(scene: Scene, given: Given) -> tuple[Plan, list[Message]]:
    """
    Return what is to become of an object, and everything that is wrong with it.

    Raises:
        MessagesError: It is not there.
    """
    before = current(scene, given)
    draft = _Draft(scene, given, before)
    if before is not None:
        draft.name, draft.state, draft.fields = before.name, before.state, dict(before.fields)
    _read_common(draft)
    for declared in scene.resource.fields:
        _read_field(draft, declared)
    _refuse_unknown(draft)
    return _planned(draft), draft.broken


def checked_id(value: object) -> str:
    """Return *value* as an object's id; raise `MessagesError` (400) where it is none."""
    if not isinstance(value, str) or not OBJECT_ID.fullmatch(value):
        text = "{{id}} is no id: 1 to 64 letters, digits, dots, underscores and dashes"
        raise MessagesError(400, [invalid("id.invalid", text, id=str(value)[:_MAX_NAME_CHARS])])
    return value


def _read_common(draft: _Draft) -> None:
    given, resource = draft.given.fields, draft.scene.resource
    if "name" in given:
        draft.name = str(draft.read("name", NAME if resource.name_required else NO_NAME, draft.name))
    elif draft.before is None and resource.name_required:
        draft.fault("name", _required())
    if "objectState" in given:
        read = draft.read("objectState", STATES, draft.state)
        draft.state = next(state for state in ("ACTIVE", "INACTIVE", "HIDDEN") if state == read)
    if "company" in given and resource.in_company:
        company = given["company"]
        if (company.get("id") if isinstance(company, dict) else company) != draft.scene.company:
            draft.fault("company", BrokenValueError("field.immutable", "{{field}} must be the request's context"))


def _read_field(draft: _Draft, declared: Field) -> None:
    name = declared.name
    if name not in draft.given.fields:
        if declared.required and name not in draft.fields:
            draft.fault(name, _required())
        return
    value = draft.given.fields[name]
    if declared.read_only:
        if draft.before is None or value != show_field(declared, draft.before):
            draft.fault(name, BrokenValueError("field.read.only", "{{field}} is set by the service"))
        return
    before = draft.fields.get(name)
    if value is not None:
        read = draft.read(name, declared.kind, before)
    elif declared.required or declared.empty is not None:
        draft.fault(name, BrokenValueError("field.null", "{{field}} must not be null"))
        return
    else:
        read = None
    if declared.immutable and draft.before is not None and read != before:
        draft.fault(name, BrokenValueError("field.immutable", "{{field}} cannot be changed"))
    _put(draft.fields, declared, read)


def _put(fields: dict[str, Any], declared: Field, read: object) -> None:
    """Store a value; one like that of a field that was never set is not stored, so that both are the same."""
    empty = list(declared.empty) if isinstance(declared.empty, tuple) else declared.empty
    if read is None or read == empty:
        fields.pop(declared.name, None)
    else:
        fields[declared.name] = read


def _refuse_unknown(draft: _Draft) -> None:
    resource = draft.scene.resource
    known = {"id", "name", "objectState", *ENVELOPE, *(declared.name for declared in resource.fields)}
    if resource.in_company:
        known.add("company")
    for name in draft.given.fields:
        if name in resource.shown_once:
            draft.fault(name, BrokenValueError("field.read.only", "{{field}} is made by the service"))
        elif name not in known:
            draft.fault(name[:_MAX_NAME_CHARS], BrokenValueError("field.unknown", "There is no field {{field}}"))


def _required() -> BrokenValueError:
    return BrokenValueError("field.required", "{{field}} is required")


def _planned(draft: _Draft) -> Plan:
    scene, before = draft.scene, draft.before
    object_id = before.id if before is not None else draft.given.id or scene.new_id
    shown_once: Mapping[str, str] = {}
    if before is None:
        issued = scene.resource.issue(scene.entropy)
        draft.fields.update(issued.fields)
        shown_once = issued.shown_once
    elif (draft.name, draft.state, draft.fields) == (before.name, before.state, before.fields):
        return Plan(object_id, None, {})
    write = ObjectWrite(
        type=scene.resource.name,
        id=object_id,
        version=0 if before is None else before.version,
        company=scene.company,
        name=draft.name,
        state=draft.state,
        fields=draft.fields,
        references=tuple(_new_references(draft)),
        unique=tuple(_unique(scene.resource.unique, draft.fields)),
    )
    return Plan(object_id, write, shown_once)


def _new_references(draft: _Draft) -> Iterator[Reference]:
    before = {} if draft.before is None else draft.before.fields
    if draft.before is None and draft.scene.company is not None:
        yield Reference("companies", draft.scene.company)
    for declared in draft.scene.resource.fields:
        stored = draft.fields.get(declared.name)
        if stored is not None and stored != before.get(declared.name):
            yield from declared.kind.references(stored, draft.scene.company)


def _unique(together: Iterable[Iterable[str]], fields: Mapping[str, Any]) -> Iterator[UniqueValue]:
    for names in together:
        if all(name in fields for name in names):
            yield UniqueValue(",".join(names), ",".join(map(_one_text, (fields[name] for name in names))))


def _one_text(stored: Any) -> str:
    return str(stored["id"]) if isinstance(stored, dict) else str(stored)
