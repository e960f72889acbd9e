"""The contexts processor's folds: a context's events into its items, and its subscriptions into what it feeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import assert_never

from msgspec import UNSET
from msgspec.structs import replace

from streams.domain import context_rows as layout
from streams.domain import repeats
from streams.domain.context_rows import Meta, StoredItem
from streams.domain.dead_letters import CORRECTED
from streams.domain.events import (
    ContextCreated,
    ContextErased,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
)
from streams.domain.feed import (
    LIMITS,
    NONE,
    Change,
    Effect,
    Erased,
    Limits,
    Noticed,
    Operation,
    Refused,
    Snapshot,
    Subscribe,
    Subscription,
    ToContext,
    ToErase,
    ToSession,
    Unsubscribe,
    Wipe,
)
from streams.domain.ids import ContextId, Kind, SessionId, known_id
from streams.domain.items import Item, app_text, fragment, item_hash, with_hidden
from streams.domain.notices import NoticeType, ToApp
from streams.domain.rows import WritableRows
from streams.domain.times import LAST_MS

_U64 = (1 << 64) - 1
_OPERATION_BYTES = 64
"""What an operation takes in a message beside its content id and its fragment."""
_BESIDE_ITEMS = (layout.SUB, layout.UNSUB, repeats.EVENT, repeats.BY_TIME, repeats.OLDEST, CORRECTED)
"""Rows of a context beside its meta row and its items."""
_FORGET_AT_ONCE = 16
"""Rows of subscriptions that are off that one fold looks at, to forget the old ones."""


def fold_context_event(
    rows: WritableRows,
    event: ContextEvent,
    context: ContextId,
    *,
    sequence: int,
    time_ms: int,
    hash_key: bytes,
    limits: Limits = LIMITS,
) -> Iterator[Effect]:
    """
    Fold *event* into its context's rows and yield what the context's sessions must hear.

    Args:
        rows: The contexts table, or an overlay of it.
        event: What happened.
        context: To whom.
        sequence: The event's offset.
        time_ms: The event's time, its record's.
        hash_key: What items are hashed with, for the digest.
        limits: How many items a context holds.
    """
    fold = _ContextFold(rows, context, hash_key, limits)
    if isinstance(event, ContextErased) or fold.is_erased:
        # Nothing counts after it, and nothing is kept of what comes. The record of it is to be erased too.
        yield from fold.erase(sequence)
        yield ToErase(Kind.CONTEXT, context)
        return
    if event.idempotency_key is not UNSET:
        is_known = repeats.known(rows, context, event.id) is not None
        repeats.note(rows, context, event.id, time_ms)
        if is_known:
            # Nothing but the sequence: somebody may wait for the position of this record.
            yield from fold.tell(sequence, [])
            return
    operations = fold.apply(event, time_ms)
    yield from fold.tell(sequence, operations)
    if isinstance(event, ItemHidden):
        yield from _hidden(context, operations, hidden=event.hidden)


def _hidden(context: ContextId, operations: list[Operation], *, hidden: bool) -> Iterator[ToApp]:
    """Yield what the app hears of an item that a platform's user has hidden or shown: that it was not so before."""
    for operation in operations:
        encoded = operation.fragment or b""
        what: NoticeType = "context.list.item_hidden" if hidden else "context.list.item_unhidden"
        yield ToApp(context, known_id(Kind.APP, app_text(encoded)), what, encoded + b"}")


def fold_subscription(
    rows: WritableRows, message: Subscription, context: ContextId, *, time_ms: int, limits: Limits = LIMITS
) -> Iterator[Effect]:
    """Fold a session's wish into the context's subscriptions; yield the snapshot it asks for, or a refusal."""
    if layout.read_meta(rows, context).erased:
        if isinstance(message, Subscribe):
            yield ToSession(SessionId(message.session), Erased(context))
        if not isinstance(message, Unsubscribe):
            yield ToErase(Kind.CONTEXT, context)
        yield from _wipe(rows, context, limits)
        return
    if isinstance(message, Wipe):
        return
    fold = _SubscriptionFold(rows, context, SessionId(message.session), limits)
    match message:
        case Subscribe():
            yield from fold.subscribe(message.epoch)
        case Unsubscribe():
            fold.unsubscribe(message.epoch, time_ms)
        case _:
            assert_never(message)
    fold.forget(time_ms)


def _wipe(rows: WritableRows, context: ContextId, limits: Limits) -> Iterator[Effect]:
    """Delete rows beside the meta row and the items, a bounded number; ask for another turn where there are more."""
    keys = (key for kind in _BESIDE_ITEMS for key, _ in rows.range(kind + context))
    found = list(islice(keys, limits.erased_rows + 1))
    for key in found[: limits.erased_rows]:
        rows.delete(key)
    if len(found) > limits.erased_rows:
        yield ToContext(context, Wipe())


