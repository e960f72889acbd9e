"""What is being erased, as any node reads it in the log."""

from __future__ import annotations

from pathlib import Path

from streams.domain.erasure import Receipt, Requested, encode_erasure
from streams.domain.ids import Kind, id_text
from streams.engine.fatal import die
from streams.erasing import RECENT_MS, Erasing
from streams.log.embedded import EmbeddedLog
from streams.topics import ERASURES, topic_specs
from tests.support.tables import context_id, session_id

START_MS = 1_700_000_000_000
X, S = id_text(Kind.CONTEXT, context_id(1)), id_text(Kind.SESSION, session_id(1))


async def test_what_was_asked_for_is_known_at_once(tmp_path: Path) -> None:
    """Until it is gone; and for as long as a saved answer may name it, whoever asks first."""
    now_ms = START_MS
    log = EmbeddedLog(tmp_path / "log", die, clock_ms=lambda: now_ms)
    await log.start()
    await log.create_topics(topic_specs(2))
    early = Erasing(log, 2, lambda: now_ms)
    assert (await early.ids(), await early.recent()) == (set(), set())
    await log.append(ERASURES, 0, bytes(context_id(1)), encode_erasure(Requested(X)))
    await log.append(ERASURES, 1, bytes(session_id(1)), encode_erasure(Requested(S)))
    assert (await early.ids(), await early.recent()) == ({X, S}, {X, S})
    now_ms += RECENT_MS
    await log.append(ERASURES, 0, bytes(context_id(1)), encode_erasure(Receipt(X, 0, 1, 2, [], {})))
    for erasing in (early, Erasing(log, 2, lambda: now_ms)):
        assert (await erasing.ids(), await erasing.recent()) == ({S}, {X, S})
    now_ms += 1
    for erasing in (early, Erasing(log, 2, lambda: now_ms)):
        assert (await erasing.ids(), await erasing.recent()) == ({S}, set())
    await log.stop()
