"""How people watch: a film is left half way, an episode ends and the next one is up. Seeded, and without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import msgspec

from service.demo.catalogue import Action, Episode, Film, Series, Title, content_id, make_item
from service.demo.household import Service
from streams.domain.items import Item


class Put(msgspec.Struct, frozen=True):
    """A publisher writes an item into a viewer's list."""

    viewer: int
    service: int
    item: Item
    says: str


class Remove(msgspec.Struct, frozen=True):
    """A publisher takes an item out of a viewer's list."""

    viewer: int
    service: int
    content_id: str
    says: str


class Hide(msgspec.Struct, frozen=True):
    """A platform hides an item for its viewer, or shows it again."""

    viewer: int
    service: int
    content_id: str
    hidden: bool
    says: str


Act = Put | Remove | Hide


class Offer(msgspec.Struct, frozen=True):
    """A title, and the service that has it."""

    service: int
    title: Title


class Entry(msgspec.Struct, frozen=True):
    """What stands in a viewer's list for one title."""

    offer: Offer
    action: Action
    episode: Episode | None
    position_s: int = 0

    @property
    def slug(self) -> str:
        """The title's."""
        return self.offer.title.slug

    @property
    def content_id(self) -> str:
        """The film's, or the episode's."""
        return content_id(self.offer.title, self.episode)

    @property
    def name(self) -> str:
        """What a person would call it: `The Wire S2 E4`."""
        title = self.offer.title.title
        return title if self.episode is None else f"{title} S{self.episode.season} E{self.episode.number}"

    @property
    def duration_s(self) -> int:
        """The length of the film, or of the episode."""
        return self.offer.title.minutes * 60


FINISHED = 0.97
"""A title is over when no more than 3 % of it are left."""
_ORDER: Sequence[Action] = ("up_next_watchlist", "up_next_new", "up_next_next", "up_next_continue")
"""In which the first entries are written, so that what is being watched comes out on top."""
_FILM_WEIGHTS = (75, 0, 0, 25)
_SERIES_WEIGHTS = (40, 10, 25, 25)
_LIKELY = {"up_next_continue": 6, "up_next_next": 9, "up_next_new": 9, "up_next_watchlist": 1}
"""How likely an entry is to be watched next."""


