"""Rebuilds: that all tables are folded again from the sources, as the registry says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streams.domain.registry_events import ObjectWrite
from streams.domain.registry_state import RegistryState

REBUILDS = "rebuilds"
"""The type of the registry's objects that say so; their ids are versions of the views."""


class Rebuild(msgspec.Struct, frozen=True):
    """The last time that the tables were thrown away: the fields of its object in the registry."""

    generation: int
    """Of the tables: how often that was done. A store of another one is of no use."""
    ends: Mapping[str, Sequence[int]]
    """Source → where each of its partitions ended then: what anybody was served before is of records below."""
    done: bool = False
    """Whether all of that is folded again."""


NEVER = Rebuild(0, {}, done=True)


def latest(state: RegistryState, view: str) -> Rebuild:
    """Return the last rebuild of a version of the views, `NEVER` where there was none."""
    stored = state.find(REBUILDS, view)
    return NEVER if stored is None else msgspec.convert(stored.fields, Rebuild)


def rebuild_write(state: RegistryState, view: str, rebuild: Rebuild) -> ObjectWrite:
    """Return what writes a rebuild in the place of the one that *state* has."""
    before = state.find(REBUILDS, view)
    version = 0 if before is None else before.version
    return ObjectWrite(type=REBUILDS, id=view, version=version, fields=msgspec.to_builtins(rebuild))
