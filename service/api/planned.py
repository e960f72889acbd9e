"""The registry as it will be once what is planned is written, for the plans that come after."""

from __future__ import annotations

from collections.abc import Iterator

from service.api.drafts import Scene
from service.api.planning import Plan
from streams.domain.registry import NOT_WRITTEN, stored_as
from streams.domain.registry_events import UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject


class Planned(RegistryState):
    """A registry in which what a transaction is going to write can be found already. Lists are without it."""

    def __init__(self, there: RegistryState) -> None:
        """Take the registry as it is."""
        super().__init__()
        self.revision = there.revision
        self._there = there
        self._planned: dict[tuple[str, str], StoredObject] = {}

    def find(self, type_name: str, object_id: str) -> StoredObject | None:
        """Return an object, also a HIDDEN one; None where there is none."""
        return self._planned.get((type_name, object_id)) or self._there.find(type_name, object_id)

    def holder(self, type_name: str, unique: UniqueValue) -> StoredObject | None:
        """Return the object of a type that has a unique value."""
        return self._there.holder(type_name, unique)

    def ordered(self, type_name: str, company: str | None) -> Iterator[StoredObject]:
        """Yield the objects of a type, HIDDEN ones too, by name, then id; all, or those that one company sees."""
        return self._there.ordered(type_name, company)

    def add(self, plan: Plan, scene: Scene) -> None:
        """Take what is planned of an object."""
        if plan.write is not None:
            stored = stored_as(plan.write, plan.before, scene.caller, NOT_WRITTEN, scene.means.now_ms)
            self._planned[stored.type, stored.id] = stored
