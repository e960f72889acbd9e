"""What a request says of an object, where it is planned, and the object on its way to what is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.api.kinds import BrokenValueError, DanglingError, Kind, Place
from service.api.messages import Message, MessagesError, invalid, not_found, reference_not_found
from service.api.resource import Means, ResourceType
from service.api.types import label_of
from streams.domain.registry_events import ObjectState
from streams.domain.registry_state import RegistryState, StoredObject


class Given(NamedTuple):
    """One object as a request gives it."""

    id: str | None
    """From the path or the body; None: to be made."""
    fields: Mapping[str, object]
    number: int | None
    """Its place, where it is one of a list."""

    @property
    def where(self) -> dict[str, str]:
        """The parameter of messages that says which one of a list it is."""
        return {} if self.number is None else {"index": str(self.number)}


class Scene(NamedTuple):
    """What objects are planned in."""

    resource: ResourceType
    state: RegistryState
    company: str | None
    """That the request is about; None where the type has none."""
    caller: str
    """The id of the user who asks."""
    means: Means
    allows_loopback: bool
    """Whether the deployment calls this machine, in plain HTTP."""


@dataclass
class Draft:
    """An object on its way, and what was found to be wrong with it."""

    scene: Scene
    given: Given
    before: StoredObject | None
    company: str | None
    """That the object belongs to."""
    name: str = ""
    state: ObjectState = "ACTIVE"
    fields: dict[str, Any] = field(default_factory=dict)
    broken: list[Message] = field(default_factory=list)
    has_label: bool = False
    """Whether it is to be found by its name, and to be the only one that is."""

    def fault(self, name: str, error: BrokenValueError) -> None:
        """Note that a field is broken."""
        params = {"field": name, **error.params}
        self.broken.append(invalid(error.code, error.text, **params, **self.given.where))

    def dangles(self, name: str, error: DanglingError) -> None:
        """Note that a field leads nowhere."""
        message = reference_not_found(label_of(*error.types), error.object_id, name)
        message.params.update(self.given.where)
        self.broken.append(message)

    def read(self, name: str, kind: Kind, value: object, before: object) -> object:
        """Return a value of a field as it is stored; what was there before where it is broken."""
        place = Place(self.scene.state, self.company, before, self.scene.allows_loopback)
        try:
            return kind.read(value, place)
        except BrokenValueError as error:
            self.fault(name, error)
        except DanglingError as error:
            self.dangles(name, error)
        return before


def current(scene: Scene, given: Given) -> StoredObject | None:
    """
    Return the object that *given* is about, None where it is to be made.

    Raises:
        MessagesError: 404, it is another company's, or absent with an id that only the service makes; 400, it is not
            said which, where none is to be made.
    """
    resource = scene.resource
    if given.id is None:
        if not resource.creatable:
            raise MessagesError(400, [invalid("field.required", "{{field}} is required", field="id")])
        return None
    before = scene.state.find(resource.name, given.id)
    if before is None:
        if resource.minted is not None or not resource.creatable:
            raise MessagesError(404, [not_found(scene.resource.label, given.id)], may_be_news=True)
    elif not before.is_seen_by(scene.company):
        raise MessagesError(404, [not_found(scene.resource.label, given.id)])
    return before