class _ContextFold:
    """One context's items, as one event changes them."""

    def __init__(self, rows: WritableRows, context: ContextId, hash_key: bytes, limits: Limits) -> None:
        self._rows, self._context, self._hash_key, self._limits = rows, context, hash_key, limits
        self._meta = layout.read_meta(rows, context)
        self._before = self._meta.sequence
        self._oldest: Iterator[bytes] = iter(())
        """Order keys of items that were the oldest ones, oldest first, and may have gone since."""
        self._most_evicted = 1

    @property
    def is_erased(self) -> bool:
        return self._meta.erased

    def erase(self, sequence: int) -> Iterator[Effect]:
        """Delete all rows but the meta row, and have the sessions that it feeds have it no more."""
        for session, _ in list(layout.subscriptions(self._rows, self._context)):
            yield ToSession(session, Erased(self._context))
        for kind in (layout.ITEM, layout.ORDER):
            for key in [key for key, _ in self._rows.range(kind + self._context)]:
                self._rows.delete(key)
        yield from _wipe(self._rows, self._context, self._limits)
        self._meta = Meta(sequence=sequence, erased=True)
        self._rows.put(layout.meta_key(self._context), layout.encode_meta(self._meta))

    def apply(self, event: ContextEvent, time_ms: int) -> list[Operation]:
        """Do what an event says to the items; return what it did."""
        match event:
            case ItemPut():
                return self.put(event.item, event.app, time_ms)
            case ItemsPut():
                return self.put_all(event.items, event.app, time_ms)
            case ItemsReplaced():
                return self.remove_others(event.items) + self.put_all(event.items, event.app, time_ms)
            case ItemRemoved():
                return self.remove(event.content_id.encode())
            case ItemHidden():
                return self.hide(event.content_id.encode(), hidden=event.hidden)
            case ContextCreated() | ContextErased():
                return []
            case _:
                assert_never(event)

    def put(self, item: Item, app: str, time_ms: int) -> list[Operation]:
        """Add an item, or replace the one of its content id; the oldest goes where there are too many."""
        content_id = item.content_id.encode()
        old = self._stored(content_id)
        hidden = (old is not None and old.hidden) if item.hidden is UNSET else item.hidden
        # A clock that steps back changes no order within a context.
        at_ms = min(max(time_ms, self._meta.time_ms + 1), LAST_MS)
        self._meta = replace(self._meta, time_ms=at_ms)
        operations = []
        if old is not None:
            self._take_out(content_id, old)
        elif self._meta.count >= self._limits.items:
            operations += self._evict()
        return [
            *operations,
            self._put_in(content_id, at_ms, fragment(item, self._context, app, at_ms, hidden=hidden), hidden=hidden),
        ]

    def put_all(self, items: Sequence[Item], app: str, time_ms: int) -> list[Operation]:
        """Put one item after the other, each 1 ms later than the one before it at least."""
        self._most_evicted = len(items)
        return [operation for item in items for operation in self.put(item, app, time_ms)]

    def remove_others(self, items: Sequence[Item]) -> list[Operation]:
        """Remove whatever is not named by *items*."""
        named = {item.content_id.encode() for item in items}
        kept = [layout.order_content_id(key) for key, _ in self._rows.range(layout.ORDER + self._context)]
        return [operation for content_id in kept if content_id not in named for operation in self.remove(content_id)]

    def remove(self, content_id: bytes) -> list[Operation]:
        old = self._stored(content_id)
        if old is None:
            return []
        self._take_out(content_id, old)
        self._rows.delete(layout.item_key(self._context, content_id))
        return [Operation(content_id, old.time_ms, None)]

    def hide(self, content_id: bytes, *, hidden: bool) -> list[Operation]:
        """Mark an item, where it is still there; its time and place stay."""
        old = self._stored(content_id)
        if old is None or old.hidden is hidden:
            return []
        self._take_out(content_id, old)
        return [self._put_in(content_id, old.time_ms, with_hidden(old.fragment, hidden=hidden), hidden=hidden)]

    def tell(self, sequence: int, operations: list[Operation]) -> Iterator[Effect]:
        """Write the meta row and yield what every session that is subscribed must hear, also when nothing changed."""
        meta = self._meta = replace(self._meta, sequence=sequence)
        self._rows.put(layout.meta_key(self._context), layout.encode_meta(meta))
        if not meta.subscribers:
            return
        change = Change(self._context, sequence, self._before, meta.digest, meta.count, operations)
        if sum(map(_message_bytes, operations)) > self._limits.message_bytes:
            # It follows on from nothing: who hears it asks for a snapshot. Each of those is folded by itself; a
            # thousand of them at once would not fit into memory.
            change = replace(change, after=sequence, operations=[])
        sessions = [session for session, _ in layout.subscriptions(self._rows, self._context)]
        for session in sessions:
            yield ToSession(session, change)

    def _stored(self, content_id: bytes) -> StoredItem | None:
        value = self._rows.get(layout.item_key(self._context, content_id))
        return None if value is None else layout.decode_item(value)

    def _put_in(self, content_id: bytes, time_ms: int, encoded: bytes, *, hidden: bool) -> Operation:
        hashed = item_hash(self._hash_key, content_id, time_ms, encoded)
        stored = StoredItem(time_ms, hashed, hidden, encoded)
        self._rows.put(layout.item_key(self._context, content_id), layout.encode_item(stored))
        self._rows.put(layout.order_key(self._context, time_ms, content_id), b"")
        meta = self._meta
        self._meta = replace(meta, count=meta.count + 1, digest=(meta.digest + hashed) & _U64)
        return Operation(content_id, time_ms, encoded)

    def _take_out(self, content_id: bytes, old: StoredItem) -> None:
        """Take an item out of the order and the digest; its own row is the caller's to replace or delete."""
        self._rows.delete(layout.order_key(self._context, old.time_ms, content_id))
        meta = self._meta
        self._meta = replace(meta, count=meta.count - 1, digest=(meta.digest - old.hash) & _U64)

    def _evict(self) -> list[Operation]:
        key = next((key for key in self._oldest if self._rows.get(key) is not None), None)
        if key is None:
            rows = self._rows.range(layout.ORDER + self._context, reverse=True)
            key, *oldest = [key for key, _ in islice(rows, self._most_evicted)]
            self._oldest = iter(oldest)
        return self.remove(layout.order_content_id(key))


