"""Ids are found in rows and messages, however many are looked for, and what may stay is no find."""

from __future__ import annotations

import pytest

from streams.domain.ids import Kind, id_text
from streams.search import Names
from tests.support.tables import context_id, session_id

X, S = context_id(1), session_id(1)
CONTEXT, SESSION = id_text(Kind.CONTEXT, X), id_text(Kind.SESSION, S)
OTHERS = [id_text(Kind.CONTEXT, context_id(n)) for n in range(2, 40)]


@pytest.mark.parametrize("others", [[], OTHERS], ids=["few", "many"])
def test_where_ids_are_found(others: list[str]) -> None:
    """In keys, also of rows that were deleted, at the beginning of values, and as text anywhere in them."""
    names = Names([CONTEXT, SESSION, *others])
    assert names.found(b"i" + X + b"m1\0", b"item") == {CONTEXT}
    assert names.found(b"l" + S + bytes(8) + b"a\0" + X + bytes(8), b"item") == {CONTEXT, SESSION}
    assert names.found(b"k", b"\x93\x00\xc4\x11" + X + b"\x01") == {CONTEXT}
    assert names.found(None, b"x" * 5_000 + CONTEXT.encode() + b"x") == {CONTEXT}
    assert names.found(b"i" + context_id(99) + b"m1\0", b"item") == set()
    assert names.found(b"i" + X + b"m1\0", None) == {CONTEXT}
    assert names.found(b"m" + X, None) == set()


@pytest.mark.parametrize("others", [[], OTHERS], ids=["few", "many"])
def test_what_may_stay(others: list[str]) -> None:
    """That one was erased, or deleted; of a session, that it is fed no more, and which of its events may come again."""
    names = Names([CONTEXT, SESSION, *others])
    for key in (b"m" + X, b"S" + S, b"u" + context_id(99) + S, b"e" + S + bytes(16), b"c" + S + b"place"):
        assert names.found(key, b"row") == set(), key
    for key in (b"S" + X, b"e" + X + bytes(16), b"u" + X + session_id(7), b"m" + S + context_id(7)):
        assert names.found(key, b"row") != set(), key


def test_keys_in_a_file() -> None:
    """They are told apart as those of rows are, wherever they stand between other bytes."""
    names, other = Names([CONTEXT, SESSION]), context_id(99)
    for key in (b"m" + X, b"S" + S, b"u" + other + S, b"e" + S + bytes(16), b"c" + S + b"place"):
        assert names.found_in_file(key) == names.found_in_file(b"\x00\x2a" + key + b"\x00m") == set(), key
    assert names.found_in_file(b"m" + X + b"\x00i" + X + b"m1\0") == {CONTEXT}
    assert names.found_in_file(b"\x00u" + X + S + b"\x00") == {CONTEXT}
    assert names.found_in_file(X[1:] + b"\x00l" + S + bytes(8) + b"a\0" + X) == {CONTEXT, SESSION}
