"""Every topic: its name, key, partitions, what is kept, who writes it. The one place where a partition is chosen."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2

from streams.domain.view_versions import FIRST

CONTEXT_EVENTS: Final = "context-events"
"""`<context id>/<event id>` → a context event, JSON. Kept for ever. Written by the service."""
SESSION_EVENTS: Final = "session-events"
"""`<session id>/<event id>` → a session event, JSON. Kept for ever. Written by the service."""
WEBHOOK_EVENTS = "webhook-events"
"""Event id → an event of webhooks, JSON. Kept for ever. Written by the service."""
REGISTRY_EVENTS = "registry-events"
"""Transaction id → a registry event, JSON. One partition. Kept for ever. Written by the service."""
ERASURES = "erasures"
"""Context or session id, raw → what is to be erased, or the receipt of what was; node name → which of its tables it has
rewritten since, JSON. Kept for ever. Written by the contexts and sessions processors, the node that erases, and every
node that has tables."""
KEY_EVENTS = "idempotency-keys"
"""Key, 17 bytes derived from client and key → a key event, JSON. Kept for 7 days. Written by the service."""
NODES = "upnext-nodes"
"""Node name → what the node says of itself, JSON. The latest counts. Written by every node on Kafka."""

VIEW = FIRST
"""The first version of the views. A version's name is its Faust app id, and the prefix of its own topics."""


class Kept(enum.Enum):
    """How long a topic keeps its records."""

    FOR_EVER = "for ever"
    UNTIL_FOLDED = "until folded"
    COMPACTED = "compacted"
    LATEST = "compacted every 10 minutes"
    DAYS_7 = "7 days"
    DAYS_30 = "30 days"


class TopicSpec(NamedTuple):
    """A topic as it must be."""

    name: str
    partitions: int
    kept: Kept
    log_append_time: bool
    erasable: bool = False
    """Whether single records are removed from it for good: on Kafka by a tombstone for the record's key."""


class ViewTopics(NamedTuple):
    """The names of the topics of one version of the views."""

    subscriptions: str
    """Context id, raw → subscribe, unsubscribe or wipe, msgpack. Written by the sessions processor, wipes by the
    contexts processor."""
    feed: str
    """Session id, raw → change, snapshot, sweep or refusal, msgpack. Written by the contexts processor, sweeps by the
    sessions processor too."""
    notices: str
    """Context id, raw → what its app is to hear of, msgpack. Written by the contexts and sessions processors."""
    contexts_changelog: str
    """Row key → row, or the inputs' positions. Written by the contexts processor."""
    sessions_changelog: str
    """Row key → row, or the inputs' positions. Written by the sessions processor."""
    webhooks_changelog: str
    """Row key → row, or the inputs' positions. Written by the webhooks processor."""
    idempotency_changelog: str
    """Row key → row, or the input's position. Written by the idempotency processor."""
    dead_letters: str
    """`<topic>-<partition>-<offset>` → the record and the reason, JSON. Written by the processors."""


def view_topics(view: str = VIEW) -> ViewTopics:
    """Return the topics of a version of the views."""
    return ViewTopics(
        subscriptions=f"{view}-context-subscriptions",
        feed=f"{view}-session-feed",
        notices=f"{view}-notices",
        contexts_changelog=f"{view}-contexts-changelog",
        sessions_changelog=f"{view}-sessions-changelog",
        webhooks_changelog=f"{view}-webhooks-changelog",
        idempotency_changelog=f"{view}-idempotency-changelog",
        dead_letters=f"{view}-dead-letters",
    )


def topic_specs(partitions: int, view: str = VIEW) -> list[TopicSpec]:
    """Return every topic that a deployment of *partitions* partitions with one version of the views needs."""
    return [*shared_specs(partitions), *view_specs(partitions, view)]


def shared_specs(partitions: int) -> list[TopicSpec]:
    """Return the topics that there are whatever the version of the views."""
    return [
        TopicSpec(CONTEXT_EVENTS, partitions, Kept.FOR_EVER, log_append_time=True, erasable=True),
        TopicSpec(SESSION_EVENTS, partitions, Kept.FOR_EVER, log_append_time=True, erasable=True),
        TopicSpec(ERASURES, partitions, Kept.FOR_EVER, log_append_time=True),
        TopicSpec(WEBHOOK_EVENTS, partitions, Kept.FOR_EVER, log_append_time=True, erasable=True),
        TopicSpec(REGISTRY_EVENTS, 1, Kept.FOR_EVER, log_append_time=True),
        TopicSpec(KEY_EVENTS, partitions, Kept.DAYS_7, log_append_time=True),
        TopicSpec(NODES, 1, Kept.LATEST, log_append_time=True),
    ]


def view_specs(partitions: int, view: str) -> list[TopicSpec]:
    """Return the topics of a version of the views."""
    names = view_topics(view)
    return [
        TopicSpec(names.subscriptions, partitions, Kept.UNTIL_FOLDED, log_append_time=True),
        TopicSpec(names.feed, partitions, Kept.UNTIL_FOLDED, log_append_time=True),
        TopicSpec(names.notices, partitions, Kept.UNTIL_FOLDED, log_append_time=True),
        TopicSpec(names.contexts_changelog, partitions, Kept.COMPACTED, log_append_time=True),
        TopicSpec(names.sessions_changelog, partitions, Kept.COMPACTED, log_append_time=True),
        TopicSpec(names.webhooks_changelog, partitions, Kept.COMPACTED, log_append_time=True),
        TopicSpec(names.idempotency_changelog, partitions, Kept.COMPACTED, log_append_time=True),
        TopicSpec(names.dead_letters, partitions, Kept.DAYS_30, log_append_time=True, erasable=True),
    ]


@lru_cache(maxsize=1 << 16)
def partition_of(raw_id: bytes, partitions: int) -> int:
    """Return the partition of a context's or session's raw id, or of a key, as Kafka's own clients would."""
    return int(murmur2(raw_id) & 0x7FFFFFFF) % partitions
