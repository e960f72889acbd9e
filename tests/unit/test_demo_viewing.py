"""The demo's viewers: believable, the same for the same seed, and never against what a node would take."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

import pytest

from service.demo.catalogue import Film, Series, catalogue
from service.demo.household import PEOPLE, SERVICES
from service.demo.viewing import Act, Hide, Put, Remove, Viewer, make_viewers, watch
from streams.domain.items import Item, item_faults

SEEDS = range(3)
ACTS = 2_000
Lists = dict[tuple[int, int], dict[str, Item]]


def story(seed: int) -> tuple[list[Act], list[Act]]:
    """Return what fills the lists, and what happens then."""
    print(f"seed {seed}")
    draws = Random(seed)
    viewers = make_viewers(PEOPLE, SERVICES, catalogue(), draws)
    first = [act for viewer in viewers for act in viewer.first_entries()]
    return first, list(islice(watch(viewers, draws), ACTS))


def apply(lists: Lists, act: Act) -> None:
    items = lists.setdefault((act.viewer, act.service), {})
    match act:
        case Put():
            items[act.item.content_id] = act.item
        case Remove():
            del items[act.content_id]
        case Hide():
            assert act.content_id in items


def test_the_same_seed_tells_the_same_story() -> None:
    """A run can be had again, and another seed gives another one."""
    assert story(7) == story(7)
    assert story(7) != story(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_takes_all_of_it(seed: int) -> None:
    """Items break no rule; only what is in a list is taken out of it or hidden; lists stay within their bound."""
    first, then = story(seed)
    lists: Lists = {}
    for act in [*first, *then]:
        if isinstance(act, Put):
            assert item_faults(act.item) == []
        apply(lists, act)
        assert len(lists[act.viewer, act.service]) <= 1_000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_lists_hold_most_of_the_catalogue(seed: int) -> None:
    """Everyone has something on each service, over several pages, and together they have 300 titles or more."""
    first, _ = story(seed)
    lists: Lists = {}
    for act in first:
        apply(lists, act)
    assert set(lists) == {(viewer, service) for viewer in range(len(PEOPLE)) for service in range(len(SERVICES))}
    for viewer in range(len(PEOPLE)):
        assert sum(len(items) for (owner, _), items in lists.items() if owner == viewer) > 100
    assert len({item.title for items in lists.values() for item in items.values()}) >= 300


@pytest.mark.parametrize("seed", SEEDS)
def test_a_title_stands_once_in_a_list(seed: int) -> None:
    """The next episode takes the place of the one that ended; nobody's row shows a series twice."""
    first, then = story(seed)
    lists: Lists = {}
    for act in [*first, *then]:
        apply(lists, act)
        slugs = Counter(poster(item) for item in lists[act.viewer, act.service].values())
        assert slugs.most_common(1) == [] or slugs.most_common(1)[0][1] == 1


def poster(item: Item) -> str:
    return item.poster_art_uri


@pytest.mark.parametrize("seed", SEEDS)
def test_people_watch_forward_and_to_the_end(seed: int) -> None:
    """A position only advances; what is taken out was nearly over, and an episode is followed by the one after it."""
    first, then = story(seed)
    series = {known.title: known for known in catalogue() if isinstance(known, Series)}
    lists: Lists = {}
    for act in first:
        apply(lists, act)
    followed = 0
    for act, after in zip(then, [*then[1:], None], strict=True):
        items = lists[act.viewer, act.service]
        if isinstance(act, Put) and (before := items.get(act.item.content_id)) is not None and act.item.position:
            assert (before.position or 0) < act.item.position
        if isinstance(act, Remove):
            ended = items[act.content_id]
            assert ended.action == "up_next_continue"
            assert isinstance(ended.position, int)
            assert ended.position + 480 >= 0.97 * ended.duration
            if isinstance(after, Put) and after.item.action == "up_next_next":
                assert (after.viewer, after.service) == (act.viewer, act.service)
                assert after.item.title == ended.title
                assert number(series[ended.title], after.item) == number(series[ended.title], ended) + 1
                followed += 1
        apply(lists, act)
    assert followed > 10


def number(series: Series, item: Item) -> int:
    """Return how many episodes there are up to this one."""
    assert isinstance(item.season, int)
    assert isinstance(item.episode, int)
    return sum(series.seasons[: item.season - 1]) + item.episode


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_happens(seed: int) -> None:
    """Every action, hiding and showing again, both kinds of media, everyone, on every service."""
    _, then = story(seed)
    puts = [act for act in then if isinstance(act, Put)]
    assert {put.item.action for put in puts} == {
        "up_next_continue",
        "up_next_next",
        "up_next_new",
        "up_next_watchlist",
    }
    assert {put.item.media_type for put in puts} == {"movie", "tv_episode"}
    assert {act.hidden for act in then if isinstance(act, Hide)} == {True, False}
    assert {(act.viewer, act.service) for act in puts} == {(v, s) for v in range(2) for s in range(3)}
    assert any(isinstance(act, Remove) for act in then)


def test_one_short_film_is_watched_for_ever() -> None:
    """The smallest catalogue has a story, too: it is wished for, watched, over, and wished for again."""
    draws = Random(1)
    viewers = make_viewers(["Maya"], SERVICES, [Film("Short", 2000, 5, "A short film.")], draws)
    assert len([act for viewer in viewers for act in viewer.first_entries()]) == 1
    acts = list(islice(watch(viewers, draws), 200))
    assert sum(isinstance(act, Remove) for act in acts) > 10
    assert all(act.item.position < act.item.duration for act in acts if isinstance(act, Put) and act.item.position)


def test_nothing_to_watch_is_no_act() -> None:
    """A viewer without a single title does nothing, and fails at nothing."""
    assert Viewer(0, "Maya", [], SERVICES, Random(1)).act() == []
