"""Scopes: the words that say what a token or a key is for."""

from __future__ import annotations

from collections.abc import Iterable

Scopes = frozenset[str]
"""`read` and `write`, alone or of one type of resources, as `apps:read`; what writes also reads."""

READ, WRITE = "read", "write"


def limits(words: Iterable[str]) -> Scopes | None:
    """Return what a token with these words is limited to; None: to nothing, as words that say nothing here do not."""
    return frozenset(word for word in words if is_known(word)) or None


def is_known(word: str) -> bool:
    """Say whether a word says something here."""
    return word in (READ, WRITE) or word.partition(":")[2] in (READ, WRITE)


def has_scope(scopes: Scopes | None, resource: str, verb: str) -> bool:
    """Say whether a token with these limits is to *verb*, `read` or `write`, resources of a type."""
    if scopes is None:
        return True
    verbs = {verb, WRITE}
    return not scopes.isdisjoint({*verbs, *(f"{resource}:{one}" for one in verbs)})
