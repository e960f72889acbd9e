"""Ids: canonical text, and a MAC that says what they name, in which mode, and whose they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.ids import EPOCH_S, ID_BYTES, IdKeys, Kind, Mode, id_text, known_id, parse_id

KEYS = IdKeys(b"k" * 32)
NOW_S = 1_700_000_000
OWNER = b"O" * 17


def mint(kind: Kind = Kind.CONTEXT, mode: Mode = Mode.LIVE, owner: bytes = OWNER, entropy: bytes = b"entropy") -> bytes:
    return KEYS.mint(kind, mode, owner, now_s=NOW_S, entropy=entropy)


@given(raw=st.binary(min_size=ID_BYTES, max_size=ID_BYTES), kind=st.sampled_from(Kind))
def test_text_round_trips(raw: bytes, kind: Kind) -> None:
    """Two letters and 41 digits; as another kind it is none."""
    text = id_text(kind, raw)
    assert len(text) == 43
    assert text.isascii()
    assert parse_id(kind, text) == known_id(kind, text) == raw
    assert all(parse_id(other, text) is None for other in Kind if other is not kind)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CX",
        "CX" + "0" * 40,
        "CX" + "0" * 42,
        "cx" + "0" * 41,
        "CX" + "9" * 41,
        "CX" + str(1 << 136).zfill(41),
        "CX+" + "0" * 40,
        "CX-" + "0" * 40,
        "CX " + "0" * 40,
        "CX" + "0" * 40 + " ",
        "CX" + "0" * 40 + "\n",
        "CX" + "0" * 39 + "_0",
        "CX" + "0" * 40 + "\u0661",
        "CX" + "0" * 40 + "\u00b2",
        "CX" + "0" * 40 + "a",
    ],
)
def test_only_canonical_text_is_an_id(text: str) -> None:
    """One id has one text."""
    assert parse_id(Kind.CONTEXT, text) is None
    with pytest.raises(ValueError, match="canonical"):
        known_id(Kind.CONTEXT, text)


@given(text=st.text(max_size=50) | st.text("0123456789CX", min_size=43, max_size=43))
def test_what_is_read_is_written_the_same(text: str) -> None:
    """Whatever text is an id at all."""
    raw = parse_id(Kind.CONTEXT, text)
    assert raw is None or id_text(Kind.CONTEXT, raw) == text


def test_the_largest_id() -> None:
    """17 bytes of ones fit in 41 digits."""
    assert parse_id(Kind.APP, id_text(Kind.APP, b"\xff" * 17)) == b"\xff" * 17


def test_a_minted_id_is_what_it_says() -> None:
    """4 bytes of seconds since 2020, 7 of entropy, 6 of MAC; good for its kind, mode and owner only."""
    raw = mint()
    assert len(raw) == ID_BYTES
    assert int.from_bytes(raw[:4], "big") == NOW_S - EPOCH_S
    assert raw[4:11] == b"entropy"
    assert mint() == raw
    assert KEYS.verify(Kind.CONTEXT, Mode.LIVE, OWNER, raw)
    for kind in Kind:
        for mode in Mode:
            for owner in (OWNER, b"P" * 17, b"", OWNER[:-1]):
                good = (kind, mode, owner) == (Kind.CONTEXT, Mode.LIVE, OWNER)
                assert KEYS.verify(kind, mode, owner, raw) is good


@given(at=st.integers(0, ID_BYTES * 8 - 1))
def test_a_forged_id(at: int) -> None:
    """Any bit that differs makes it one that was never minted."""
    raw = bytearray(mint())
    raw[at // 8] ^= 1 << at % 8
    assert not KEYS.verify(Kind.CONTEXT, Mode.LIVE, OWNER, bytes(raw))


@pytest.mark.parametrize("raw", [b"", mint()[:-1], mint() + b"\0", mint()[:11]])
def test_bytes_that_are_too_few_or_too_many(raw: bytes) -> None:
    """They are no id."""
    assert not KEYS.verify(Kind.CONTEXT, Mode.LIVE, OWNER, raw)


def test_the_newest_key_signs_and_all_verify() -> None:
    """So a key can be rotated; one that was dropped verifies no more."""
    old, new = b"o" * 32, b"n" * 32
    made = [
        IdKeys(*keys).mint(Kind.SESSION, Mode.LIVE, OWNER, now_s=NOW_S, entropy=bytes(7))
        for keys in ((old,), (new, old))
    ]
    both = IdKeys(new, old)
    assert all(both.verify(Kind.SESSION, Mode.LIVE, OWNER, raw) for raw in made)
    assert [IdKeys(new).verify(Kind.SESSION, Mode.LIVE, OWNER, raw) for raw in made] == [False, True]
    assert [IdKeys(old).verify(Kind.SESSION, Mode.LIVE, OWNER, raw) for raw in made] == [True, False]


@pytest.mark.parametrize("entropy", [b"", bytes(6), bytes(8)])
def test_entropy_is_seven_bytes(entropy: bytes) -> None:
    """No more and no less."""
    with pytest.raises(ValueError, match="7 bytes"):
        mint(entropy=entropy)


def test_ids_can_be_minted_until_2156() -> None:
    """And not before 2020: seconds are four bytes."""
    last = EPOCH_S + 2**32 - 1
    assert KEYS.mint(Kind.APP, Mode.LIVE, b"c", now_s=last, entropy=bytes(7))[:4] == b"\xff" * 4
    for now_s in (last + 1, EPOCH_S - 1):
        with pytest.raises(OverflowError):
            KEYS.mint(Kind.APP, Mode.LIVE, b"c", now_s=now_s, entropy=bytes(7))
