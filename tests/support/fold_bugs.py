"""Bugs in folds, on purpose, that leave tables in which only another fold of the same events can find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class FoldBug(NamedTuple):
    """A change to what a fold makes of events."""

    name: str
    module: str
    before: str
    """Text that stands in the module once …"""
    after: str
    """… and what stands there instead."""
    shows: str
    """What a comparison names: the content id of an item, or what was attached otherwise."""
    event: str
    """The type of an event that is named with it, though the node that is asked folds with the bug as well."""

    @property
    def changes(self) -> Mapping[str, str]:
        return {self.before: self.after}


_CONTEXT, _SESSION = "streams.domain.context", "streams.domain.session"
FOLD_BUGS: Mapping[str, FoldBug] = {
    bug.name: bug
    for bug in (
        FoldBug(
            "put-shows-again",
            _CONTEXT,
            "(old is not None and old.hidden) if item.hidden is UNSET else item.hidden",
            "False if item.hidden is UNSET else item.hidden",
            "hidden",
            "context.item_hidden.v1",
        ),
        FoldBug(
            "all-at-one-time",
            _CONTEXT,
            "min(max(time_ms, self._meta.time_ms + 1), LAST_MS)",
            "min(time_ms, LAST_MS)",
            "second",
            "context.items_replaced.v1",
        ),
        FoldBug(
            "others-are-kept",
            _CONTEXT,
            "if content_id not in named for",
            "if content_id in () for",
            "left-out",
            "context.item_put.v1",
        ),
        FoldBug(
            "removed-is-kept",
            _CONTEXT,
            "return self.remove(event.content_id.encode())",
            "return []",
            "removed",
            "context.item_removed.v1",
        ),
        FoldBug(
            "hiding-moves",
            _CONTEXT,
            "self._put_in(content_id, old.time_ms, with_hidden",
            "self._put_in(content_id, old.time_ms + 1, with_hidden",
            "hidden-once",
            "context.item_hidden.v1",
        ),
        FoldBug(
            "old-place-kept",
            _CONTEXT,
            "self._rows.delete(layout.order_key(self._context, old.time_ms, content_id))\n        meta = self._meta\n",
            "meta = self._meta\n",
            "hidden",
            "context.item_put.v1",
        ),
        FoldBug(
            "title-of-the-first",
            _CONTEXT,
            "fragment(item, self._context, app, at_ms, hidden=hidden)",
            "fragment(item, self._context, app, at_ms, hidden=hidden)[: 1 << 20 if old is None else -1]",
            "hidden",
            "context.item_put.v1",
        ),
        FoldBug(
            "detach-ignored",
            _SESSION,
            "if member is not None and event.epoch in (None, member.epoch):",
            "if member is None:",
            "attached otherwise: 1 contexts",
            "session.context_detached.v1",
        ),
        FoldBug(
            "deleted-session-kept",
            _SESSION,
            "            yield from fold.delete()\n",
            "            yield Done()\n",
            "deleted True and False",
            "session.deleted.v1",
        ),
        FoldBug(
            "snapshot-without-its-first",
            _SESSION,
            "for operation in part.items:",
            "for operation in part.items[1:]:",
            "hidden",
            "context.item_put.v1",
        ),
    )
}
