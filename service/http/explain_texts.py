"""Explanations in words: a sentence for each reason, rule and step."""

from __future__ import annotations

from typing import Literal

from streams.domain.explain import Reason, Rule
from streams.domain.steps import Did

ReasonName = Literal[
    "listed",
    "hidden",
    "never_written",
    "other_context",
    "removed",
    "left_out",
    "dropped",
    "catching_up",
    "refused",
    "detached",
    "too_many_contexts",
    "differs",
]
DidName = Literal[
    "put",
    "replaced",
    "left_out",
    "removed",
    "dropped",
    "hidden",
    "unhidden",
    "attached",
    "refreshed",
    "too_many_contexts",
    "detached",
    "session_deleted",
    "nothing",
]
RuleName = Literal[
    "newest_first",
    "later_than_the_last",
    "hidden_keeps_its_place",
    "hidden_is_kept",
    "attached_later",
    "at_most_1000",
    "replaced_whole",
    "nothing_to_do",
]

REASONS: dict[Reason, str] = {
    Reason.LISTED: "The item is in the list.",
    Reason.HIDDEN: "The item is in the list, marked as hidden.",
    Reason.NEVER_WRITTEN: "No such item was ever written to this context.",
    Reason.OTHER_CONTEXT: "No such item was ever written to this context; another one of the session has it.",
    Reason.REMOVED: "The item was removed by its publisher.",
    Reason.LEFT_OUT: "The item was not named when its publisher replaced the whole list.",
    Reason.DROPPED: "The item was the one written longest ago when the context had more than 1,000.",
    Reason.CATCHING_UP: "The context was attached a moment ago, and its items are still on their way.",
    Reason.REFUSED: "The context feeds as many sessions as it may, and stays empty in this one.",
    Reason.DETACHED: "The context is not attached any more.",
    Reason.TOO_MANY: "The context was not attached, for the session had as many as it may have.",
    Reason.DIFFERS: "The context has the item, and the list does not: that is an error of the service.",
}
RULES: dict[Rule, str] = {
    Rule.NEWEST_FIRST: "Lists are in the order of `updated_at`, newest first, ties by `content_id`, then `context_id`.",
    Rule.LATER_THAN_THE_LAST: "Each write to a context is at least 1 ms later than the one before it, whatever the "
    "clock says: so is its `updated_at`.",
    Rule.HIDDEN_KEEPS_ITS_PLACE: "What is hidden stays in the list, in its place, marked.",
    Rule.HIDDEN_IS_KEPT: "What was hidden stays so when it is written again, until somebody shows it.",
    Rule.ATTACHED_LATER: "The context was attached after the item was written: the item came into the list then, in "
    "the place that its `updated_at` gives it.",
    Rule.AT_MOST_1000: "A context holds at most 1,000 items: one more drops the one with the oldest `updated_at`.",
    Rule.REPLACED_WHOLE: "When a list is replaced whole, what is not named goes.",
    Rule.NOTHING_TO_DO: "The last event of the item changed nothing: it was so already, or not there, or "
    "the event, which counts once, had come before.",
}
STEPS: dict[Did, str] = {
    Did.PUT: "was written",
    Did.REPLACED: "was written again",
    Did.LEFT_OUT: "went, as the list was replaced without it",
    Did.REMOVED: "was removed",
    Did.DROPPED: "was dropped, as one item more than 1,000 was written",
    Did.HIDDEN: "was hidden",
    Did.UNHIDDEN: "was shown again",
    Did.ATTACHED: "its context was attached",
    Did.REFRESHED: "its context was attached again, which changes nothing",
    Did.TOO_MANY: "its context was not attached: there were too many",
    Did.DETACHED: "its context was detached",
    Did.DELETED: "the session was deleted",
    Did.NOTHING: "nothing changed",
}
