"""The items of a page, apart and joined."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.domain.ids import AppId
from streams.domain.page_items import ITEM_BYTES, PageItems

APPS = st.sampled_from([AppId(b"a" * 17), AppId(b"b" * 17)])
ITEMS = st.lists(st.tuples(APPS, st.binary(max_size=40)), max_size=8)


def framed(entries: bytes) -> bytes:
    return b'{"items":[%b]}' % entries


def closed(items: list[tuple[AppId, bytes]], end: bytes) -> bytes:
    return b",".join(fragment + end + app[:1] + b"}" for app, fragment in items)


@given(items=ITEMS, ends=st.lists(st.binary(max_size=3 * ITEM_BYTES), min_size=1, max_size=6))
def test_items_stay_what_they_are_however_they_are_closed(items: list[tuple[AppId, bytes]], ends: list[bytes]) -> None:
    """Joined with one end after another, kept or not, they are joined from the same fragments."""
    page = PageItems(items)
    for end in ends:
        for _ in range(2):
            made = page.joined(end.hex(), lambda app, _, end=end: end + app[:1] + b"}", framed)  # type: ignore[misc]
            assert made == framed(closed(items, end))
            assert list(page) == items
    assert page == PageItems(items)
    assert page.apps == sorted({app for app, _ in items})
    assert len(page) == len(items)


@given(items=ITEMS.filter(bool))
def test_what_was_joined_is_kept_where_it_does_not_take_much_more(items: list[tuple[AppId, bytes]]) -> None:
    """What is closed with much is joined each time, and takes what it took before; `size` follows."""
    page = PageItems(items)
    apart = page.size
    made = []

    def closing(app: AppId, fragment: bytes) -> bytes:
        del app, fragment
        made.append(end)
        return end

    for end, times in ((b"}", 1), (b"x" * 4 * ITEM_BYTES, 2), (b"]", 1)):
        made.clear()
        text = page.joined(end.hex(), closing, framed)
        assert page.joined(end.hex(), closing, framed) == text
        assert len(made) == times * len(items)
        assert page.size == (apart if times == 2 else len(text) + 16 * len(items))