class Viewer:
    """One person: what is in their lists, and what they are watching."""

    def __init__(
        self, index: int, name: str, offers: Sequence[Offer], services: Sequence[Service], draws: Random
    ) -> None:
        """Take what there is to watch; every choice is one of *draws*."""
        self._index, self._name, self._services, self._draws = index, name, services, draws
        self._untouched = draws.sample(offers, len(offers))
        self._shelf: dict[str, Entry] = {}
        self._hidden: set[str] = set()
        self._coming: list[Entry] = []
        self._watching: str | None = None

    def first_entries(self) -> Iterator[Act]:
        """Yield what makes up the lists before anybody watches: most of what there is."""
        spared = len(self._untouched) // 8
        entries = [self._first_entry(offer) for offer in self._untouched[spared:]]
        del self._untouched[spared:]
        for entry in sorted(entries, key=lambda entry: _ORDER.index(entry.action)):
            yield self._put(entry, f"{self._name} has {entry.name}")

    def act(self) -> list[Act]:
        """Return what happens next: one or two writes."""
        asides: Sequence[Callable[[], list[Act]]] = (self._wish, self._hide, self._show, self._renew, self._watch)
        (happens,) = self._draws.choices(asides, weights=(5, 3, 2, 4, 86))
        return happens() or self._watch()

    def _first_entry(self, offer: Offer) -> Entry:
        weights = _FILM_WEIGHTS if isinstance(offer.title, Film) else _SERIES_WEIGHTS
        (action,) = self._draws.choices(_ORDER, weights)
        position_s = 0
        if action == "up_next_continue":
            position_s = int(offer.title.minutes * 60 * self._draws.uniform(0.05, 0.9))
        return Entry(offer, action, self._some_episode(offer.title, action), position_s)

    def _some_episode(self, title: Title, action: Action) -> Episode | None:
        match title:
            case Film():
                return None
            case Series() if action == "up_next_watchlist":
                return Episode(1, 1)
            case Series() if action == "up_next_new":
                return Episode(len(title.seasons), 1)
            case Series():
                season = self._draws.randint(1, len(title.seasons))
                return Episode(season, self._draws.randint(1, title.seasons[season - 1]))

    def _wish(self) -> list[Act]:
        if not self._untouched:
            return []
        offer = self._untouched.pop()
        entry = Entry(offer, "up_next_watchlist", None if isinstance(offer.title, Film) else Episode(1, 1))
        return [self._put(entry, f"{self._name} would like to see {entry.name}")]

    def _hide(self) -> list[Act]:
        wishes = [entry for entry in self._visible() if entry.action == "up_next_watchlist"]
        return [self._set_hidden(self._draws.choice(wishes), hidden=True)] if wishes else []

    def _show(self) -> list[Act]:
        hidden = sorted(self._hidden)
        return [self._set_hidden(self._shelf[self._draws.choice(hidden)], hidden=False)] if hidden else []

    def _set_hidden(self, entry: Entry, *, hidden: bool) -> Hide:
        (self._hidden.add if hidden else self._hidden.discard)(entry.slug)
        says = f"{self._name} {'hides' if hidden else 'shows again'} {entry.name}"
        return Hide(self._index, entry.offer.service, entry.content_id, hidden, says)

    def _renew(self) -> list[Act]:
        """Bring a season that a viewer who was caught up has waited for."""
        if not self._coming:
            return []
        entry = self._coming.pop(self._draws.randrange(len(self._coming)))
        service = self._services[entry.offer.service].name
        return [self._put(entry, f"{service} has a new season for {self._name}: {entry.name}")]

    def _watch(self) -> list[Act]:
        if self._watching is None or self._draws.random() < 0.04:
            return self._start()
        return self._go_on(self._shelf[self._watching], "watches")

    def _start(self) -> list[Act]:
        choices = [entry for entry in self._visible() if entry.slug != self._watching]
        if not choices:
            return self._wish() or self._show()
        (entry,) = self._draws.choices(choices, [_LIKELY[entry.action] for entry in choices])
        self._watching = entry.slug
        return self._go_on(entry, "goes on with")

    def _go_on(self, entry: Entry, verb: str) -> list[Act]:
        if entry.action != "up_next_continue":
            # However short it is, something is left of it.
            position_s = min(self._draws.randint(120, 240), entry.duration_s // 2)
            return [self._put_at(entry, position_s, "starts")]
        position_s = entry.position_s + self._draws.randint(120, 480)
        if position_s >= FINISHED * entry.duration_s:
            return self._finish(entry)
        return [self._put_at(entry, position_s, verb)]

    def _finish(self, entry: Entry) -> list[Act]:
        del self._shelf[entry.slug]
        self._watching = None
        acts: list[Act] = [
            Remove(self._index, entry.offer.service, entry.content_id, f"{self._name} finishes {entry.name}")
        ]
        after = (
            entry.offer.title.after(entry.episode) if isinstance(entry.offer.title, Series) and entry.episode else None
        )
        if after is None:
            self._untouched.insert(0, entry.offer)
        elif after.number == 1 and self._draws.random() < 0.6:
            self._coming.append(Entry(entry.offer, "up_next_new", after))
        else:
            acts.append(self._next(Entry(entry.offer, "up_next_next", after)))
        return acts

    def _next(self, entry: Entry) -> Put:
        if self._draws.random() < 0.7:
            self._watching = entry.slug
        return self._put(entry, f"{entry.name} is next for {self._name}")

    def _put_at(self, entry: Entry, position_s: int, verb: str) -> Put:
        minutes = f"{position_s // 60} of {entry.duration_s // 60} min"
        after = Entry(entry.offer, "up_next_continue", entry.episode, position_s)
        return self._put(after, f"{self._name} {verb} {entry.name}: {minutes}")

    def _put(self, entry: Entry, says: str) -> Put:
        self._shelf[entry.slug] = entry
        position_s = entry.position_s if entry.action == "up_next_continue" else None
        media = self._services[entry.offer.service].media
        item = make_item(entry.offer.title, entry.action, media, episode=entry.episode, position_s=position_s)
        return Put(self._index, entry.offer.service, item, says)

    def _visible(self) -> list[Entry]:
        return [entry for slug, entry in self._shelf.items() if slug not in self._hidden]


def make_viewers(
    people: Sequence[str], services: Sequence[Service], titles: Sequence[Title], draws: Random
) -> list[Viewer]:
    """Return the viewers: each title is one service's, and for one of them, now and then for several."""
    offers = [Offer(draws.randrange(len(services)), title) for title in draws.sample(titles, len(titles))]
    share: list[list[Offer]] = [[] for _ in people]
    for number, offer in enumerate(offers):
        for index, taste in enumerate(share):
            if number % len(people) == index or draws.random() < 0.15:
                taste.append(offer)
    return [Viewer(index, name, share[index], services, draws) for index, name in enumerate(people)]


def watch(viewers: Sequence[Viewer], draws: Random) -> Iterator[Act]:
    """Yield what the viewers do, for ever; what belongs together comes one right after the other."""
    while True:
        yield from draws.choice(viewers).act()
