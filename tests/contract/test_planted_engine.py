"""Each rule of the engine taken away makes a test fail, for each by name: so the engine's tests can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from tests.contract import test_engine, test_engine_outcomes, test_engine_tables, test_engine_waits
from tests.support.engine_bugs import (
    ChangelogFirst,
    CommitFirst,
    DeadLettersForgotten,
    DeletionsNotRestored,
    EndBeforeClaim,
    EveryGapAHole,
    FenceSwallowed,
    GapsIgnored,
    GapsKept,
    NoFence,
    NoHole,
    NothingRestored,
    NothingSkipped,
    NotServedMeanwhile,
    OutputsNotAwaited,
    OutputsUnknownIsDone,
    PositionOfTheOther,
    PositionsElsewhere,
    ServedMeanwhile,
    TableFirst,
    TrimsAll,
    TrimsSources,
    UnknownIsDone,
    UnknownIsNot,
    VerdictFirst,
    WakesFirst,
    with_batch,
    with_gaps,
    with_partition,
)
from tests.support.engine_examples import CONTEXTS_CHANGELOG as CHANGELOG
from tests.support.engine_examples import FEED
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import DiedError, Parts
from tests.support.engine_runs import run

SEEDS = range(40)


class Bug(NamedTuple):
    """A rule that is taken away, and the example that fails without it."""

    rule: str
    parts: Parts
    example: Callable[[Parts], Awaitable[None]]


def outcome(call: str, trouble: Trouble) -> Callable[[Parts], Awaitable[None]]:
    return lambda parts: test_engine_outcomes.test_a_turn_whose_outcome_is_unknown_is_found_out(call, trouble, parts)


def poison(parts: Parts) -> Awaitable[None]:
    return test_engine.test_a_dead_letter_is_written_before_the_fold_goes_on(Trouble.LOST, parts)


ORDER = test_engine_outcomes.test_outputs_then_changelog_then_table_then_readers

EXAMPLES = [
    Bug("outputs come before the changelog", Parts(ChangelogFirst), ORDER),
    Bug("outputs are awaited", Parts(OutputsNotAwaited), outcome(FEED, Trouble.LOST)),
    Bug("the changelog comes before the table", Parts(TableFirst), ORDER),
    Bug("a verdict comes after the commit", Parts(VerdictFirst), ORDER),
    Bug("readers see what is committed", Parts(CommitFirst), ORDER),
    Bug("poison is written down", Parts(DeadLettersForgotten), poison),
    Bug("what is known is skipped", Parts(NothingSkipped), test_engine.test_a_repeated_record_is_folded_once),
    Bug("a gap is not folded over", Parts(GapsIgnored), test_engine.test_a_lost_fetch_is_read_again),
    Bug(
        "the log is asked about a hole",
        Parts(with_gaps(EveryGapAHole)),
        test_engine.test_no_hole_is_believed_in_that_the_log_denies,
    ),
    Bug("a hole is passed", Parts(with_gaps(NoHole)), test_engine.test_a_hole_of_the_log_is_passed_and_counted),
    Bug(
        "what waits behind a gap is dropped",
        Parts(GapsKept),
        test_engine.test_of_a_partition_that_is_read_again_nothing_waits,
    ),
    Bug("unknown outputs are not done", Parts(OutputsUnknownIsDone), outcome(FEED, Trouble.LOST)),
    Bug("an unknown batch is not done", Parts(UnknownIsDone), outcome(CHANGELOG, Trouble.LOST)),
    Bug("an unknown batch may be there", Parts(UnknownIsNot), outcome(CHANGELOG, Trouble.LANDED)),
    Bug("a fence is the end", Parts(FenceSwallowed), test_engine_outcomes.test_another_owner_ends_the_process),
    Bug(
        "a claim fences others off",
        Parts(table=with_partition(NoFence)),
        test_engine_outcomes.test_another_owner_ends_the_process,
    ),
    Bug(
        "positions are in the batch",
        Parts(with_batch(PositionsElsewhere)),
        test_engine_tables.test_a_lost_store_is_restored_whole,
    ),
    Bug(
        "each input has its own position",
        Parts(table=with_partition(PositionOfTheOther)),
        test_engine_tables.test_a_lost_store_is_restored_whole,
    ),
    Bug(
        "the claim comes before the end",
        Parts(table=with_partition(EndBeforeClaim)),
        test_engine_tables.test_what_a_former_owner_wrote_last_is_restored,
    ),
    Bug(
        "what the store lacks is restored",
        Parts(table=with_partition(NothingRestored)),
        test_engine_tables.test_a_store_that_is_there_gets_only_what_it_lacks,
    ),
    Bug(
        "what is half restored serves nobody",
        Parts(table=with_partition(ServedMeanwhile)),
        test_engine_tables.test_nobody_is_served_a_half_restored_table,
    ),
    Bug(
        "readers are served while a partition is claimed again",
        Parts(table=with_partition(NotServedMeanwhile)),
        test_engine_tables.test_a_short_tail_is_applied_at_one_go,
    ),
    Bug(
        "who waits is told after the commit",
        Parts(table=with_partition(WakesFirst)),
        test_engine_waits.test_who_waits_goes_on_with_the_commit,
    ),
    Bug(
        "what is not folded is not deleted",
        Parts(trimmer=TrimsAll),
        test_engine_tables.test_only_what_is_folded_for_good_is_deleted,
    ),
    Bug(
        "sources are kept for ever",
        Parts(trimmer=TrimsSources),
        test_engine_tables.test_only_what_is_folded_for_good_is_deleted,
    ),
]

FOUND = AssertionError, RuntimeError, TimeoutError, DiedError, BaseExceptionGroup


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("bug", EXAMPLES, ids=lambda bug: bug.rule)
async def test_a_rule_taken_away_fails_its_example(bug: Bug) -> None:
    """The example is there for this rule, and sees that it is gone."""
    with pytest.raises(FOUND) as found:
        async with asyncio.timeout(10):
            await bug.example(bug.parts)
    print(repr(found.value))


RUNS = {
    "outputs come before the changelog": Parts(ChangelogFirst),
    "outputs are awaited": Parts(OutputsNotAwaited),
    "the changelog comes before the table": Parts(TableFirst),
    "poison is written down": Parts(DeadLettersForgotten),
    "what is known is skipped": Parts(NothingSkipped),
    "a gap is not folded over": Parts(GapsIgnored),
    "unknown outputs are not done": Parts(OutputsUnknownIsDone),
    "an unknown batch is not done": Parts(UnknownIsDone),
    "an unknown batch may be there": Parts(UnknownIsNot),
    "a claim fences others off": Parts(table=with_partition(NoFence)),
    "positions are in the batch": Parts(with_batch(PositionsElsewhere)),
    "each input has its own position": Parts(table=with_partition(PositionOfTheOther)),
    "what the store lacks is restored": Parts(table=with_partition(NothingRestored)),
    "deletions are restored": Parts(table=with_partition(DeletionsNotRestored)),
    "what is not folded is not deleted": Parts(trimmer=TrimsAll),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("rule", RUNS)
async def test_a_rule_taken_away_breaks_a_run(rule: str) -> None:
    """The worst of days find it too, without knowing what to look for."""
    for seed in SEEDS:
        broken = await run(seed, RUNS[rule])
        if broken is not None:
            print(f"seed {seed}: {broken}")
            return
    raise AssertionError(f"no run noticed that nobody sees to it that {rule}")
