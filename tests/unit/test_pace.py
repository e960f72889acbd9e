"""How fast a version is folded that nobody reads yet."""

from __future__ import annotations

import pytest

from streams.engine.pace import Pace


class World:
    """A limit and a clock that a test says."""

    def __init__(self) -> None:
        self.per_s, self.is_paused, self.now_s = 0, False, 0.0
        self.pace = Pace(lambda: self.per_s, lambda: self.is_paused, lambda: self.now_s, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def world() -> World:
    return World()


async def test_without_a_limit(world: World) -> None:
    """A turn takes what a turn may, whatever was folded."""
    world.pace.folded(10_000)
    assert await world.pace.room(1_000) == 1_000


async def test_the_limit_is_kept(world: World) -> None:
    """Over ten seconds no more is folded than it says, and hardly less."""
    world.per_s, folded = 5_000, 0
    while world.now_s < 10:
        took = await world.pace.room(1_000)
        world.pace.folded(took)
        folded += took
        world.now_s += 0.01  # what a turn takes
    assert 45_000 < folded <= 50_500


async def test_time_that_was_not_used_is_not_saved_up(world: World) -> None:
    """After a minute without events there is room for one turn, not for a minute's."""
    world.per_s = 1_000
    world.now_s = 60.0
    world.pace.folded(await world.pace.room(1_000))
    world.pace.folded(500)
    assert await world.pace.room(1_000) == 0


async def test_while_the_live_version_is_behind(world: World) -> None:
    """Nothing is folded, with a limit or without, until it has caught up."""
    world.is_paused = True
    assert await world.pace.room(1_000) == 0
    world.is_paused = False
    assert await world.pace.room(1_000) == 1_000
