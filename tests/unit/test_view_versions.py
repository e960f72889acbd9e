"""Versions of the views: which there are, which is live, and how that may change, as the registry judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from streams.domain.registry import Applied, Refused, fold
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.domain.registry_state import RegistryState
from streams.domain.view_versions import (
    FIRST,
    Progress,
    Stage,
    ViewChangeError,
    begun,
    building,
    dropped,
    kept,
    last_live,
    live,
    next_live,
    switched,
    versions,
    view_name,
)

V2, V3 = "upnext-v2", "upnext-v3"


class World:
    """A registry into which changes of versions are folded."""

    def __init__(self) -> None:
        self.state = RegistryState()
        self.offset = 0

    def apply(self, writes: Iterable[ObjectWrite]) -> bool:
        transaction = Transaction(id=f"{self.offset:032x}", user="superuser", objects=tuple(writes))
        verdict = fold(self.state, transaction, self.offset, 1_000 + self.offset)
        self.offset += 1
        assert isinstance(verdict, Applied | Refused)
        return isinstance(verdict, Applied)

    def begin(self) -> str:
        name, write = begun(self.state)
        assert self.apply([write])
        return name

    @property
    def stages(self) -> dict[str, Stage]:
        return {name: known.version.stage for name, known in versions(self.state).items()}


@pytest.fixture
def world() -> World:
    return World()


def test_a_deployment_begins_with_the_first_version(world: World) -> None:
    """It is live although the registry says nothing of it."""
    assert (live(world.state), building(world.state), kept(world.state)) == (FIRST, None, [FIRST])
    assert versions(world.state)[FIRST].since_ms == 0


def test_from_building_to_live_and_back(world: World) -> None:
    """Exactly one is live at each step; the way back leads to the one that was live last."""
    assert world.begin() == V2
    assert (live(world.state), building(world.state), kept(world.state)) == (FIRST, V2, [FIRST, V2])
    assert world.apply(switched(world.state, next_live(world.state)))
    assert world.stages == {FIRST: Stage.OLD, V2: Stage.LIVE}
    assert kept(world.state) == [V2, FIRST]
    assert last_live(world.state) == FIRST
    assert world.apply(switched(world.state, FIRST))
    assert world.stages == {FIRST: Stage.LIVE, V2: Stage.OLD}
    assert next_live(world.state) == V2, "and forward again"
    assert world.begin() == V3
    assert next_live(world.state) == V3
    assert world.apply(switched(world.state, V3))
    with pytest.raises(ViewChangeError, match="No version of the views is being built"):
        next_live(world.state)
    assert last_live(world.state) == FIRST
    assert sum(stage is Stage.LIVE for stage in world.stages.values()) == 1


def test_what_is_built_goes_on(world: World) -> None:
    """To begin again names the same version, with another limit."""
    world.begin()
    name, write = begun(world.state, 500)
    assert world.apply([write])
    assert (name, versions(world.state)[V2].version.max_events_per_s) == (V2, 500)
    assert world.apply(switched(world.state, V2))
    assert versions(world.state)[V2].version.max_events_per_s == 0


def test_the_live_one_is_never_dropped(world: World) -> None:
    """Nor is a name used twice, which what is left of a version might bear; to drop again changes nothing."""
    world.begin()
    with pytest.raises(ViewChangeError, match="never dropped"):
        dropped(world.state, FIRST)
    assert world.apply(dropped(world.state, V2))
    assert (world.stages[V2], kept(world.state)) == (Stage.DROPPED, [FIRST])
    assert dropped(world.state, V2) == ()
    assert world.begin() == V3


@pytest.mark.parametrize("change", [switched, dropped])
def test_what_there_is_not(world: World, change: Callable[[RegistryState, str], tuple[ObjectWrite, ...]]) -> None:
    """It is neither switched to nor dropped."""
    with pytest.raises(ViewChangeError, match="no version"):
        change(world.state, V2)


def test_no_way_without_a_version(world: World) -> None:
    """There is nothing to switch to, and no way back; what is live or dropped is not switched to either."""
    for look in (next_live, last_live):
        with pytest.raises(ViewChangeError):
            look(world.state)
    with pytest.raises(ViewChangeError, match="live"):
        switched(world.state, FIRST)
    world.begin()
    assert world.apply(dropped(world.state, V2))
    with pytest.raises(ViewChangeError, match="dropped"):
        switched(world.state, V2)


def test_one_of_two_changes_at_once_is_refused(world: World) -> None:
    """Both were made from the same state: the registry takes the first, whole."""
    world.begin()
    first, second = switched(world.state, V2), dropped(world.state, V2)
    assert world.apply(first)
    assert not world.apply(second)
    assert world.stages == {FIRST: Stage.OLD, V2: Stage.LIVE}


@pytest.mark.parametrize(
    ("text", "name"),
    [("v2", V2), ("upnext-v2", V2), ("upnext-v12", "upnext-v12"), ("v0", None), ("2", None), ("other-v2", None)],
)
def test_names(text: str, name: str | None) -> None:
    """A version may be called by its number."""
    assert view_name(text) == name


def test_lag_counts_what_is_between_the_processors() -> None:
    """Events that are not folded, and messages that are not."""
    assert Progress(90, 100, 7).lag == 17
