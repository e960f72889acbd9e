"""The catalogue of the demo: films and series that exist, with what an item says of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.demo.films import FILMS
from service.demo.series import SERIES
from streams.domain.items import Item

Action = Literal["up_next_continue", "up_next_next", "up_next_new", "up_next_watchlist"]


class Episode(msgspec.Struct, frozen=True, order=True):
    """One episode's number within its series, both parts from 1."""

    season: int
    number: int


class Film(msgspec.Struct, frozen=True):
    """A film."""

    title: str
    year: int
    minutes: int
    description: str

    @property
    def slug(self) -> str:
        """What it is called in content ids."""
        return slug(self.title, self.year)


class Series(msgspec.Struct, frozen=True):
    """A series; *minutes* is what an episode takes, *seasons* how many episodes each has."""

    title: str
    year: int
    minutes: int
    description: str
    seasons: tuple[int, ...]

    @property
    def slug(self) -> str:
        """What it is called in content ids."""
        return slug(self.title, self.year)

    def after(self, episode: Episode) -> Episode | None:
        """Return the episode after this one, None after the last of the last season."""
        if episode.number < self.seasons[episode.season - 1]:
            return Episode(episode.season, episode.number + 1)
        return Episode(episode.season + 1, 1) if episode.season < len(self.seasons) else None


Title = Film | Series


def catalogue() -> tuple[Title, ...]:
    """Return every film, then every series."""
    return (*_films(), *_series())


def slug(title: str, year: int) -> str:
    """Return lower-case ASCII words joined by hyphens, with the year: `amelie-2001`."""
    ascii_title = unicodedata.normalize("NFKD", title.replace("½", " and a half")).encode("ascii", "ignore").decode()
    return "-".join([*re.findall(r"[a-z0-9]+", ascii_title.lower().replace("'", "")), str(year)])


def make_item(
    title: Title,
    action: Action,
    media: str,
    *,
    episode: Episode | None = None,
    position_s: int | None = None,
    hidden: bool | UnsetType = UNSET,
) -> Item:
    """
    Return what a publisher writes of *title*.

    Args:
        title: The film, or the series that *episode* is of.
        action: Why it is in the list.
        media: Where the publisher keeps its pictures: a URI without a slash at its end.
        episode: Given if and only if *title* is a series.
        position_s: Where it was left; required for `up_next_continue`.
        hidden: Left out, it stays as it is.
    """
    return Item(
        content_id=content_id(title, episode),
        media_type="movie" if episode is None else "tv_episode",
        action=action,
        title=title.title,
        description=title.description,
        season=UNSET if episode is None else episode.season,
        episode=UNSET if episode is None else episode.number,
        poster_art_uri=f"{media}/posters/{title.slug}.jpg",
        poster_art_aspect_ratio="aspect_ratio_2_3",
        position=UNSET if position_s is None else position_s,
        duration=title.minutes * 60,
        hidden=hidden,
    )


def content_id(title: Title, episode: Episode | None) -> str:
    """Return the id of a film, or of one episode: `the-wire-2002-s01e02`."""
    return title.slug if episode is None else f"{title.slug}-s{episode.season:02}e{episode.number:02}"


def _rows(table: str) -> Iterator[list[str]]:
    for line in table.splitlines():
        yield [cell.strip() for cell in line.split("|")]


def _films() -> Iterator[Film]:
    for title, year, minutes, description in _rows(FILMS):
        yield Film(title, int(year), int(minutes), description)


def _series() -> Iterator[Series]:
    for title, year, minutes, seasons, description in _rows(SERIES):
        counts = tuple(int(count) for count in seasons.split())
        yield Series(title, int(year), int(minutes), description, counts)
