"""What the registry's events fold into: every object, by type and id, with the indexes that readers need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streams.domain.registry_events import DeploymentDeclared, ObjectState, Reference, UniqueValue


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of the registry as it is now. Its fields are never changed in place."""

    type: str
    id: str
    version: int
    """1 for the first; each write that was applied is one more."""
    company: str | None
    name: str
    state: ObjectState
    fields: Mapping[str, Any]
    unique: tuple[UniqueValue, ...]
    created_ms: int
    created_by: str
    updated_ms: int
    updated_by: str


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
        """Return the objects of a type, HIDDEN ones too, by name, then id; of one company, or with None of all."""
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
            for unique in before.unique:
                if self._holders.get((stored.type, unique)) == stored.id:
                    del self._holders[stored.type, unique]
        for unique in stored.unique:
            self._holders[stored.type, unique] = stored.id
        self._by_type.setdefault(stored.type, {})[stored.id] = stored
        self._ordered.pop((stored.type, None), None)
        if stored.company is not None:
            self._by_company.setdefault((stored.type, stored.company), {})[stored.id] = stored
            self._ordered.pop((stored.type, stored.company), None)


def may_be_referred_to(target: StoredObject, reference: Reference) -> bool:
    """Say whether *target* is what *reference* asks for: not HIDDEN, and of the company that it names."""
    return target.state != "HIDDEN" and reference.company in (None, target.company)


def _place(stored: StoredObject) -> tuple[str, str]:
    return stored.name, stored.id
