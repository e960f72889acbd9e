"""The items of a page: apart as they were folded, or joined as they are sent."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from streams.domain.ids import AppId

ITEM_BYTES = 100
"""What an item takes beside its fragment, apart."""
MOST_TIMES = 2
"""Lists that joined take more than so many times the room are not kept so: it would be that of other lists."""
_SPAN_BYTES = 16

Closing = Callable[[AppId, bytes], bytes]
"""App and fragment of an item → what its fragment is closed with."""
Framing = Callable[[bytes], bytes]
"""All items, closed and with commas in between → the list, which has them in it as they are."""


class PageItems:
    """
    The items of one page, in order, each its app's raw id and its fragment.

    Whoever keeps a page keeps it joined once it was: in one piece it takes less memory, and nothing of the time that
    it takes to gather fifty pieces from all over it. The pieces are cut out of it again where they are asked for.
    """

    __slots__ = ("_apart_bytes", "_apps", "_at", "_items", "_spans", "_tag", "_text", "apps", "size")

    def __init__(self, items: Iterable[tuple[AppId, bytes]] = ()) -> None:
        self._items: list[tuple[AppId, bytes]] | None = list(items)
        self._apps = [app for app, _ in self._items]
        """Of each item."""
        self.apps: Sequence[AppId] = sorted(set(self._apps))
        """Each once, in order."""
        self.size = sum(len(fragment) + ITEM_BYTES for _, fragment in self._items)
        """About how many bytes of memory they take now."""
        self._apart_bytes = self.size
        self._text: bytes | None = None
        self._tag = ""
        self._spans = array("I")
        """Where in the text, from its first item on, each fragment begins, and where it ends."""
        self._at = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._apps)

    def __iter__(self) -> Iterator[tuple[AppId, bytes]]:
        """Go through them."""
        return iter(self._cut() if self._items is None else self._items)

    def __eq__(self, other: object) -> bool:
        """Say whether both are the same items, however they are kept."""
        return isinstance(other, PageItems) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # what they are kept as changes

    def joined(self, tag: str, closing: Closing, framing: Framing) -> bytes:
        """
        Return the list.

        Args:
            tag: What tells apart what these items are closed and framed with: where it is the same, so is the list.
            closing: Returns what each is closed with.
            framing: Returns the list of them.
        """
        if self._text is not None and self._tag == tag:
            return self._text
        spans, at = array("I"), 0
        parts: list[bytes] = []
        for app, fragment in self:
            end = closing(app, fragment)
            spans.extend((at, at + len(fragment)))
            at += len(fragment) + len(end) + 1
            parts += fragment, end, b","
        entries = b"".join(parts[:-1])
        text = framing(entries)
        if len(text) <= MOST_TIMES * self._apart_bytes:
            self._spans, self._at = spans, text.index(entries)
            self._text, self._tag, self._items = text, tag, None
            self.size = len(text) + _SPAN_BYTES * len(self)
        elif self._items is None:
            self._items, self._text = self._cut(), None
            self.size = self._apart_bytes
        return text

    def _cut(self) -> list[tuple[AppId, bytes]]:
        text, spans, at = self._text or b"", self._spans, self._at
        return [(app, text[at + spans[2 * n] : at + spans[2 * n + 1]]) for n, app in enumerate(self._apps)]
