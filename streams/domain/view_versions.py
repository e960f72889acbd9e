"""Versions of the views: which there are, which of them is served, and how that may change, as the registry says it."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from streams.domain.errors import UpNextError
from streams.domain.registry_events import ObjectWrite
from streams.domain.registry_state import RegistryState

VIEWS = "views"
"""The type of the registry's objects that say so; their ids are the versions' names."""
FIRST = "upnext-v1"
"""The version that every deployment begins with. It is live where the registry says nothing."""
_NAME = re.compile(r"(?:upnext-)?v([1-9][0-9]{0,3})")


class ViewChangeError(UpNextError):
    """What was asked for would not be right now; the message says why, and what to do."""


class Stage(enum.Enum):
    """Where a version is on its way."""

    BUILDING = "building"
    """It is folded from the first event on; nobody reads it."""
    LIVE = "live"
    """It is what is read. There is always exactly one."""
    OLD = "old"
    """It was live, and is still folded, so that there is a way back."""
    DROPPED = "dropped"
    """Its topics, group and stores are gone, or go. Its name is never used again."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the views: the fields of its object in the registry."""

    stage: Stage
    max_events_per_s: int = 0
    """How many events each node may fold in a second while it is built; 0: as many as it can."""


class KnownVersion(NamedTuple):
    """A version, and since when it is at its stage."""

    name: str
    version: Version
    since_ms: int
    """Unix time; 0 where the registry has never heard of it."""


class Progress(NamedTuple):
    """How far a version is, by what stands in its changelogs."""

    done: int
    """Events of contexts and sessions that it has folded."""
    total: int
    """Events that they hold."""
    between: int
    """What else is not folded: messages between its processors, and events of webhooks and of idempotency keys."""

    @property
    def lag(self) -> int:
        """Records of both kinds that are not folded."""
        return self.total - self.done + self.between


class VersionStatus(NamedTuple):
    """A version as operators are shown it."""

    known: KnownVersion
    progress: Progress
    is_whole: bool
    """Whether all is folded that the sources held when it was begun, so that its lists may be read."""
    unserved: int
    """Partitions of its tables that no node serves."""
    waits_for: tuple[str, ...]
    """Places of records that it stops at until somebody decides about them."""


def view_name(text: str) -> str | None:
    """Return the name of the version that *text* means, `upnext-v2` or `v2`; None where it means none."""
    found = _NAME.fullmatch(text)
    return None if found is None else f"upnext-v{found[1]}"


def _number(name: str) -> int:
    return int(name.rpartition("v")[2])


def versions(state: RegistryState) -> Mapping[str, KnownVersion]:
    """Return every version that there ever was, by name, the first one first."""
    found = {FIRST: KnownVersion(FIRST, Version(stage=Stage.LIVE), 0)}
    for stored in state.ordered(VIEWS, None):
        found[stored.id] = KnownVersion(stored.id, msgspec.convert(stored.fields, Version), stored.updated_ms)
    return {name: found[name] for name in sorted(found, key=_number)}


def kept(state: RegistryState) -> list[str]:
    """Return the names of the versions that have topics, the live one first."""
    there = [name for name, known in versions(state).items() if known.version.stage is not Stage.DROPPED]
    return sorted(there, key=lambda name: name != live(state))


def live(state: RegistryState) -> str:
    """Return the name of the version that is served."""
    found: str = state.remembered((VIEWS, "live"), lambda: _only(state, Stage.LIVE) or FIRST)
    return found


def _only(state: RegistryState, stage: Stage) -> str | None:
    return next((name for name, known in versions(state).items() if known.version.stage is stage), None)


def building(state: RegistryState) -> str | None:
    """Return the name of the version that is being built, None where none is."""
    found: str | None = state.remembered((VIEWS, "building"), lambda: _only(state, Stage.BUILDING))
    return found


def begun(state: RegistryState, max_events_per_s: int = 0) -> tuple[str, ObjectWrite]:
    """
    Return the name of the version that is built, and what has the registry say how: the next one, where none is yet.

    Names are never used twice, so what is left of a version that was dropped is nobody's.
    """
    name = building(state) or f"upnext-v{max(map(_number, versions(state))) + 1}"
    return name, _write(state, name, Version(stage=Stage.BUILDING, max_events_per_s=max_events_per_s))


def switched(state: RegistryState, name: str) -> tuple[ObjectWrite, ...]:
    """
    Return what has *name* served, and the one that is served now become an old one. Whether it is ready is not asked.

    Raises:
        ViewChangeError: There is no such version, or it is live already, or dropped.
    """
    known = _of(state, name)
    if known.version.stage not in {Stage.BUILDING, Stage.OLD}:
        raise ViewChangeError(f"{name} is {known.version.stage.value}: nothing was switched.")
    before = live(state)
    return (
        _write(state, before, msgspec.structs.replace(versions(state)[before].version, stage=Stage.OLD)),
        _write(state, name, msgspec.structs.replace(known.version, stage=Stage.LIVE, max_events_per_s=0)),
    )


def next_live(state: RegistryState) -> str:
    """
    Return the version that a switch goes to: the one that is being built, or the newest that was left by the way back.

    Raises:
        ViewChangeError: There is neither.
    """
    name = building(state)
    if name is not None:
        return name
    left = [old for old, known in versions(state).items() if known.version.stage is Stage.OLD]
    name = max(left, key=_number, default=FIRST)
    if _number(name) <= _number(live(state)):
        raise ViewChangeError("No version of the views is being built: `upnext rebuild start` begins one.")
    return name


def last_live(state: RegistryState) -> str:
    """Return the version that the way back leads to, the last that was live; raise `ViewChangeError` without one."""
    old = [known for known in versions(state).values() if known.version.stage is Stage.OLD]
    if not old:
        raise ViewChangeError("There is no way back: no version that was live before is kept.")
    return max(old, key=lambda known: known.since_ms).name


def dropped(state: RegistryState, name: str) -> tuple[ObjectWrite, ...]:
    """
    Return what has the registry say that *name* is no more; nothing where it says so already.

    Raises:
        ViewChangeError: There is no such version, or it is live.
    """
    known = _of(state, name)
    if known.version.stage is Stage.LIVE:
        raise ViewChangeError(f"{name} is live: it is never dropped. Switch to another version first.")
    if known.version.stage is Stage.DROPPED:
        return ()
    return (_write(state, name, msgspec.structs.replace(known.version, stage=Stage.DROPPED)),)


def _of(state: RegistryState, name: str) -> KnownVersion:
    known = versions(state).get(name)
    if known is None:
        raise ViewChangeError(f"There is no version {name} of the views.")
    return known


def _write(state: RegistryState, name: str, version: Version) -> ObjectWrite:
    before = state.find(VIEWS, name)
    return ObjectWrite(
        type=VIEWS, id=name, version=0 if before is None else before.version, fields=msgspec.to_builtins(version)
    )
