"""Who is in the demo: streaming services, makers of televisions, and the people at home. All of them are made up."""

from __future__ import annotations

import msgspec


class Service(msgspec.Struct, frozen=True):
    """A publisher: one company with one app."""

    name: str
    slug: str

    @property
    def media(self) -> str:
        """Where its pictures would be."""
        return f"https://media.{self.slug}.example"


class Maker(msgspec.Struct, frozen=True):
    """A maker of televisions: one company with one platform."""

    name: str
    slug: str


SERVICES = (
    Service("Lanternhouse", "lanternhouse"),
    Service("Kestrel Play", "kestrel-play"),
    Service("Northlight", "northlight"),
)
MAKERS = (Maker("Halden TV", "halden-tv"), Maker("Orrin OS", "orrin-os"))
LINKING = 1
"""Which of them makes links of what it is told."""
PEOPLE = ("Maya", "Jonas")
