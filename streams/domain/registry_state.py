"""What the registry's events fold into: every object, by type and id, with the indexes that readers need."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from streams.domain.registry_events import ObjectState, ObjectWrite, Reference, UniqueValue
from streams.domain.registry_order import Entry, Ordered

T = TypeVar("T")

_OFFSET = struct.Struct("<q")


class Deployment(msgspec.Struct, frozen=True):
    """What holds for the deployment."""

    fingerprint: str
    """Of the master key."""
    partitions: int
    """Of every topic but the registry's."""
    earlier_logs: tuple[str, ...] = ()
    """The ids of the logs that its events stood in before, the first one first."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One object of the registry as it is now. Its fields are never changed in place."""

    type: str
    id: str
    version: int
    """1 for the first; each write that was applied is one more."""
    offset: int
    """Of the transaction that wrote this version."""
    company: str | None
    partners: tuple[str, ...]
    name: str
    state: ObjectState
    fields: Mapping[str, Any]
    unique: tuple[UniqueValue, ...]
    created_ms: int
    created_by: str
    updated_ms: int
    updated_by: str

    def is_seen_by(self, company: str | None) -> bool:
        """Say whether it is seen in a company's context; None is the deployment's."""
        return self.company == company or company in self.partners


class Found(NamedTuple):
    """Part of a list, and how many there are in all of it."""

    objects: list[StoredObject]
    total: int


# What came from JSON fits into JSON again, which cannot be said of anything more compact.
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(StoredObject)
_NO_ENTRIES: Mapping[str, Entry] = {}
_STATES: Mapping[ObjectState, ObjectState] = {"ACTIVE": "ACTIVE", "INACTIVE": "INACTIVE", "HIDDEN": "HIDDEN"}
"""One copy of each, for all objects."""


