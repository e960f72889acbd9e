"""
The wire: what was ever written is read for ever, and nothing else is read as something.

The golden files hold what version 1 wrote: JSON of events, msgpack of messages. None of them is ever changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.commands.callers import Cause
from streams import codec
from streams.domain.errors import NewerEventError, PoisonError
from streams.domain.events import (
    ContextAttached,
    ContextCreated,
    ContextDetached,
    ContextErased,
    ContextEvent,
    ItemHidden,
    ItemPut,
    ItemRemoved,
    ItemsPut,
    ItemsReplaced,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import (
    Change,
    Erased,
    FeedMessage,
    Operation,
    Refused,
    Snapshot,
    Subscribe,
    Subscription,
    Sweep,
    Unsubscribe,
    Wipe,
)
from streams.domain.idempotency_events import AnyKeyEvent, KeyBegun, KeyFinished, KeyReleased
from streams.domain.ids import ContextId, Kind, SessionId, id_text
from streams.domain.items import Item
from streams.domain.notices import Notice, session_context_json
from streams.domain.webhook_events import (
    AnyWebhookEvent,
    ContextForgotten,
    DeliveriesPlanned,
    DeliveryAttempted,
    DeliveryResent,
    Planned,
    SessionForgotten,
    Target,
)
from tests.support.tables import context_id, make_item, session_id

GOLDEN = Path(__file__).parent / "golden"
C, S = context_id(1), session_id(1)
CONTEXT, SESSION = id_text(Kind.CONTEXT, C), id_text(Kind.SESSION, S)
APP, PLATFORM = id_text(Kind.APP, bytes(17)), id_text(Kind.PLATFORM, bytes(17))
ID = "0123456789abcdef0123456789abcdef"
CAUSE = Cause(id=ID, client="fedcba9876543210", request="req_0123456789abcdef")
KEYED = Cause(id=ID, client=CAUSE["client"], request=CAUSE["request"], idempotency_key='k "1"')
EPISODE = Item(
    content_id="e/1 \u00e9\U0001f600",
    action="up_next_continue",
    media_type="tv_episode",
    title='T "quoted"',
    description="",
    season=0,
    episode=2**31 - 1,
    poster_art_uri="https://m.example/p.png",
    poster_art_aspect_ratio="aspect_ratio_2_3",
    preview_video_uri="HTTP://m.example",
    position=0,
    duration=1,
    hidden=True,
)
CONTEXT_EVENTS: dict[str, ContextEvent] = {
    "context_created": ContextCreated(**CAUSE, app=APP),
    "item_put_movie": ItemPut(**CAUSE, app=APP, item=make_item("m1")),
    "item_put_episode": ItemPut(**CAUSE, app=APP, item=EPISODE),
    "items_put": ItemsPut(**CAUSE, app=APP, items=[make_item("m1"), EPISODE]),
    "items_replaced": ItemsReplaced(**CAUSE, app=APP, items=[EPISODE, make_item("m1")]),
    "items_replaced_by_none": ItemsReplaced(**CAUSE, app=APP, items=[]),
    "item_removed": ItemRemoved(**CAUSE, content_id="m1"),
    "item_removed_corrects": ItemRemoved(**CAUSE, content_id="m1", corrects="context-events-3-12"),
    "item_hidden": ItemHidden(**CAUSE, content_id="m1", hidden=True),
    "item_hidden_keyed": ItemHidden(**KEYED, content_id="m1", hidden=True),
    "context_erased": ContextErased(**CAUSE),
}
SESSION_EVENTS: dict[str, SessionEvent] = {
    "session_created": SessionCreated(**CAUSE, platform=PLATFORM),
    "context_attached": ContextAttached(**CAUSE, context=CONTEXT, app=APP),
    "context_detached": ContextDetached(**CAUSE, context=CONTEXT),
    "context_detached_epoch": ContextDetached(**CAUSE, context=CONTEXT, epoch=7),
    "session_deleted": SessionDeleted(**CAUSE),
}
EVENT = "ab" * 16
WEBHOOK_EVENTS: dict[str, AnyWebhookEvent] = {
    "deliveries_planned": DeliveriesPlanned(
        id=ID,
        until={"session-events-3": (12, 0)},
        events=[
            Planned(
                id=EVENT,
                source="session-events-3",
                offset=12,
                number=0,
                context=CONTEXT,
                type="context.session.context_added",
                created=1_700_000_000_000,
                request="req_0123456789abcdef",
                data=msgspec.Raw(b'{"session_id":"SN1"}'),
                targets=[
                    Target(endpoint="e1", version="2024-02-16"),
                    Target(endpoint="e2", version="2026-11-01", ordered=True),
                ],
            )
        ],
    ),
    "deliveries_planned_none": DeliveriesPlanned(id=ID, until={"context-events-0": (7, 0)}, events=[]),
    "delivery_attempted": DeliveryAttempted(
        id=ID,
        event=EVENT,
        endpoint="e1",
        attempt=1,
        at=1_700_000_000_000,
        status=503,
        error=None,
        duration_ms=20,
        outcome="PENDING",
        again_at=1_700_000_005_000,
    ),
    "delivery_resent": DeliveryResent(id=ID, event=EVENT, endpoint="e1"),
    "session_forgotten": SessionForgotten(id=ID, session=SESSION, until={}),
    "context_forgotten": ContextForgotten(id=ID, context=CONTEXT, until={"session-events-3": (12, 0)}),
}
NOTICES: dict[str, Notice] = {
    "notice": Notice(
        "session-events",
        S,
        12,
        0,
        1_700_000_000_000,
        "req_0123456789abcdef",
        bytes(17),
        "context.session.deleted",
        session_context_json(S, C, bytes(17), 1_700_000_000_000),
        "key",
    )
}
KEY_CAUSE: dict[str, Any] = {"id": ID, "client": "fedcba9876543210"}
KEY_EVENTS: dict[str, AnyKeyEvent] = {
    "key_begun": KeyBegun(**KEY_CAUSE, fingerprint=ID),
    "key_finished": KeyFinished(**KEY_CAUSE, lease=ID, status=200, body=b"x\x9c\x03\0\0\0\0\x01", position="p"),
    "key_finished_sealed": KeyFinished(**KEY_CAUSE, lease=ID, status=200, body=bytes(range(40)), sealed=True),
    "key_released": KeyReleased(**KEY_CAUSE, lease=ID, forgotten=True),
}
OPERATIONS = [Operation(b"a", 1_700_000_000_000, b'{"content_id":"a"'), Operation("\u00e9".encode(), 0, None)]
FEED: dict[str, FeedMessage] = {
    "change": Change(C, 9, 8, 2**64 - 1, 1, OPERATIONS),
    "change_first": Change(C, 0, -1, 0, 0, []),
    "snapshot": Snapshot(C, 9, 1, 2, 2**64 - 1, 3, OPERATIONS[:1], 7),
    "snapshot_empty": Snapshot(C, -1, 0, 1, 0, 0, [], 0),
    "sweep": Sweep(C, 2**40),
    "refused": Refused(C, 7),
    "erased": Erased(C),
}
SUBSCRIPTIONS: dict[str, Subscription] = {
    "subscribe": Subscribe(S, 7),
    "unsubscribe": Unsubscribe(S, 2**40),
    "wipe": Wipe(),
}


def context_key(event_id: str = ID) -> bytes:
    return f"{CONTEXT}/{event_id}".encode()


def session_key(event_id: str = ID) -> bytes:
    return f"{SESSION}/{event_id}".encode()


@pytest.mark.parametrize("name", CONTEXT_EVENTS)
def test_context_events_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert codec.encode_event(CONTEXT_EVENTS[name]) == golden
    assert codec.decode_context_event(context_key(), golden) == (C, CONTEXT_EVENTS[name])
    assert codec.event_key(Kind.CONTEXT, C, ID) == context_key()


@pytest.mark.parametrize("name", SESSION_EVENTS)
def test_session_events_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert codec.encode_event(SESSION_EVENTS[name]) == golden
    assert codec.decode_session_event(session_key(), golden) == (S, SESSION_EVENTS[name])


@pytest.mark.parametrize("name", KEY_EVENTS)
def test_key_events_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert codec.encode_event(KEY_EVENTS[name]) == golden
    assert codec.decode_key_event(C, golden) == (C, KEY_EVENTS[name])


@pytest.mark.parametrize(
    ("key", "value"),
    [(None, b"{}"), (C[1:], b"{}"), (C, None), (C, b"{}"), (C, b'{"type":"key.begun.v1","id":"0","client":""}')],
)
def test_what_is_no_key_event(key: bytes | None, value: bytes | None) -> None:
    """It is poison; one of a newer version is worse."""
    with pytest.raises(PoisonError):
        codec.decode_key_event(key, value)
    with pytest.raises(NewerEventError):
        codec.decode_key_event(C, b'{"type":"key.begun.v2"}')


@pytest.mark.parametrize("name", FEED)
def test_feed_messages_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    assert codec.encode_message(FEED[name]) == golden
    assert codec.decode_feed(S, golden) == (S, FEED[name])


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
def test_subscriptions_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    assert codec.encode_message(SUBSCRIPTIONS[name]) == golden
    assert codec.decode_subscription(C, golden) == (C, SUBSCRIPTIONS[name])


@pytest.mark.parametrize("name", WEBHOOK_EVENTS)
def test_webhook_events_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.json").read_bytes()
    assert codec.encode_event(WEBHOOK_EVENTS[name]) == golden
    assert codec.decode_webhook_event(ID.encode(), golden) == WEBHOOK_EVENTS[name]


@pytest.mark.parametrize("name", NOTICES)
def test_notices_of_version_1(name: str) -> None:
    """They decode to what they say, and encode to the same bytes."""
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    assert codec.encode_message(NOTICES[name]) == golden
    assert codec.decode_notice(C, golden) == (C, NOTICES[name])


WEBHOOK = json.dumps({"type": "webhook.delivery_resent.v1", "id": ID, "event": "ab" * 16, "endpoint": "e1"}).encode()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, WEBHOOK),
        (ID.encode(), None),
        (b"\xff", WEBHOOK),
        (b"another", WEBHOOK),
        (ID.encode(), WEBHOOK.replace(b"e1", b"e 1")),
        (ID.encode(), WEBHOOK.replace(b"abab", b"XXXX")),
        (ID.encode(), codec.encode_event(WEBHOOK_EVENTS["deliveries_planned"]).replace(b'"CX', b'"SN')),
    ],
)
def test_what_is_no_webhook_event(key: bytes | None, value: bytes | None) -> None:
    """It is poison, which is put aside."""
    assert codec.decode_webhook_event(ID.encode(), WEBHOOK)
    with pytest.raises(PoisonError):
        codec.decode_webhook_event(key, value)


def test_a_webhook_event_of_a_newer_version() -> None:
    """It is not skipped."""
    with pytest.raises(NewerEventError):
        codec.decode_webhook_event(ID.encode(), WEBHOOK.replace(b"resent.v1", b"resent.v2"))


@pytest.mark.parametrize("place", [1, 6])
def test_a_notice_of_no_id(place: int) -> None:
    """Whose record it is, and which app hears of it, are ids."""
    fields = msgspec.msgpack.decode(codec.encode_message(NOTICES["notice"]))
    fields[place] = b"short"
    with pytest.raises(PoisonError):
        codec.decode_notice(C, msgspec.msgpack.encode(fields))


def test_every_type_has_a_golden_file() -> None:
    """One that is added needs its own."""
    events = [
        *CONTEXT_EVENTS.values(),
        *SESSION_EVENTS.values(),
        *WEBHOOK_EVENTS.values(),
        *KEY_EVENTS.values(),
    ]
    assert {event.__struct_config__.tag for event in events} == codec.known_tags()
    messages = {type(message) for message in (*FEED.values(), *SUBSCRIPTIONS.values())}
    assert messages == {*FeedMessage.__args__, *Subscription.__args__}
    files = {f"{name}.json" for name in (*CONTEXT_EVENTS, *SESSION_EVENTS, *WEBHOOK_EVENTS, *KEY_EVENTS)} | {
        f"{n}.bin" for n in (*FEED, *SUBSCRIPTIONS, *NOTICES)
    }
    assert {path.name for path in GOLDEN.iterdir()} == files


def test_an_older_snapshot_without_an_epoch() -> None:
    """It is of none, and so of no member."""
    older = msgspec.msgpack.encode([1, bytes(C), 9, 0, 1, 0, 0, []])
    assert codec.decode_feed(S, older)[1] == Snapshot(C, 9, 0, 1, 0, 0, [], -1)


@pytest.mark.parametrize("name", [*CONTEXT_EVENTS, *SESSION_EVENTS])
def test_fields_of_the_future_are_passed_over(name: str) -> None:
    """They are only ever added, with defaults."""
    more = {**json_of(name), "added": {"later": [1]}}
    if "item" in more:
        more["item"]["added"] = "later"
    for item in more.get("items", ()):
        item["added"] = "later"
    value = json.dumps(more).encode()
    if name in CONTEXT_EVENTS:
        assert codec.decode_context_event(context_key(), value)[1] == CONTEXT_EVENTS[name]
    else:
        assert codec.decode_session_event(session_key(), value)[1] == SESSION_EVENTS[name]


@pytest.mark.parametrize("name", [*FEED, *SUBSCRIPTIONS])
def test_elements_of_the_future_are_passed_over(name: str) -> None:
    """As fields are."""
    value = msgspec.msgpack.encode([*msgspec.msgpack.decode((GOLDEN / f"{name}.bin").read_bytes()), "later"])
    if name in FEED:
        assert codec.decode_feed(S, value)[1] == FEED[name]
    else:
        assert codec.decode_subscription(C, value)[1] == SUBSCRIPTIONS[name]


@pytest.mark.parametrize(
    "tag",
    ["context.item_put.v2", "context.renamed.v1", "session.context_paused.v1", "registry.changed.v1", "context.x9.v10"],
)
def test_an_event_of_a_newer_version_stops_the_node(tag: str) -> None:
    """Whatever else it says, on either topic: skipping it would lose it."""
    for value in (json.dumps({"type": tag}), json.dumps({**json_of("item_put_movie"), "type": tag})):
        for decode, key in ((codec.decode_context_event, context_key()), (codec.decode_session_event, session_key())):
            with pytest.raises(NewerEventError, match=tag):
                decode(key, value.encode())


def json_of(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{name}.json").read_bytes()))


POISON: dict[str, bytes | None] = {
    "no value": None,
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no tag": b"{}",
    "an old tag": b'{"type":"context.item_put"}',
    "a foreign tag": b'{"type":"orders.created.v1"}',
    "a tag that is no text": b'{"type":7}',
    "no id": b'{"type":"session.deleted.v1"}',
    "invalid UTF-8": b'{"type":"context.item_removed.v1","content_id":"\xff"}',
    "nested without end": b'{"type":' + b"[" * 100_000,
    "too large": b" " * (1 << 20) + b"{}",
    "an event of the other topic": None,
}


@pytest.mark.parametrize("name", POISON)
def test_what_is_no_event(name: str) -> None:
    """It is poison, with a reason, on either topic."""
    other_context, other_session = json.dumps(json_of("session_deleted")), json.dumps(json_of("item_removed"))
    value = POISON[name]
    of_context = other_context.encode() if name == "an event of the other topic" else value
    of_session = other_session.encode() if name == "an event of the other topic" else value
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_context_event(context_key(), of_context)
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_session_event(session_key(), of_session)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("context_created", {"app": "x"}),
        ("context_created", {"app": PLATFORM}),
        ("context_created", {"id": ID.upper()}),
        ("context_created", {"id": ID[:-1]}),
        ("context_created", {"client": 7}),
        ("item_put_movie", {"app": CONTEXT}),
        ("items_put", {"app": CONTEXT}),
        ("items_put", {"items": []}),
        ("items_put", {"items": [json_of("item_put_movie")["item"], {}]}),
        ("items_put", {"items": [{**json_of("item_put_movie")["item"], "content_id": "."}]}),
        ("items_put", {"items": [json_of("item_put_movie")["item"]] * 1_001}),
        ("items_replaced", {"app": PLATFORM}),
        ("items_replaced", {"items": [json_of("item_put_movie")["item"], {"content_id": "a"}]}),
        ("items_replaced", {"items": [{**json_of("item_put_movie")["item"], "season": 1}]}),
        ("item_put_movie", {"item": {}}),
        ("item_put_movie", {"item": {**json_of("item_put_movie")["item"], "season": 1}}),
        ("item_put_movie", {"item": {**json_of("item_put_movie")["item"], "content_id": "sessions"}}),
        ("item_put_movie", {"item": {**json_of("item_put_movie")["item"], "content_id": "a\0b"}}),
        ("item_put_episode", {"item": {**json_of("item_put_episode")["item"], "position": 2}}),
        ("item_removed", {"content_id": ""}),
        ("item_removed", {"content_id": "x" * 256}),
        ("item_removed", {"content_id": "a\0b"}),
        ("item_removed", {"corrects": ""}),
        ("item_removed", {"corrects": "context-events-3"}),
        ("item_removed", {"corrects": None}),
        ("item_hidden", {"content_id": "."}),
        ("item_hidden", {"hidden": 1}),
        ("session_created", {"platform": APP}),
        ("context_attached", {"context": SESSION}),
        ("context_attached", {"context": CONTEXT[:-1]}),
        ("context_attached", {"app": CONTEXT}),
        ("context_detached", {"context": "CX"}),
        ("context_detached_epoch", {"epoch": "7"}),
    ],
)
def test_an_event_that_breaks_the_rules_of_its_type(name: str, changes: dict[str, Any]) -> None:
    """It is poison, though it is ours."""
    value = json.dumps({**json_of(name), **changes}).encode()
    decode: Any = codec.decode_context_event if name in CONTEXT_EVENTS else codec.decode_session_event
    with pytest.raises(PoisonError, match=r"\S"):
        decode(context_key() if name in CONTEXT_EVENTS else session_key(), value)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"/" + ID.encode(),
        CONTEXT.encode(),
        session_key(),
        context_key("0" * 32),
        context_key()[:-1],
        context_key() + b"x",
        CONTEXT.lower().encode() + b"/" + ID.encode(),
        CONTEXT.encode() + b":" + ID.encode(),
        context_key().replace(b"CX", b"CX\xd9"),
        b"CX" + b"9" * 41 + b"/" + ID.encode(),
    ],
)
def test_keys_that_are_none(key: bytes | None) -> None:
    """A key is the canonical id and the event's own."""
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_context_event(key, (GOLDEN / "context_created.json").read_bytes())


