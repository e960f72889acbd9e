"""Strong entity tags of lists, made from what the list was made from, never from its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from aiohttp.hdrs import IF_NONE_MATCH
from multidict import MultiMapping

from service.http.params import Window


def list_etag(revision: str, state: str, tags: Iterable[str], window: Window) -> str:
    """
    Return the tag of one page of one list.

    Args:
        revision: The whole list's, with the version of the views.
        state: How the list stands to what it should hold; readers see it beside the list.
        tags: Of what belongs to the apps on the page, in an order that does not depend on the answer.
        window: Which page.
    """
    made_from = f"{revision}\n{state}\n{list(tags)}\n{window.start}\n{window.limit}"
    return f'"{blake2b(made_from.encode(), digest_size=12).hexdigest()}"'


def is_known(headers: MultiMapping[str], etag: str) -> bool:
    """Say whether the request's `If-None-Match` holds *etag*, which ends in 304 (RFC 9110, 13.1.2)."""
    if IF_NONE_MATCH not in headers:
        return False
    known = ",".join(headers.getall(IF_NONE_MATCH))
    if known.strip() == "*":
        return True
    # The comparison is the weak one; our own tags hold no commas, so others' may be cut at theirs.
    return any(tag.strip().removeprefix("W/") == etag for tag in known.split(","))
