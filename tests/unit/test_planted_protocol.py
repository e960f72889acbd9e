"""Each rule of the feed protocol taken away breaks an invariant: so the protocol's test can fail, for each by name."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from streams.domain import context, session
from tests.support.planted import planted
from tests.support.protocol import Folds, run

SEEDS = 400


class Bug(NamedTuple):
    """A rule that is taken away, and the invariants of which it breaks one."""

    rule: str
    changes: dict[str, str]
    breaks: set[str]
    first: int = 0
    """A seed not far from one that finds it, so that the search is short."""


SESSION_BUGS = [
    Bug(
        "a change counts only where it follows on",
        {"member.load == NONE or change.after != member.sequence": "member.load == NONE"},
        {"noticed digest_difference"},
    ),
    Bug(
        "a change that is known is ignored",
        {"member.load != NONE and change.sequence <= member.sequence": "False"},
        {"noticed gap"},
    ),
    Bug(
        "neither a change that is known is ignored, nor does it matter what it follows",
        {
            "member.load != NONE and change.sequence <= member.sequence": "False",
            "member.load == NONE or change.after != member.sequence": "member.load == NONE",
        },
        {"monotonic", "noticed digest_difference"},
    ),
    Bug(
        "a change before the first snapshot is not applied",
        {"member.load == NONE or change.after != member.sequence": "change.after != member.sequence"},
        {"raised OverflowError"},
    ),
    Bug(
        "what is missing is asked for again",
        {"if member.gaps % self._limits.ask_again == 0:": "if False:"},
        {"converged"},
    ),
    Bug(
        "a snapshot is of this attachment",
        {"if part.epoch != self._member.epoch:": "if False:"},
        {"converged", "refused"},
        165,
    ),
    Bug(
        "a snapshot is newer",
        {
            "if member.load == NONE or newer:": "if True:",
            "if member.load != NONE and (\n            loading.as_of": "if False and (\n            loading.as_of",
        },
        {"monotonic"},
    ),
    Bug(
        "parts follow on",
        {"(loading.as_of, loading.next_part) != (part.as_of, part.part)": "False"},
        {"noticed digest_difference"},
        250,
    ),
    Bug(
        "the last part makes the load current",
        {
            "load=loading.load,\n": "load=loading.load if member.load == NONE else member.load,\n",
        },
        {"count", "digest"},
    ),
    Bug(
        "a load is not current before its last part",
        {
            "self._member = replace(member, loading=Loading(offset, part.as_of, 0, 0, 0))": "self._member = replace("
            "member, load=offset, sequence=part.as_of, loading=Loading(offset, part.as_of, 0, 0, 0))"
        },
        {"count", "digest"},
    ),
    Bug(
        "a sweep leaves loads that count alone",
        {"if member is not None and load in (": "if False and load in ("},
        {"count"},
    ),
    Bug(
        "a sweep goes on where it stopped",
        {"if len(places) > limits.sweep_rows:": "if False:"},
        {"leak"},
    ),
    Bug(
        "a load that was replaced is swept",
        {"if member.load != NONE:\n            yield ToSession": "if False:\n            yield ToSession"},
        {"leak"},
    ),
    Bug(
        "a load that was abandoned is swept",
        {"yield ToSession(self._session, Sweep(self._context, self._member.loading.load))": "yield from ()"},
        {"leak"},
    ),
    Bug(
        "the loads of what is detached are swept",
        {
            "            if load != NONE:\n": "            if False:\n",
        },
        {"leak"},
    ),
    Bug(
        "a change for what is off is not applied",
        {"if member is None:\n        return": "if member is None:\n        member = Member(0, bytes(17), 0, load=0)"},
        {"attached"},
    ),
    Bug(
        "the digest is compared",
        {"if (self._member.digest, self._member.count) == (digest, count):": "if True:"},
        {"prefix"},
    ),
    Bug(
        "what is suspect is replaced by a snapshot of its own sequence",
        {
            " or (member.suspect and part.as_of == member.sequence)": "",
        },
        {"converged"},
        235,
    ),
    Bug(
        "a detach ends the attachment of its epoch only",
        {"event.epoch in (None, member.epoch)": "True"},
        {"attached"},
    ),
    Bug(
        "a detach is told to the context",
        {"yield ToContext(context, Unsubscribe(self._session, member.epoch))": "pass"},
        {"subscriptions"},
    ),
    Bug(
        "an attach is told to the context",
        {"yield ToContext(context, Subscribe(self._session, offset))": "pass"},
        {"converged", "subscriptions"},
    ),
    Bug(
        "the total follows changes",
        {"self._write(total=count - member.count)": "self._write()"},
        {"total"},
    ),
    Bug(
        "the total follows snapshots",
        {"self._write(total=loading.count - member.count)": "self._write()"},
        {"total"},
    ),
    Bug(
        "the revision follows what readers see",
        {"revision=state.revision + 1": "revision=state.revision"},
        {"revision"},
    ),
]

CONTEXT_BUGS = [
    Bug(
        "a subscription is not older than the one that is known",
        {"epoch < self._epoch or (": "False or ("},
        {"subscriptions", "converged"},
    ),
    Bug(
        "a subscription that was ended does not begin again",
        {" or (epoch == self._epoch and not self._on):": ":"},
        {"subscriptions"},
    ),
    Bug(
        "a repeated subscription is answered again",
        {"(epoch == self._epoch and not self._on)": "epoch == self._epoch"},
        {"converged"},
    ),
    Bug(
        "an old attachment's end does not end a newer one",
        {
            'off."""\n        if epoch < self._epoch:\n            return\n        if self._on:': 'off."""\n'
            "        if self._on:"
        },
        {"subscriptions", "converged"},
    ),
    Bug(
        "an end is remembered",
        {"self._rows.put(layout.unsub_key(": "(lambda *_: None)(layout.unsub_key("},
        {"subscriptions"},
    ),
    Bug(
        "what changed nothing is told too",
        {"if not meta.subscribers:": "if not meta.subscribers or not operations:"},
        {"noticed gap", "converged"},
    ),
    Bug(
        "a change names the one before it",
        {"self._before = self._meta.sequence": "self._before = NONE"},
        {"noticed gap", "converged"},
    ),
    Bug(
        "an eviction is told",
        {"operations += self._evict()": "self._evict()"},
        {"noticed digest_difference"},
    ),
    Bug(
        "a context feeds so many sessions and no more",
        {"if self._meta.subscribers >= self._limits.sessions:": "if self._meta.subscribers > self._limits.sessions:"},
        {"too many sessions"},
    ),
    Bug(
        "clocks that step back change no order",
        {"max(time_ms, self._meta.time_ms + 1)": "time_ms"},
        {"prefix", "context list"},
    ),
]


def first_broken(folds: Folds, first: int) -> str | None:
    for seed in range(first, first + SEEDS):
        broken = run(seed, folds)
        if broken is not None:
            print(f"seed {seed}: {broken}")
            return broken
    return None


@pytest.mark.long
@pytest.mark.parametrize("bug", SESSION_BUGS, ids=lambda bug: bug.rule)
def test_a_rule_of_sessions_taken_away(bug: Bug) -> None:
    """The run that breaks an invariant is found, and it is one that the rule is there for."""
    module = planted(session, bug.changes)
    assert first_broken(Folds(session_event=module.fold_session_event, feed=module.fold_feed), bug.first) in bug.breaks


@pytest.mark.long
@pytest.mark.parametrize("bug", CONTEXT_BUGS, ids=lambda bug: bug.rule)
def test_a_rule_of_contexts_taken_away(bug: Bug) -> None:
    """The run that breaks an invariant is found, and it is one that the rule is there for."""
    module = planted(context, bug.changes)
    folds = Folds(context_event=module.fold_context_event, subscription=module.fold_subscription)
    assert first_broken(folds, bug.first) in bug.breaks
