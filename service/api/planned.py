"""The registry as it will be once what is planned is written, for the plans that come after."""

from __future__ import annotations

from collections.abc import Iterator

from service.api.drafts import Given, Scene
from service.api.messages import Message
from service.api.planning import Plan
from service.api.resource import Change
from streams.domain.registry import NOT_WRITTEN, stored_as
from streams.domain.registry_events import ObjectState, UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject


class Planned(RegistryState):
    """A registry in which what a transaction is going to write is there already, but for pages and unique values."""

    def __init__(self, there: RegistryState) -> None:
        """Take the registry as it is."""
        super().__init__()
        self.revision = there.revision
        self._there = there
        self._planned: dict[tuple[str, str], StoredObject] = {}

    def find(self, type_name: str, object_id: str) -> StoredObject | None:
        """Return an object, also a HIDDEN one; None where there is none."""
        return self._planned.get((type_name, object_id)) or self._there.find(type_name, object_id)

    def state_of(self, type_name: str, object_id: str) -> ObjectState | None:
        """Return the state of an object, None where there is none."""
        planned = self._planned.get((type_name, object_id))
        return self._there.state_of(type_name, object_id) if planned is None else planned.state

    def holder(self, type_name: str, unique: UniqueValue) -> StoredObject | None:
        """Return the object of a type that has a unique value."""
        return self._there.holder(type_name, unique)

    def ordered(self, type_name: str, company: str | None) -> Iterator[StoredObject]:
        """Yield the objects of a type, HIDDEN ones too, by name, then id; all, or those that one company sees."""
        planned = {one.id: one for (type_of, _), one in self._planned.items() if type_of == type_name}
        there = (one for one in self._there.ordered(type_name, company) if one.id not in planned)
        seen = (one for one in planned.values() if company is None or one.is_seen_by(company))
        return iter(sorted((*there, *seen), key=lambda one: (one.name, one.id)))

    def add(self, plan: Plan, scene: Scene) -> None:
        """Take what is planned of an object."""
        if plan.write is not None:
            stored = stored_as(plan.write, plan.before, scene.caller, NOT_WRITTEN, scene.means.now_ms)
            self._planned[stored.type, stored.id] = stored
            self._remembered.clear()

    def broken_by(self, plan: Plan, scene: Scene, given: Given) -> list[Message]:
        """Return what a plan that was added would break, once all that are to be are."""
        if plan.write is None:
            return []
        change = Change(plan.before, self._planned[plan.write.type, plan.write.id], self._there, self)
        broken = list(scene.resource.breaks(change))
        for message in broken:
            message.params.update(given.where)
        return broken
