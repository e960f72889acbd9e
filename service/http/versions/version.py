"""What a version of `/v1` is, and how each older one comes of the one after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec

HEADER = "Paket-Version"

ListBody = Callable[[int, int | None, bytes, bytes], bytes]
"""
Total, index of the next entry if there is one, entries joined by commas, what else the next page's query has, from its
limit on → the list as JSON.
"""
Answers = Mapping[type[msgspec.Struct], type[msgspec.Struct]]
"""What the newest version answers → what this one does, where that is something else."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a version has changed: how to answer as the one before it did."""

    version: str
    """The one that has it, YYYY-MM-DD."""
    says: str
    """What it alters, for those who use the API."""
    list_body_before: ListBody | None = None
    answers_before: Answers = field(default_factory=dict)
    """What this version answers → what the one before it did."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """From when a version is deprecated, and from when it may be gone."""

    deprecated: datetime
    sunset: datetime | None = None

    def headers(self) -> dict[str, str]:
        """Return what every answer of the version bears; source: RFC 9745, RFC 8594."""
        headers = {"Deprecation": f"@{int(self.deprecated.timestamp())}"}
        if self.sunset is not None:
            headers["Sunset"] = format_datetime(self.sunset.astimezone(UTC), usegmt=True)
        return headers


@dataclass(frozen=True, kw_only=True, eq=False)
class Version:
    """How `/v1` answers those who use this version."""

    name: str
    """YYYY-MM-DD."""
    says: str
    """What it alters of the one before it."""
    list_body: ListBody
    tag: str
    """What tells the `ETag` of a list from that of the same list in the first version."""
    answers: Answers
    headers: Mapping[str, str]
    """What every answer bears: the version's name, and its end where it has one."""
    ending: Ending | None

    def answer(self, newest: type[msgspec.Struct]) -> type[msgspec.Struct]:
        """Return what is answered where the newest version answers *newest*."""
        return self.answers.get(newest, newest)


class Versions:
    """The versions that there are."""

    def __init__(
        self, first: str, changes: Sequence[Change], list_body: ListBody, endings: Mapping[str, Ending] | None = None
    ) -> None:
        """
        Go back from the newest version, change by change: no request pays for how many there are.

        Args:
            first: The name of the first version.
            changes: What each later one has changed, the oldest first.
            list_body: How the newest one writes lists.
            endings: By name, of those that are to end.
        """
        found: list[Version] = []
        answers: Answers = {}
        for change in (*reversed(changes), Change(version=first, says="The first one.")):
            ending = (endings or {}).get(change.version)
            version = Version(
                name=change.version,
                says=change.says,
                list_body=list_body,
                tag="" if change.version == first else change.version,
                answers=answers,
                headers={HEADER: change.version, **({} if ending is None else ending.headers())},
                ending=ending,
            )
            found.append(version)
            list_body = change.list_body_before or list_body
            answers = _before(answers, change)
        self.first = found[-1]
        """What clients get that name none."""
        self._by_name = {version.name: version for version in reversed(found)}

    def __iter__(self) -> Iterator[Version]:
        """Go through them, the oldest first."""
        return iter(self._by_name.values())

    def find(self, name: str) -> Version | None:
        """Return the version of that name, None where there is none."""
        return self._by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, the oldest first."""
        return tuple(self._by_name)


def _before(answers: Answers, change: Change) -> Answers:
    """Return what the version before a change answers; *answers* is that for the one that has it."""
    before = change.answers_before
    return {newest: before.get(kind, kind) for newest, kind in {**{kind: kind for kind in before}, **answers}.items()}
