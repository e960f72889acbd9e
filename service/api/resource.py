"""What a type of resources is declared by; everything else about it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from service.api.kinds import Choice, Kind, Text
from service.api.messages import Message
from service.api.ports import Vault
from streams.domain import ids
from streams.domain.registry_state import RegistryState, StoredObject

STATES = Choice(("ACTIVE", "INACTIVE", "HIDDEN"))
NAME = Text(255)
NO_NAME = Text(255, least=0)

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""


class Means(NamedTuple):
    """What the service makes secrets with, and dates them."""

    entropy: Entropy
    now_ms: int
    vault: Vault


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field beside those that every object has."""

    name: str
    kind: Kind
    says: str
    """What it is, in a sentence."""
    required: bool = False
    """Whether a new object must have it; it is never null then."""
    empty: object = None
    """What readers see where it was never set. None may be given as null."""
    immutable: bool = False
    """Whether it stays as it was first given."""
    read_only: bool = False
    """Whether the service alone sets it."""
    write_only: bool = False
    """Whether nobody is shown it."""
    stored_as: str = ""
    """Its name in the log, where that is another."""
    from_caller: bool = False
    """Whether it is a user, and of a new object the caller where it is left out."""
    by_partner: bool = False
    """Whether only the companies that the object is shared with set it; of all other fields, only its own does."""
    derived: Callable[[StoredObject, RegistryState], object] | None = None
    """Return what readers see, where that is not stored but follows from other objects. Such a field is read only."""
    drifts: str = ""
    """Of its elements, what changes by itself: given back in a write, it counts for nothing."""
    is_obeyed: bool = True
    """Whether the service acts on it already; where not, an object that sets it bears a warning that says so."""

    @cached_property
    def key(self) -> str:
        """Its name in the log."""
        return self.stored_as or self.name


class Issued(NamedTuple):
    """What the service itself puts into an object."""

    fields: Mapping[str, Any]
    shown_once: Mapping[str, str]
    """Answered this once, stored nowhere."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is done to an object by `POST …/<id>/<name>`; the answer is the object as it is then."""

    name: str
    says: str
    """What it does, in the imperative."""
    fields: Sequence[Field] = ()
    """Of the request's body."""
    run: Callable[[StoredObject, Mapping[str, Any], Means], Issued]
    """Return the fields that are replaced; raise `MessagesError` where it cannot be done."""


def _nothing(_means: Means) -> Issued:
    return Issued({}, {})


def _no_partners(_fields: Mapping[str, Any], _state: RegistryState) -> Iterable[str]:
    return ()


class Change(NamedTuple):
    """An object that is written, and all others as they are and as they will be."""

    before: StoredObject | None
    """None: it is made."""
    after: StoredObject
    there: RegistryState
    planned: RegistryState


def _nothing_broken(_change: Change) -> Iterable[Message]:
    return ()


def _no_warnings(_stored: StoredObject, _state: RegistryState) -> Iterable[Message]:
    return ()


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One type of resources."""

    name: str
    """In paths: `apps`."""
    label: str
    """One of them, in messages: `App`."""
    says: str
    """What they are, in a sentence."""
    in_company: bool
    """Whether its objects belong to a company; otherwise they are the deployment's."""
    fields: Sequence[Field]
    name_kind: Text = NAME
    name_required: bool = True
    """Otherwise a name may be given, of whatever kind."""
    creatable: bool = True
    """Whether a write also makes them; otherwise that is done in another way, and a write to an unknown id is 404."""
    names_are_public: bool = False
    """Whether every company may list the ids and names of others' objects."""
    minted: ids.Kind | None = None
    """The kind of its ids, where these are always made by the service."""
    unique: Sequence[Sequence[str]] = ()
    """Fields whose values, together, no two objects share."""
    shown_once: Mapping[str, str] = field(default_factory=dict)
    """Fields that are answered when they are made, never again, and what each is, in a sentence."""
    issue: Callable[[Means], Issued] = _nothing
    """Return what the service puts into a new object."""
    actions: Sequence[Action] = ()
    partners: Callable[[Mapping[str, Any], RegistryState], Iterable[str]] = _no_partners
    """Return the companies, beside its own, that an object with these fields is shared with."""
    breaks: Callable[[Change], Iterable[Message]] = _nothing_broken
    """Return what a write would break that was not broken before, in the object or in others: it is refused then."""
    warnings: Callable[[StoredObject, RegistryState], Iterable[Message]] = _no_warnings
    """Return what keeps an object from working."""

    @cached_property
    def by_key(self) -> Mapping[str, Field]:
        """Those fields that readers see, by their names in the log."""
        return {field.key: field for field in self.fields if not field.write_only and field.derived is None}

    @cached_property
    def derived(self) -> Mapping[str, Callable[[StoredObject, RegistryState], object]]:
        """What follows from other objects: name → what returns it."""
        return {field.name: field.derived for field in self.fields if field.derived is not None}

    @cached_property
    def unset(self) -> Mapping[str, object]:
        """What readers see of an object none of whose fields was ever set."""
        return {field.name: field.empty for field in self.fields if not field.write_only}

    @cached_property
    def not_obeyed(self) -> Mapping[str, str]:
        """Those that nothing acts on yet: key → name."""
        return {field.key: field.name for field in self.fields if not field.is_obeyed}