BROKEN_MESSAGES: list[Any] = [
    None,
    7,
    [],
    [9, bytes(C)],
    [0],
    [0, bytes(16), 1, 0, 0, 0, []],
    [0, bytes(C), -2, 0, 0, 0, []],
    [0, bytes(C), 1, 0, -1, 0, []],
    [0, bytes(C), 2**63, 0, 0, 0, []],
    [0, bytes(C), 1, 0, 0, 0, [[b"a", 1]]],
    [0, bytes(C), 1, 0, 0, 0, [[b"a\0", 1, None]]],
    [0, bytes(C), 1, 0, 0, 0, [["a", 1, None]]],
    [0, bytes(C), 1, 0, 0, 0, [[b"a", -1, None]]],
    [1, bytes(C), 1, 0, 1, 0, 1, [[b"a", 1, None]]],
    [1, bytes(C), 1, -1, 1, 0, 0, []],
    [2, bytes(C), -1],
    [3, bytes(18), 1],
]


@pytest.mark.parametrize("value", BROKEN_MESSAGES)
def test_messages_that_are_none(value: Any) -> None:
    """They are poison on the feed."""
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_feed(S, None if value is None else msgspec.msgpack.encode(value))


@pytest.mark.parametrize("value", [None, 7, [], [3, bytes(S), 1], [0, bytes(S)], [0, bytes(16), 1], [1, bytes(S), -1]])
def test_subscriptions_that_are_none(value: Any) -> None:
    """They are poison among the subscriptions."""
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_subscription(C, None if value is None else msgspec.msgpack.encode(value))