class RegistryState:
    """All objects, in memory. Only the fold changes them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.deployment: Deployment | None = None
        self.revision = 0
        """Changes with every transaction that is applied: one more than its offset."""
        self.count = 0
        """Objects of all types."""
        self._entries: dict[str, dict[str, Entry]] = {}
        self._ordered: dict[str, dict[str | None, Ordered]] = {}
        # Type → field → value → id.
        self._holders: dict[str, dict[str, dict[str, str]]] = {}
        self._remembered: dict[tuple[str, str | None], Any] = {}

    def find(self, type_name: str, object_id: str) -> StoredObject | None:
        """Return an object, also a HIDDEN one; None where there is none."""
        entry = self._entries.get(type_name, _NO_ENTRIES).get(object_id)
        return None if entry is None else _DECODER.decode(entry.body)

    def state_of(self, type_name: str, object_id: str) -> ObjectState | None:
        """Return the state of an object, None where there is none: most of what links need to know."""
        entry = self._entries.get(type_name, _NO_ENTRIES).get(object_id)
        return None if entry is None else entry.state

    def holder(self, type_name: str, unique: UniqueValue) -> StoredObject | None:
        """Return the object of a type that has a unique value."""
        object_id = self._holders.get(type_name, {}).get(unique.field, {}).get(unique.value)
        return None if object_id is None else self.find(type_name, object_id)

    def resolve(self, reference: Reference) -> StoredObject | None:
        """Return what *reference* names, None where it is absent, HIDDEN or another company's."""
        target = self.find(reference.type, reference.id)
        return target if target is not None and may_be_referred_to(target, reference) else None

    def ordered(self, type_name: str, company: str | None) -> Iterator[StoredObject]:
        """Yield the objects of a type, HIDDEN ones too, by name, then id; all, or those that one company sees."""
        return (_DECODER.decode(entry.body) for entry in self._scope(type_name, company))

    def page(self, type_name: str, company: str | None, start: int, limit: int, *, with_hidden: bool) -> Found:
        """Return a part of the objects of a type, by name, then id; of all, or of those that one company sees."""
        scope = self._scope(type_name, company)
        entries = scope.page(start, limit, with_hidden=with_hidden)
        return Found([_DECODER.decode(entry.body) for entry in entries], scope.count(with_hidden=with_hidden))

    def page_with_others(
        self, type_name: str, company: str | None, start: int, limit: int, *, with_hidden: bool
    ) -> Found:
        """Return a part of the objects of a type that one company sees or that are ACTIVE, by name, then id."""
        own = {entry.id for entry in self._scope(type_name, company) if with_hidden or entry.state != "HIDDEN"}
        entries = [e for e in self._scope(type_name, None) if e.state == "ACTIVE" or e.id in own]
        return Found([_DECODER.decode(entry.body) for entry in entries[start : start + limit]], len(entries))

    def remembered(self, key: tuple[str, str | None], make: Callable[[], T]) -> T:
        """Return what *make* returns of the objects, which is made once under its key for as long as none changes."""
        if key not in self._remembered:
            self._remembered[key] = make()
        found: T = self._remembered[key]
        return found

    def put(self, stored: StoredObject, *, keeps_past: bool = True) -> None:
        """Take an object in the place of the one with its type and id. For the fold alone."""
        self._remembered.clear()
        known = self._entries.get(stored.type, _NO_ENTRIES).get(stored.id)
        earlier = b""
        if known is not None:
            before = _DECODER.decode(known.body)
            self._forget(before, known)
            earlier = known.earlier + _OFFSET.pack(before.offset) if keeps_past else b""
        entry = self._remember(stored, _ENCODER.encode(stored), earlier)
        for scope in self._scopes(stored):
            scope.add(entry)

    def offsets(self, stored: StoredObject, first: int, last: int) -> Sequence[int]:
        """Return where the versions *first* to *last* of an object, given as it is now, were written."""
        packed = self._entries[stored.type][stored.id].earlier
        earlier = [offset for (offset,) in _OFFSET.iter_unpack(packed[(first - 1) * 8 : last * 8])]
        return [*earlier, stored.offset] if last >= stored.version else earlier

    def copied(self) -> Sequence[Sequence[Entry]]:
        """Return all objects as of now, type by type, each type in its order."""
        return [list(self._ordered[name][None]) for name in sorted(self._ordered)]

    def restore(self, body: bytes, earlier: bytes) -> None:
        """Take an object that `copied` has returned; all of them, in its order, into a state without objects."""
        stored = _DECODER.decode(body)
        entry = self._remember(stored, body, earlier)
        for scope in self._scopes(stored):
            scope.append(entry)

    def _scope(self, type_name: str, company: str | None) -> Ordered:
        return self._ordered.get(type_name, {}).get(company) or Ordered()

    def _scopes(self, stored: StoredObject) -> list[Ordered]:
        """Return the lists that an object is in: of all, of its company, and of those that it is shared with."""
        scopes = self._ordered.setdefault(stored.type, {})
        return [scopes.setdefault(name, Ordered()) for name in {None, stored.company, *stored.partners}]

    def _remember(self, stored: StoredObject, body: bytes, earlier: bytes) -> Entry:
        entry = Entry(stored.name, stored.id, _STATES[stored.state], body, earlier)
        entries = self._entries.setdefault(stored.type, {})
        self.count += stored.id not in entries
        # The key, where there is one already, stays, so that there is one copy of the id.
        entries[entry.id] = entry
        holders = self._holders.setdefault(stored.type, {})
        for unique in stored.unique:
            holders.setdefault(unique.field, {})[unique.value] = entry.id
        return entry

    def _forget(self, before: StoredObject, known: Entry) -> None:
        """Take an object that is replaced out of the indexes."""
        for unique in before.unique:
            held = self._holders[before.type][unique.field]
            if held.get(unique.value) == before.id:
                del held[unique.value]
        for scope in self._scopes(before):
            scope.remove(known)


def may_be_referred_to(target: StoredObject | ObjectWrite, reference: Reference) -> bool:
    """Say whether *target* is what *reference* asks for: not HIDDEN, and of or shared with the company it names."""
    is_of_it = reference.company in (None, target.company) or reference.company in target.partners
    return target.state != "HIDDEN" and is_of_it
