"""What a type of resources is declared by; everything else about it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.api.kinds import Choice, Kind, Text
from service.api.messages import Message
from streams.domain import ids
from streams.domain.registry_state import RegistryState, StoredObject

STATES = Choice(("ACTIVE", "INACTIVE", "HIDDEN"))
NAME = Text(255)
NO_NAME = Text(255, least=0)

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""


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
    is_obeyed: bool = True
    """Whether the service acts on it already; where not, an object that sets it bears a warning that says so."""


class Issued(NamedTuple):
    """What the service itself puts into a new object."""

    fields: Mapping[str, Any]
    shown_once: Mapping[str, str]
    """Answered this once, stored nowhere."""


def _nothing(_entropy: Entropy) -> Issued:
    return Issued({}, {})


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
    name_required: bool = True
    minted: ids.Kind | None = None
    """The kind of its ids, where these are always made by the service."""
    unique: Sequence[Sequence[str]] = ()
    """Fields whose values, together, no two objects share."""
    shown_once: Mapping[str, str] = field(default_factory=dict)
    """Fields that are answered at creation alone, and what each is, in a sentence."""
    issue: Callable[[Entropy], Issued] = _nothing
    warnings: Callable[[StoredObject, RegistryState], Iterable[Message]] = _no_warnings
    """Return what keeps an object from working."""
