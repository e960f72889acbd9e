"""Position tokens: what was written is read, and nothing else is."""

from __future__ import annotations

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.positions import MAX_TOKENS, PositionTokens
from streams.domain.errors import InvalidPositionError
from streams.domain.positions import (
    NOTHING,
    After,
    ContextPosition,
    ContextsPosition,
    ListPosition,
    Position,
    SessionsPosition,
    context_mark,
)
from tests.support.tables import context_id, session_id

KEY = b"k" * 32
TOKENS = PositionTokens(KEY, "log")
C, D = context_id(1), context_id(2)
S, T = session_id(1), session_id(2)
OFFSETS = st.integers(-1, 2**62)
EPOCHS = st.integers(0, 2**62)
POSITIONS: st.SearchStrategy[Position] = st.one_of(
    st.builds(ContextPosition, st.binary(min_size=17, max_size=17), OFFSETS),
    st.builds(ContextsPosition, st.dictionaries(st.binary(min_size=6, max_size=6), OFFSETS, max_size=500)),
    st.builds(SessionsPosition, st.dictionaries(st.integers(0, 2**16), OFFSETS, max_size=300)),
    st.builds(
        ListPosition,
        st.binary(min_size=17, max_size=17),
        OFFSETS,
        st.lists(st.tuples(EPOCHS, OFFSETS), max_size=200),
    ),
)


@settings(max_examples=300, deadline=None)
@given(position=POSITIONS)
def test_round_trip(position: Position) -> None:
    """Every position there can be; its token is URL-safe text."""
    token = TOKENS.write(position)
    assert TOKENS.read(token) == position
    assert all(character.isalnum() or character in "-_" for character in token)
    assert TOKENS.write(TOKENS.read(token)) == token


@settings(max_examples=100, deadline=None)
@given(position=POSITIONS, data=st.data())
def test_a_forged_token(position: Position, data: st.DataObject) -> None:
    """Any byte that differs, is missing or is one too many: no token."""
    token = TOKENS.write(position)
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    forged = urlsafe_b64encode(raw).decode().rstrip("=")
    for text in (forged, token[:at], token[at + 1 :], token + "A", token + "AAAA", "A" + token):
        with pytest.raises(InvalidPositionError):
            TOKENS.read(text)


@given(text=st.text(max_size=200) | st.text("ABCabc019-_", max_size=200))
def test_any_text(text: str) -> None:
    """It is no token."""
    with pytest.raises(InvalidPositionError):
        TOKENS.read(text)


@pytest.mark.parametrize("tokens", [PositionTokens(b"x" * 32, "log"), PositionTokens(KEY, "other")])
def test_another_deployment_or_log(tokens: PositionTokens) -> None:
    """Its tokens say nothing here."""
    for position in (ContextPosition(C, 1), SessionsPosition({0: 1}), ListPosition(S, 1, [])):
        with pytest.raises(InvalidPositionError):
            TOKENS.read(tokens.write(position))
        assert tokens.read(tokens.write(position)) == position


def test_an_earlier_log() -> None:
    """What stood in a log that the deployment was moved from stands here: its tokens ask for nothing."""
    earlier, other = PositionTokens(KEY, "earlier"), PositionTokens(KEY, "other")
    moved = PositionTokens(KEY, "log", ["first", "earlier"])
    mine, theirs = ContextPosition(C, 1), SessionsPosition({0: 1})
    assert moved.read(moved.write(mine)) == mine
    assert moved.after([f"{moved.write(mine)}, {earlier.write(theirs)}"]) == After((mine,))
    with pytest.raises(InvalidPositionError):
        moved.read(other.write(mine))


def test_a_kind_of_a_newer_version() -> None:
    """It was signed here, but cannot be read here."""
    payload = b"z" + bytes(20)
    token = urlsafe_b64encode(payload + TOKENS._sign(payload)).decode().rstrip("=")
    with pytest.raises(InvalidPositionError):
        TOKENS.read(token)


def test_the_position_of_a_full_session_is_small() -> None:
    """200 members with offsets of years apart: less than 4 KB, and so in one header line."""
    rng = random.Random(7)
    members = [(rng.randrange(2**38), rng.randrange(2**40)) for _ in range(200)]
    token = TOKENS.write(ListPosition(S, 2**40, members))
    assert len(token) < 4_000
    assert TOKENS.read(token) == ListPosition(S, 2**40, members)
    near = [(10**9 + n, 2 * 10**9 + n) for n in range(200)]
    assert len(TOKENS.write(ListPosition(S, 2**40, near))) < 1_000


def test_the_position_of_many_contexts_fits_into_a_header() -> None:
    """500 of them, in a log of a hundred million million events."""
    rng = random.Random(7)
    position = ContextsPosition({rng.randbytes(6): rng.randrange(10**14) for _ in range(500)})
    token = TOKENS.write(position)
    assert len(token) < 8_100
    assert TOKENS.read(token) == position
    near = ContextsPosition({mark: 10**9 + n for n, mark in enumerate(position.offsets)})
    assert len(TOKENS.write(near)) < 5_500


def test_several_headers_count_together() -> None:
    """Commas and lines alike, sorted by their kind."""
    w, s, seen = ContextPosition(C, 1), SessionsPosition({0: 1}), ListPosition(S, 1, [])
    many = ContextsPosition({context_mark(C): 2})
    texts = [TOKENS.write(position) for position in (w, s, seen, many)]
    expected = After((w,), (s,), (seen,), (many,))
    assert (
        TOKENS.after([", ".join(texts)])
        == TOKENS.after(texts)
        == TOKENS.after([texts[0], ",".join(texts[1:])])
        == expected
    )
    assert TOKENS.after([]) == NOTHING
    assert len(TOKENS.after([texts[0]] * MAX_TOKENS).contexts) == MAX_TOKENS
    for headers in ([texts[0]] * (MAX_TOKENS + 1), [""], [","], [texts[0] + ","]):
        with pytest.raises(InvalidPositionError):
            TOKENS.after(headers)


def test_what_is_asked_of_whom() -> None:
    """The highest offset counts; what is of another context, session or partition asks for nothing."""
    after = After(
        (ContextPosition(C, 3), ContextPosition(C, 5), ContextPosition(D, 9)),
        (SessionsPosition({0: 4, 1: 8}), SessionsPosition({0: 2})),
        (ListPosition(S, 6, []), ListPosition(T, 7, [])),
        (ContextsPosition({context_mark(C): 4, context_mark(D): 12}), ContextsPosition({context_mark(D): 11})),
    )
    assert [after.offset_of_context(context) for context in (C, D, context_id(3))] == [5, 12, -1]
    assert after.offset_of_sessions(0, S) == 6
    assert after.offset_of_sessions(0, session_id(3)) == 4
    assert after.offset_of_sessions(1, S) == 8
    assert after.offset_of_sessions(2, session_id(3)) == -1
    assert NOTHING.offset_of_sessions(0, S) == NOTHING.offset_of_context(C) == -1
