"""Idempotency keys, folded: one request is admitted at a time, one is executed, and its answer is given again."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import idempotency_rows as layout
from streams.domain.idempotency import (
    Admission,
    Admitted,
    Executed,
    InProgress,
    KeyLimits,
    Reused,
    fold_key_event,
)
from streams.domain.idempotency_events import AnyKeyEvent, KeyBegun, KeyFinished, KeyReleased
from streams.domain.idempotency_rows import Answered
from streams.domain.memory_rows import MemoryRows
from tests.support.rows import UncompactedRows

CLIENT, OTHER = "0123456789abcdef", "fedcba9876543210"
PUT, PATCHED = "0" * 32, "1" * 32
START_MS = 1_700_000_000_000
LIMITS = KeyLimits()
SMALL = KeyLimits(lease_ms=20, kept_ms=200, keys=3, forget_at_once=2)


def key_of(number: int) -> bytes:
    return number.to_bytes(17, "big")


K = key_of(1)


class Keys:
    """The table, and the log that it is folded from."""

    def __init__(self, limits: KeyLimits = LIMITS) -> None:
        self.rows, self.limits = MemoryRows(), limits
        self.now_ms = START_MS
        self.offset = -1

    def fold(self, key: bytes, event: AnyKeyEvent) -> Admission | None:
        self.offset += 1
        return fold_key_event(self.rows, event, key, offset=self.offset, time_ms=self.now_ms, limits=self.limits)

    def begin(self, lease: str, key: bytes = K, fingerprint: str = PUT, client: str = CLIENT) -> Admission:
        admission = self.fold(key, KeyBegun(id=lease * 32, client=client, fingerprint=fingerprint))
        assert admission is not None
        return admission

    def finish(self, lease: str, body: bytes, key: bytes = K) -> None:
        finished = KeyFinished(id="f" * 32, client=CLIENT, lease=lease * 32, status=200, body=body, position="p")
        assert self.fold(key, finished) is None

    def release(self, lease: str, *, forgotten: bool, key: bytes = K) -> None:
        assert self.fold(key, KeyReleased(id="e" * 32, client=CLIENT, lease=lease * 32, forgotten=forgotten)) is None

    def held(self, client: str = CLIENT) -> int:
        return layout.read_count(self.rows, layout.client_bytes(client))


def executed(body: bytes) -> Executed:
    return Executed(Answered(200, body, "p"))


def test_one_at_a_time_and_the_same_answer_again() -> None:
    """While one is executed no other is; then its answer is every other's, for 72 h."""
    keys = Keys()
    assert keys.begin("a") == Admitted(0)
    keys.now_ms += LIMITS.lease_ms - 1
    assert keys.begin("b") == InProgress()
    keys.finish("a", b"1")
    assert keys.begin("b") == executed(b"1")
    keys.now_ms += 72 * 3600 * 1000
    assert keys.begin("b") == executed(b"1")
    keys.now_ms += LIMITS.lease_ms + 1
    assert keys.begin("b") == Admitted(keys.offset)


def test_another_request() -> None:
    """A key that is held is no other request's, whatever has become of the first."""
    keys = Keys()
    keys.begin("a")
    assert keys.begin("b", fingerprint=PATCHED) == Reused()
    keys.release("a", forgotten=False)
    assert keys.begin("b", fingerprint=PATCHED) == Reused()
    keys.begin("a")
    keys.finish("a", b"1")
    assert keys.begin("b", fingerprint=PATCHED) == Reused()


def test_what_was_refused_leaves_the_key_unused() -> None:
    """Nothing was recorded: the key is any request's, and what that writes has ids of its own."""
    keys = Keys()
    assert keys.begin("a") == Admitted(0)
    keys.release("a", forgotten=True)
    assert [row for row in keys.rows.values if not row.startswith(layout.OLDEST)] == []
    assert keys.held() == 0
    assert keys.begin("b", fingerprint=PATCHED) == Admitted(2)


