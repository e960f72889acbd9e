"""From what clients did and saw, and what stands in the log, to what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from tests.nemesis.checker_reads import ReadChecker
from tests.nemesis.checker_writes import check_verdicts, check_writes
from tests.nemesis.history import History, Logged
from tests.nemesis.truth import fold


def check(
    history: History,
    context_events: Sequence[Logged],
    session_events: Sequence[Logged],
    *,
    partitions: int,
    stale_s: float | None = None,
) -> list[str]:
    """
    Return a sentence for everything that is wrong.

    Args:
        history: What clients did and saw.
        context_events: What stands in `context-events`, in order within each partition.
        session_events: Likewise in `session-events`.
        partitions: How many both have.
        stale_s: Acknowledged writes that are as old must be in every list, whatever it was asked with; None: no limit.
    """
    wrong = list(history.wrong)
    wrong += check_writes(history.writes, [*context_events, *session_events])
    truth = fold(context_events, session_events, history.entries, partitions)
    wrong += check_verdicts(history.writes, truth)
    reads = ReadChecker(history, truth, stale_s)
    for read in history.reads:
        wrong += reads.check(read)
    return wrong
