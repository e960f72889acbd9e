"""What to try on a node that the demo has filled: lines for a shell, with real ids and credentials."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import msgspec

from service.demo.catalogue import Film, content_id, make_item
from service.demo.filling import Household, Tenant, context_path, session_path
from service.demo.household import PEOPLE, SERVICES
from service.demo.viewing import Put
from streams.domain.items import Item

_FILM = Film("Nosferatu", 1922, 94, "A clerk sells a house to a count who sleeps by day.")
"""Nobody in the demo watches it, so that it stays where the examples put it."""
_VIEWER, _SERVICE = 0, 0
_PAGE = 5


class Example(NamedTuple):
    """A line, and what it does."""

    says: str
    """Without quotes: shells that take no comments at their prompt would wait for the end of one."""
    line: str


def example_put() -> Put:
    """Return the write that makes the examples work in any order."""
    return Put(_VIEWER, _SERVICE, _item(600), f"{PEOPLE[_VIEWER]} has {_FILM.title}")


def examples(url: str, household: Household) -> list[Example]:
    """Return lines that all work when pasted, one by one or all together."""
    app, context = household.apps[_SERVICE], household.contexts[_VIEWER][_SERVICE]
    (first, session), (second, other) = zip(household.platforms, household.sessions[_VIEWER], strict=True)
    writes, reads = url + context_path(context), url + session_path(session)
    attached = {"app_id": app.id, "context_id": context}
    hide, show = ({"content_id": content_id(_FILM, None), "action": action} for action in ("hide", "unhide"))
    return [
        Example(f"{app.name} writes how far into {_FILM.title} it is", _curl(app, "PUT", writes, _item(1_200))),
        Example(f"{first.name} reads the list of {PEOPLE[_VIEWER]}", _curl(first, "GET", f"{reads}?limit={_PAGE}")),
        Example("the next page", _curl(first, "GET", f"{reads}?limit={_PAGE}&next_key={_PAGE}")),
        Example(
            f"{second.name} reads the same, with links of its own",
            _curl(second, "GET", f"{url}{session_path(other)}?limit={_PAGE}"),
        ),
        Example(f"what {app.name} alone has", _curl(first, "GET", f"{reads}/{context}?limit={_PAGE}")),
        Example(f"hide {_FILM.title}, on every screen", _curl(first, "PUT", f"{reads}/{context}", hide)),
        Example("and show it again", _curl(first, "PUT", f"{reads}/{context}", show)),
        Example(f"detach {app.name}: its items are gone", _curl(first, "DELETE", f"{reads}/{context}")),
        Example("attach it: they are back", _curl(first, "PUT", reads, attached)),
    ]


def _item(position_s: int) -> Item:
    return make_item(_FILM, "up_next_continue", SERVICES[_SERVICE].media, position_s=position_s)


def _curl(who: Tenant, method: str, url: str, body: object = None) -> str:
    words = ["curl", "-u", ":".join(who.credentials)]
    if method != "GET":
        words += ["-X", method]
    words.append(url)
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", msgspec.json.encode(body).decode()]
    return shlex.join(words)