def test_an_unknown_outcome_is_tried_again_as_the_same() -> None:
    """Released, or never heard of again: the next is admitted, and writes under the same ids."""
    keys = Keys()
    assert keys.begin("a") == Admitted(0)
    keys.release("a", forgotten=False)
    assert keys.begin("b") == Admitted(0)
    keys.now_ms += LIMITS.lease_ms
    assert keys.begin("c") == Admitted(0)


def test_what_is_refused_after_an_unknown_outcome_stays_the_same() -> None:
    """The first may be in the log, whatever its repeats are told: it is never written under other ids."""
    keys = Keys()
    assert keys.begin("a") == Admitted(0)
    keys.release("a", forgotten=False)
    assert keys.begin("b") == Admitted(0)
    keys.release("b", forgotten=True)
    assert keys.begin("c", fingerprint=PATCHED) == Reused()
    assert keys.begin("c") == Admitted(0)
    keys.now_ms += LIMITS.lease_ms
    assert keys.begin("d") == Admitted(0)
    keys.release("d", forgotten=True)
    assert keys.begin("e") == Admitted(0)
    keys.now_ms += LIMITS.kept_ms + 1
    assert keys.begin("f") == Admitted(keys.offset)
    keys.release("f", forgotten=True)
    assert keys.begin("g", fingerprint=PATCHED) == Admitted(keys.offset)


def test_only_the_last_lease_counts() -> None:
    """Whoever was away for too long neither answers for the one that was admitted since, nor lets it go."""
    keys = Keys()
    keys.begin("a")
    keys.now_ms += LIMITS.lease_ms
    assert keys.begin("b") == Admitted(0)
    keys.finish("a", b"late")
    keys.release("a", forgotten=True)
    keys.release("a", forgotten=False)
    assert keys.begin("c") == InProgress()
    keys.finish("b", b"1")
    keys.finish("b", b"2")
    keys.release("b", forgotten=True)
    assert keys.begin("c") == executed(b"1")


def test_who_ends_late_but_alone_counts() -> None:
    """A lease that has run out is as good as one that has not, where nobody else was admitted."""
    keys = Keys()
    keys.begin("a")
    keys.now_ms += 10 * LIMITS.lease_ms
    keys.finish("a", b"1")
    assert keys.begin("b") == executed(b"1")


def test_each_client_has_so_many() -> None:
    """One more drops the one that was admitted the longest ago, of the same client."""
    keys = Keys(SMALL)
    keys.begin("a", key_of(9), client=OTHER)
    for number in range(3):
        keys.now_ms += 1
        keys.begin("a", key_of(number))
    keys.now_ms += SMALL.lease_ms
    assert keys.begin("b", key_of(0)) == Admitted(1)  # which makes it the newest
    keys.now_ms += 1
    keys.begin("a", key_of(3))
    assert keys.held() == 3
    assert layout.read_held(keys.rows, key_of(1)) is None
    assert layout.read_held(keys.rows, key_of(9)) is not None


def test_room_is_made_without_a_look_at_what_was_dropped() -> None:
    """However many keys a client had, one more costs the same; so do those of others."""
    keys, rows = Keys(SMALL), UncompactedRows()
    keys.rows = rows
    keys.begin("a", key_of(999), client=OTHER)
    for number in range(150):
        keys.now_ms += 1
        keys.begin("a", key_of(number))
        keys.finish("a", b"1", key=key_of(number))
    assert keys.held() == 3
    keys.now_ms += SMALL.kept_ms
    for number in range(200, 210):
        rows.passed = 0
        keys.now_ms += 1
        keys.begin("a", key_of(number))
        keys.finish("a", b"1", key=key_of(number))
        if number > 202:  # those that were too old have gone
            assert rows.passed <= 6


