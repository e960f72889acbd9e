"""The demo's catalogue: titles that a node takes, and that a reader believes."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
import pytest

from service.demo.catalogue import Action, Episode, Film, Series, Title, catalogue, content_id, make_item, slug
from streams.domain.items import Item, item_faults

MEDIA = "https://media.example"
FILMS = [title for title in catalogue() if isinstance(title, Film)]
SERIES = [title for title in catalogue() if isinstance(title, Series)]


def test_there_are_enough_of_both() -> None:
    """The lists are long enough for pages, and nobody runs out of things to watch."""
    assert len(catalogue()) >= 300
    assert len(FILMS) >= 100
    assert len(SERIES) >= 100


def test_every_title_is_there_once() -> None:
    """No two films, and no two series, share a title and a year; no two of either share a content id."""
    ids = [content_id(title, None) for title in FILMS]
    ids += [content_id(series, episode) for series in SERIES for episode in episodes(series)]
    assert len(ids) == len(set(ids))
    assert len({title.slug for title in catalogue()}) == len(catalogue())
    assert len({title.description for title in catalogue()}) == len(catalogue())


def test_titles_are_plausible() -> None:
    """Years of cinema and television, lengths that people sit through, and one sentence."""
    assert [title for title in catalogue() if not is_plausible(title)] == []


def is_plausible(title: Title) -> bool:
    match title:
        case Film():
            lasts = 40 <= title.minutes <= 240
        case Series():
            lasts = 5 <= title.minutes <= 90 and 1 <= len(title.seasons) <= 15
            lasts = lasts and all(1 <= count <= 64 for count in title.seasons)
    named = title.title == title.title.strip() != "" and quote(title.slug, safe="") == title.slug
    told = re.fullmatch(r"[0-9A-Z].{20,119}\.", title.description) is not None
    return lasts and named and told and 1890 <= title.year <= 2025


@pytest.mark.parametrize("action", ["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"])
def test_a_node_takes_every_item(action: Action) -> None:
    """What is made of a title breaks no rule, at its start and at its end."""
    for title in catalogue():
        last = Episode(len(title.seasons), title.seasons[-1]) if isinstance(title, Series) else None
        for position_s in (0, title.minutes * 60):
            item = make_item(title, action, MEDIA, episode=last, position_s=position_s, hidden=False)
            assert item_faults(item) == []
            assert msgspec.json.decode(msgspec.json.encode(item), type=Item) == item


def test_slugs_are_plain_ascii() -> None:
    """Accents, apostrophes and signs do not reach content ids."""
    assert slug("Amélie", 2001) == "amelie-2001"
    assert slug("Singin' in the Rain", 1952) == "singin-in-the-rain-1952"
    assert slug("8½", 1963) == "8-and-a-half-1963"
    assert slug("Thelma & Louise", 1991) == "thelma-louise-1991"


def test_episodes_follow_one_another() -> None:
    """Every episode of every season comes once, in order, and then the series is over."""
    series = Series("Two seasons", 2000, 30, "A short one.", (2, 1))
    assert list(episodes(series)) == [Episode(1, 1), Episode(1, 2), Episode(2, 1)]
    assert all(len(list(episodes(known))) == sum(known.seasons) for known in SERIES)


def episodes(series: Series) -> list[Episode]:
    found: list[Episode] = []
    episode: Episode | None = Episode(1, 1)
    while episode is not None:
        found.append(episode)
        episode = series.after(episode)
    return found