class _SubscriptionFold:
    """One session's subscription to one context, as one message changes it."""

    def __init__(self, rows: WritableRows, context: ContextId, session: SessionId, limits: Limits) -> None:
        self._rows, self._context, self._session, self._limits = rows, context, session, limits
        on = rows.get(layout.sub_key(context, session))
        known = on if on is not None else rows.get(layout.unsub_key(context, session))
        self._on = on is not None
        self._epoch = NONE if known is None else layout.decode_epoch(known)
        self._meta = layout.read_meta(rows, context)

    def subscribe(self, epoch: int) -> Iterator[Effect]:
        """Switch a newer attachment on, and answer it, or a repeated question, with a snapshot."""
        if epoch < self._epoch or (epoch == self._epoch and not self._on):
            return
        if not self._on:
            if self._meta.subscribers >= self._limits.sessions:
                yield Noticed("refused")
                yield ToSession(self._session, Refused(self._context, epoch))
                return
            self._rows.delete(layout.unsub_key(self._context, self._session))
            self._count(1)
        self._rows.put(layout.sub_key(self._context, self._session), layout.encode_epoch(epoch))
        for part in snapshot(self._rows, self._context, self._meta, self._limits, epoch):
            yield ToSession(self._session, part)

    def unsubscribe(self, epoch: int, time_ms: int) -> None:
        """Switch the attachment of *epoch*, or an older one, off."""
        if epoch < self._epoch:
            return
        if self._on:
            self._rows.delete(layout.sub_key(self._context, self._session))
            self._count(-1)
        self._rows.put(layout.unsub_key(self._context, self._session), layout.encode_off(epoch, time_ms))

    def forget(self, time_ms: int) -> None:
        """Delete a few rows of subscriptions that have been off for so long that nothing of them can still come."""
        prefix = layout.UNSUB + self._context
        looked_at = list(islice(self._rows.range(prefix, start=prefix + self._meta.forgotten_to), _FORGET_AT_ONCE))
        for key, value in looked_at:
            if layout.decode_off(value)[1] < time_ms - self._limits.forget_ms:
                self._rows.delete(key)
        # The next fold goes on behind the last row that this one saw, so that young rows hide no old ones.
        to = looked_at[-1][0][len(prefix) :] + b"\0" if len(looked_at) == _FORGET_AT_ONCE else b""
        if to != self._meta.forgotten_to:
            self._meta = replace(self._meta, forgotten_to=to)
            self._rows.put(layout.meta_key(self._context), layout.encode_meta(self._meta))

    def _count(self, more: int) -> None:
        self._meta = replace(self._meta, subscribers=self._meta.subscribers + more)
        self._rows.put(layout.meta_key(self._context), layout.encode_meta(self._meta))


def snapshot(rows: WritableRows, context: ContextId, meta: Meta, limits: Limits, epoch: int) -> Iterator[Snapshot]:
    """Yield a context's items as of its last sequence, in parts that are not too large for one message."""
    parts: list[list[Operation]] = [[]]
    size = 0
    for key, value in rows.range(layout.ITEM + context):
        stored = layout.decode_item(value)
        operation = Operation(key[layout.TOTAL_KEY_BYTES : -1], stored.time_ms, stored.fragment)
        item_bytes = _message_bytes(operation)
        if parts[-1] and size + item_bytes > limits.message_bytes:
            parts.append([])
            size = 0
        parts[-1].append(operation)
        size += item_bytes
    for n, items in enumerate(parts):
        yield Snapshot(context, meta.sequence, n, len(parts), meta.digest, meta.count, items, epoch)


def _message_bytes(operation: Operation) -> int:
    return len(operation.content_id) + len(operation.fragment or b"") + _OPERATION_BYTES
