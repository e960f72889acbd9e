"""Query parameters: which part of a list is asked for."""

from __future__ import annotations

from typing import NamedTuple

from multidict import MultiMapping

from service.http.problems import Fault

MAX_ITEMS_PAGE = 200
MAX_CONTEXTS_PAGE = 50
DEFAULT_PAGE = 50
MAX_KEY = 2**31 - 1

AS_OF = "as_of"
_MAX_DIGITS = 10


class Window(NamedTuple):
    """The part of a list from index *start*, at most *limit* entries."""

    start: int
    limit: int
    beside: str = ""
    """What the queries of further pages have beside both, such as `&as_of=…`."""


def read_window(query: MultiMapping[str], *, most: int) -> tuple[Window, list[Fault]]:
    """
    Return what `limit` (1 to *most*) and `next_key` (0 or more) ask for, and what is wrong with them.

    Other parameters are ignored.
    """
    if not query:
        return Window(0, DEFAULT_PAGE), []
    limit, limit_fault = _integer(query, "limit", DEFAULT_PAGE, least=1, most=most)
    start, start_fault = _integer(query, "next_key", 0, least=0, most=MAX_KEY)
    return Window(start, limit), [fault for fault in (limit_fault, start_fault) if fault is not None]


def _integer(query: MultiMapping[str], name: str, default: int, *, least: int, most: int) -> tuple[int, Fault | None]:
    """Return the parameter as an integer and what is wrong with it: ASCII digits only, given at most once."""
    values = query.getall(name, [])
    if not values:
        return default, None
    if len(values) > 1:
        return default, Fault(name, "repeated", "This parameter may be given once.")
    text = values[0]
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return default, Fault(name, "wrong_type", "This must be an integer.")
    if len(digits) > _MAX_DIGITS or not least <= (value := int(text)) <= most:
        return default, Fault(name, "out_of_range", f"This must be {least} to {most}.")
    return value, None
