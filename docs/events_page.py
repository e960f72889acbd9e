"""`events.md`: every topic, and everything that stands in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import msgspec

from docs.source_docs import Field, attribute_docs, fields, summary, tag
from streams import topics
from streams.domain import (
    erasure,
    events,
    feed,
    idempotency_events,
    items,
    nodes,
    notices,
    registry_events,
    webhook_events,
)

_INTRODUCTION = """# Events

Generated from the code by `make docs`: a test compares them.

The log is the only truth. Source events are JSON objects that any Kafka tool can read; messages between the
processors, and rows, are msgpack. Fields are only ever added, with defaults; a changed meaning is a new tag. A record
that is no event of its topic, or breaks the rules of its type, is a dead letter; an event of a type that a node does
not know was written by a newer version, and stops the node.
"""
_ITS_KEY = re.compile(r"(?P<key>.+?) → (?P<value>.+?)\.(?: |$)")
_OTHERS = ("NODES", "ERASURES")
_ITS_WRITERS = re.compile(r"Written by (?P<writers>.+)\.$")
_SOURCES: tuple[tuple[str, type[msgspec.Struct], object], ...] = (
    (topics.CONTEXT_EVENTS, events.Event, events.ContextEvent),
    (topics.SESSION_EVENTS, events.Event, events.SessionEvent),
    (topics.WEBHOOK_EVENTS, webhook_events.WebhookEvent, webhook_events.AnyWebhookEvent),
    (topics.KEY_EVENTS, idempotency_events.KeyEvent, idempotency_events.AnyKeyEvent),
    (topics.REGISTRY_EVENTS, registry_events.RegistryEvent, registry_events.AnyRegistryEvent),
)
_PARTS = (
    items.Item,
    webhook_events.Planned,
    webhook_events.Target,
    registry_events.ObjectWrite,
    registry_events.Reference,
    registry_events.UniqueValue,
)


def events_page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *_topics(), *_source_events(), *_messages()]) + "\n"


def _topics() -> Iterator[str]:
    yield "## Topics\n"
    yield (
        f"N is the deployment's number of partitions. `{topics.VIEW}` is the version of the views: another one has "
        "topics of its own, folded from the same sources.\n"
    )
    yield "| topic | record key | value | partitions | kept | written by | time |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    docs = topic_docs()
    many = 2
    for spec in topics.topic_specs(many):
        key, value, writers = docs[spec.name]
        partitions = "N" if spec.partitions == many else str(spec.partitions)
        time = "when the log took it" if spec.log_append_time else "when it was written"
        kept = spec.kept.value + (", but what is erased" if spec.erasable else "")
        yield f"| `{spec.name}` | {key} | {value} | {partitions} | {kept} | {writers} | {time} |"
    yield ""


def topic_docs() -> dict[str, tuple[str, str, str]]:
    """Return each topic's key, value and writers, as its docstring says them."""
    names = topics.view_topics()
    documented = attribute_docs(topics).items()
    texts = {getattr(topics, name): text for name, text in documented if name.endswith("_EVENTS") or name in _OTHERS}
    texts |= {getattr(names, name): text for name, text in attribute_docs(topics.ViewTopics).items()}
    found = {}
    for name, text in texts.items():
        its_key, its_writers = _ITS_KEY.match(text), _ITS_WRITERS.search(text)
        if its_key is None or its_writers is None:
            msg = f"the docstring of {name} must say `key → value. … Written by ….`, not {text!r}"
            raise ValueError(msg)
        found[name] = its_key["key"], its_key["value"], its_writers["writers"]
    return found


def _source_events() -> Iterator[str]:
    for topic, base, union in _SOURCES:
        yield f"## In `{topic}`\n"
        yield f"{summary(base)}\n"
        inherited = fields(base)
        yield from _table(inherited)
        for event in get_args(union):
            yield f"### {tag(event)}\n"
            yield f"{summary(event)}\n"
            yield from _table([field for field in fields(event) if field not in inherited])
    yield "## What events hold\n"
    for part in _PARTS:
        yield f"### {part.__name__}\n"
        yield f"{summary(part)}\n"
        yield from _table(fields(part))


def _messages() -> Iterator[str]:
    names = topics.view_topics()
    yield f"## In `{topics.NODES}`\n"
    yield f"{summary(nodes.NodeSaid)} JSON; a tombstone says that the node has stopped.\n"
    yield from _table(fields(nodes.NodeSaid))
    yield f"## In `{topics.ERASURES}`\n"
    yield "JSON objects.\n"
    for said in get_args(erasure.Erasure):
        yield f"### {tag(said)}\n"
        yield f"{summary(said)}\n"
        yield from _table(fields(said))
    yield f"### {erasure.ErasedFrom.__name__}\n"
    yield f"{summary(erasure.ErasedFrom)}\n"
    yield from _table(fields(erasure.ErasedFrom))
    for topic, union in ((names.feed, feed.FeedMessage), (names.subscriptions, feed.Subscription)):
        yield f"## In `{topic}`\n"
        yield "msgpack arrays: the tag first, then the fields in this order.\n"
        for message in get_args(union):
            yield f"### {message.__name__} ({tag(message)})\n"
            yield f"{summary(message)}\n"
            yield from _table(fields(message))
    yield f"## In `{names.notices}`\n"
    yield f"{summary(notices.Notice)} A msgpack array of the fields in this order.\n"
    yield from _table(fields(notices.Notice))
    yield f"### {feed.Operation.__name__}\n"
    yield f"{summary(feed.Operation)}\n"
    yield from _table(fields(feed.Operation))


def _table(rows: list[Field]) -> Iterator[str]:
    if not rows:
        return
    yield "| field | type | default | what it is |"
    yield "| --- | --- | --- | --- |"
    for field in rows:
        cells = (f"`{field.name}`", field.type, field.default or "required", field.text)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""
