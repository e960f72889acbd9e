"""Query parameters of the resource API."""

from __future__ import annotations

from typing import NamedTuple

from multidict import MultiMapping

from service.api.kinds import OBJECT_ID
from service.api.messages import Message, MessagesError, invalid

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1_000
MAX_HISTORY_PAGE_SIZE = 100
"""Each version is read from the log, within a transaction that may be large."""
MAX_PAGE = 2**31 - 1
_MAX_DIGITS = 10
_MAX_TOLD = 100
"""Of a broken parameter, as many characters are told back."""


class Listing(NamedTuple):
    """Which objects of a type are asked for."""

    page: int
    """From 0."""
    page_size: int
    ids: frozenset[str] | None
    """None: all."""
    include_hidden: bool
    include_others: bool
    """Also what every company may see of others' objects."""


def read_listing(query: MultiMapping[str], *, most: int = MAX_PAGE_SIZE) -> Listing:
    """Return what a list is asked for, at most *most* on a page; raise `MessagesError` with all that is broken."""
    broken: list[Message] = []
    listing = Listing(
        page=_integer(query, "page", 0, 0, MAX_PAGE, broken),
        page_size=_integer(query, "pageSize", DEFAULT_PAGE_SIZE, 1, most, broken),
        ids=_ids(query, broken),
        include_hidden=_flag(query, "includeHidden", broken),
        include_others=_flag(query, "includeOthers", broken),
    )
    if broken:
        raise MessagesError(400, broken)
    return listing


def read_context(query: MultiMapping[str]) -> str:
    """Return the id of the company that `context` names; raise `MessagesError` (400) where it is missing or no id."""
    values = query.getall("context", [])
    if not values:
        text = "The parameter context is required: the id of the company that the request is about"
        raise MessagesError(400, [invalid("context.required", text)])
    if len(set(values)) > 1 or not OBJECT_ID.fullmatch(values[0]):
        raise MessagesError(400, [parameter_broken("context", "one id of a company", values[-1])])
    return values[0]


def read_flag(query: MultiMapping[str], name: str) -> bool:
    """Return whether a parameter is true; raise `MessagesError` (400) where it is neither that nor false."""
    broken: list[Message] = []
    flag = _flag(query, name, broken)
    if broken:
        raise MessagesError(400, broken)
    return flag


def _integer(query: MultiMapping[str], name: str, default: int, least: int, most: int, broken: list[Message]) -> int:
    values = query.getall(name, [])
    if not values:
        return default
    text = values[0]
    good = len(values) == 1 and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not good or not least <= int(text) <= most:
        broken.append(parameter_broken(name, f"an integer from {least} to {most}, given once", values[-1]))
        return default
    return int(text)


def _flag(query: MultiMapping[str], name: str, broken: list[Message]) -> bool:
    values = query.getall(name, ["false"])
    # Client libraries write a flag as their language does.
    flag = values[0].lower()
    if len(values) > 1 or flag not in ("true", "false"):
        broken.append(parameter_broken(name, "true or false, given once", values[-1]))
    return flag == "true"


def _ids(query: MultiMapping[str], broken: list[Message]) -> frozenset[str] | None:
    values = query.getall("id", [])
    if not values:
        return None
    ids = [part for value in values for part in value.split(";") if part]
    broken += [
        parameter_broken("id", "ids, separated by semicolons", part) for part in ids if not OBJECT_ID.fullmatch(part)
    ]
    return frozenset(ids)


def parameter_broken(name: str, what: str, value: str) -> Message:
    """Return what a parameter must be, and is not."""
    text = "The parameter {{parameter}} must be {{what}}, not {{value}}"
    return invalid("parameter.invalid", text, parameter=name, what=what, value=value[:_MAX_TOLD])