def test_clocks_that_are_set_back() -> None:
    """What came later is older then, and goes first all the same."""
    keys = Keys(SMALL)
    for number in range(5):
        keys.now_ms += 1
        keys.begin("a", key_of(number))
    keys.now_ms -= 50
    keys.begin("a", key_of(5))  # is at once the oldest, and goes
    assert (layout.read_held(keys.rows, key_of(5)), keys.held()) == (None, 3)
    keys.limits = LIMITS
    keys.begin("a", key_of(6))
    keys.limits = SMALL
    keys.now_ms += 60
    keys.begin("a", key_of(7))
    held = [layout.read_held(keys.rows, key_of(number)) is not None for number in range(2, 8)]
    assert held == [False, True, True, False, False, True]


def test_old_keys_go_a_few_at_a_time() -> None:
    """Whatever comes takes some of the old ones with it, whosever they are, until none is left."""
    keys = Keys(SMALL)
    for number in range(3):
        keys.begin("a", key_of(number))
        keys.begin("a", key_of(10 + number), client=OTHER)
        keys.now_ms += 1
    keys.now_ms += SMALL.kept_ms
    for left in (4, 2, 0):
        keys.release("a", key=key_of(99), forgotten=True)
        assert keys.held() + keys.held(OTHER) == left
    assert [row for row in keys.rows.values if not row.startswith(layout.OLDEST)] == []


@dataclass
class Model:
    """One key, as a client sees it: what it was told, and what may be going on."""

    fingerprint: str = ""
    generation: int = -1
    admitted_ms: int = 0
    lease: str = ""
    answer: bytes | None = None
    again: bool = False
    generations: set[int] = field(default_factory=set)


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "finish", "release", "forget"]),
        st.integers(0, 2),
        st.sampled_from("abcd"),
        st.sampled_from([PUT, PATCHED]),
        st.integers(0, 120),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_whatever_comes_in_whatever_order(steps: list[tuple[str, int, str, str, int]]) -> None:
    """
    Nobody is admitted beside one whose lease lasts, no answer changes, and each generation has one request.

    And the rows are those of the keys that are held, no more.
    """
    keys, models = Keys(KeyLimits(lease_ms=20, kept_ms=200, keys=100, forget_at_once=2)), [Model() for _ in range(3)]
    for what, number, lease, fingerprint, later_ms in steps:
        keys.now_ms += later_ms
        key, model = key_of(number), models[number]
        if model.generation >= 0 and model.admitted_ms + 200 < keys.now_ms:
            models[number] = model = Model(generations=model.generations)
        if what == "begin":
            admission = keys.begin(lease, key, fingerprint)
            assert admission == _expected(model, fingerprint, keys)
            if isinstance(admission, Admitted):
                model.again = model.admitted_ms > 0
                model.fingerprint, model.generation = fingerprint, admission.generation
                model.admitted_ms, model.lease = keys.now_ms, lease
        elif what == "finish":
            keys.finish(lease, lease.encode(), key)
            if model.lease == lease:
                model.answer, model.lease = lease.encode(), ""
        else:
            keys.release(lease, forgotten=what == "forget", key=key)
            if model.lease == lease:
                if what == "forget" and not model.again:
                    models[number] = Model(generations=model.generations)
                else:
                    model.lease = ""
    held = [row for row in keys.rows.values if row.startswith(layout.KEY)]
    assert keys.held() == len(held)
    for kind in (layout.OF_CLIENT, layout.BY_TIME):
        assert sorted(row[-17:] for row in keys.rows.values if row.startswith(kind)) == sorted(
            row[-17:] for row in held
        )


def _expected(model: Model, fingerprint: str, keys: Keys) -> Admission:
    if model.generation < 0:
        assert keys.offset not in model.generations
        model.generations.add(keys.offset)
        return Admitted(keys.offset)
    if fingerprint != model.fingerprint:
        return Reused()
    if model.answer is not None:
        return executed(model.answer)
    if model.lease and keys.now_ms < model.admitted_ms + 20:
        return InProgress()
    return Admitted(model.generation)
