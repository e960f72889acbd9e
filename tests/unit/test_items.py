"""Items: every rule, and the fragment that readers are served."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from streams.domain.ids import Kind, id_text
from streams.domain.items import Item, content_id_fault, fragment, item_faults, item_hash, with_hidden
from streams.domain.times import LAST_MS, iso_ms
from tests.support.tables import START_MS, app_of, context_id, make_item

C = context_id(1)
APP = id_text(Kind.APP, app_of(C))
EPISODE = {"media_type": "tv_episode", "season": 0, "episode": 0}


def faults(**more: object) -> list[tuple[str, str]]:
    return [fault[:2] for fault in item_faults(make_item("c", **more))]


@pytest.mark.parametrize(
    "content_id",
    [
        "a",
        "a/b",
        " ",
        "...",
        "Sessions",
        "sessions ",
        "\u00a0",
        "\u200b",
        "\ud7ff",
        "\U0001f600" * 255,
        "%00",
        "a.",
        "~",
    ],
)
def test_content_ids(content_id: str) -> None:
    """1 to 255 code points without control characters."""
    assert content_id_fault(content_id) is None


@pytest.mark.parametrize(
    ("content_id", "code"),
    [
        ("", "too_long"),
        ("x" * 256, "too_long"),
        ("sessions", "not_allowed"),
        (".", "not_allowed"),
        ("..", "not_allowed"),
        *((f"a{chr(point)}b", "not_allowed") for point in (0, 1, 0x1F, 0x7F, 0x80, 0x85, 0x9F)),
    ],
)
def test_content_ids_that_are_none(content_id: str, code: str) -> None:
    """Names that paths take, control characters, too few or too many."""
    fault = content_id_fault(content_id)
    assert fault is not None
    assert fault[0] == code


@pytest.mark.parametrize(
    "uri",
    [
        "http://a",
        "https://m.example/p.png",
        "HTTPS://m.example",
        "https://user:pw@m.example:8443/a?b=c#d",
        "https://[::1]/x",
        "https://m.example?x",
        "https://\u00e9.example/\u00e9",
    ],
)
def test_uris(uri: str) -> None:
    """Of http or https, with a host."""
    assert faults(poster_art_uri=uri, preview_video_uri=uri) == []


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://a",
        "//a/b",
        "a",
        "https:/a",
        "https://",
        "https:///x",
        "https://?x",
        "https://#x",
        "https://:80",
        "https://a b",
        "https://a/\n",
        " https://a",
        "https://a ",
        "javascript:alert(1)",
        "data:image/png;base64,x",
        "https://a/\u0085",
        "https://user@/x",
    ],
)
def test_uris_that_are_none(uri: str) -> None:
    """Each field says so by itself."""
    assert faults(poster_art_uri=uri) == [("poster_art_uri", "not_a_uri")]
    assert faults(preview_video_uri=uri) == [("preview_video_uri", "not_a_uri")]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        (EPISODE, []),
        ({"media_type": "tv_episode"}, [("season", "required"), ("episode", "required")]),
        ({"media_type": "tv_episode", "season": 1}, [("episode", "required")]),
        ({"season": 0}, [("season", "not_allowed")]),
        ({"season": 1, "episode": 1}, [("season", "not_allowed"), ("episode", "not_allowed")]),
        ({"action": "up_next_continue"}, [("position", "required")]),
        ({"action": "up_next_continue", "position": 0}, []),
        ({"action": "up_next_next", "position": 1}, []),
        ({"position": 5_400}, []),
        ({"position": 5_401}, [("position", "out_of_range")]),
        ({"duration": 1, "position": 1}, []),
        ({"content_id": "."}, [("content_id", "not_allowed")]),
    ],
)
def test_what_fields_say_together(more: dict[str, object], expected: list[tuple[str, str]]) -> None:
    """Episodes have a season and a number, what is to be continued a position within the duration."""
    assert [fault[:2] for fault in item_faults(make_item(**{"content_id": "c", **more}))] == expected  # type: ignore[arg-type]


def test_what_is_broken_otherwise_is_passed() -> None:
    """None stands for a field that is missing or of a wrong type: it is named once, by whoever found it."""
    nothing = Item(**dict.fromkeys(Item.__struct_fields__))  # type: ignore[arg-type]
    assert item_faults(nothing) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
ITEMS = st.builds(
    make_item,
    TEXT,
    title=TEXT,
    description=TEXT,
    season=st.just(UNSET) | st.integers(0, 2**31 - 1),
    preview_video_uri=st.just(UNSET) | st.just("https://a/'\"\\"),
    position=st.just(UNSET) | st.integers(0, 5_400),
    hidden=st.sampled_from([UNSET, True, False]),
)


@settings(max_examples=300, deadline=None)
@given(item=ITEMS, hidden=st.booleans(), time_ms=st.integers(0, LAST_MS))
def test_a_fragment_is_the_item_as_served(item: Item, time_ms: int, *, hidden: bool) -> None:
    """Its fields in order, after the owner and the time, its own `hidden` last; closed, it is JSON."""
    encoded = fragment(item, C, APP, time_ms, hidden=hidden)
    served = json.loads(encoded + b"}")
    written = json.loads(msgspec.json.encode(item))
    written.pop("hidden", None)
    owner = {"app_id": APP, "context_id": id_text(Kind.CONTEXT, C), "updated_at": iso_ms(time_ms)}
    assert served == {**written, **owner, "hidden": hidden}
    assert list(served) == ["content_id", *owner, *list(written)[1:], "hidden"]
    for other in (True, False):
        assert with_hidden(encoded, hidden=other) == fragment(item, C, APP, time_ms, hidden=other)


@pytest.mark.parametrize("text", [',"hidden":true', '"hidden":false', '","hidden":true,"x":"'])
def test_a_text_that_looks_like_hidden(text: str) -> None:
    """It is left alone."""
    item = make_item("c", title=text, description=text, hidden=True)
    for hidden in (True, False):
        served = json.loads(with_hidden(fragment(item, C, APP, START_MS, hidden=True), hidden=hidden) + b"}")
        assert (served["title"], served["description"], served["hidden"]) == (text, text, hidden)


def test_hashes_tell_items_apart() -> None:
    """By id, time, content and key; where one ends and the next begins is part of it."""
    entries = [(b"a", 1, b"x"), (b"b", 1, b"x"), (b"a", 2, b"x"), (b"a", 1, b"y"), (b"a", 11, b"x"), (b"a1", 1, b"x")]
    hashes = {item_hash(key, *entry) for key in (b"k", b"l") for entry in entries}
    assert len(hashes) == 12
    assert all(0 <= hashed < 2**64 for hashed in hashes)


@given(time_ms=st.integers(0, LAST_MS))
def test_times_are_written_in_milliseconds(time_ms: int) -> None:
    """ISO 8601 in UTC, always with three digits; they sort as their numbers do."""
    text = iso_ms(time_ms)
    assert len(text) == 24
    read = datetime.fromisoformat(text)
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == pytest.approx(time_ms / 1000, abs=1e-6)
    assert iso_ms(LAST_MS) >= text >= iso_ms(0)