@pytest.mark.parametrize("key", [None, b"", bytes(16), bytes(18), SESSION.encode()])
def test_message_keys_that_are_none(key: bytes | None) -> None:
    """They are raw ids."""
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_feed(key, (GOLDEN / "sweep.bin").read_bytes())
    with pytest.raises(PoisonError, match=r"\S"):
        codec.decode_subscription(key, (GOLDEN / "subscribe.bin").read_bytes())


def mutated(kind: str) -> st.SearchStrategy[bytes]:
    """Return golden bytes with some of them changed, cut off or added."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob(f"*.{kind}"))]
    edits = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=4)

    def edit(value: bytes, changes: list[tuple[int, bytes]], end: int) -> bytes:
        for at, by in changes:
            value = value[:at] + by + value[at + len(by) :]
        return value[: end or None]

    return st.builds(edit, st.sampled_from(golden), edits, st.integers(-3, 0))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("type"), inner, max_size=3)
    ),
).map(lambda value: json.dumps(value).encode())
ANY_KEY = st.none() | st.binary(max_size=90) | st.just(context_key()) | st.just(session_key())


@pytest.mark.long
@settings(max_examples=400, deadline=None, print_blob=True)
@given(key=ANY_KEY, value=st.none() | st.binary(max_size=300) | ANY_JSON | mutated("json"))
def test_any_bytes_as_an_event(key: bytes | None, value: bytes | None) -> None:
    """They are an event, poison, or newer; nothing else is ever raised, and an event that is read is written again."""
    for decode in (codec.decode_context_event, codec.decode_session_event):
        try:
            raw, event = decode(key, value)
        except (PoisonError, NewerEventError):
            continue
        else:
            assert decode(key, codec.encode_event(event)) == (raw, event)


@pytest.mark.long
@settings(max_examples=400, deadline=None, print_blob=True)
@given(
    key=st.none() | st.binary(max_size=40) | st.just(bytes(S)),
    value=st.none() | st.binary(max_size=300) | mutated("bin"),
)
def test_any_bytes_as_a_message(key: bytes | None, value: bytes | None) -> None:
    """They are a message or poison; a message that is read is written again."""
    for decode in (codec.decode_feed, codec.decode_subscription):
        try:
            raw, message = decode(key, value)
        except PoisonError:
            continue
        else:
            assert decode(key, codec.encode_message(message)) == (raw, message)


def test_ids_of_other_contexts_and_sessions_are_theirs() -> None:
    """The key says to whom it happened."""
    for n in range(20):
        context, session = ContextId(context_id(n)), SessionId(session_id(n))
        key = codec.event_key(Kind.CONTEXT, context, ID)
        assert codec.decode_context_event(key, (GOLDEN / "item_removed.json").read_bytes())[0] == context
        assert codec.decode_feed(session, (GOLDEN / "sweep.bin").read_bytes())[0] == session
