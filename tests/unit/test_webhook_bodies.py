"""What is sent of an event: it says which request caused it, by that request's id and idempotency key."""

from __future__ import annotations

import orjson
import pytest
from msgspec import UNSET, UnsetType

from service.webhooks.events import body
from service.webhooks.planner import plan
from streams.codec import decode_notice, decode_webhook_event, encode_event
from streams.domain import webhook_rows as layout
from streams.domain.events import ItemHidden
from streams.domain.notices import ToApp, event_id
from streams.domain.webhook_rows import Undecided
from streams.domain.webhooks import fold_notice, fold_webhook_event
from streams.log.port import Record
from streams.processors.told import Told
from tests.support.tables import HASH_KEY, app_of, context_id
from tests.support.webhook_world import WebhookWorld, target

SOURCE = "context-events-0"


@pytest.mark.parametrize(("key", "shown"), [("evening-1", "evening-1"), (UNSET, None)])
def test_the_request_that_caused_it(key: str | UnsetType, shown: str | None) -> None:
    """From the source's event by the notice and the plan, each as the log has it, to the body."""
    world, context = WebhookWorld([target("e")]), context_id(1)
    hidden = ItemHidden(id="0" * 32, client="0" * 16, request="req_1", idempotency_key=key, content_id="a", hidden=True)
    effect = ToApp(context, app_of(context), "context.list.item_hidden", b'{"n":1}')
    told = Told("context-events", context, Record(0, world.now_ms, context, encode_event(hidden)), hidden)
    output = told.output("notices", effect)
    of, notice = decode_notice(output.key, output.value)
    known = event_id(HASH_KEY, SOURCE, 0, 0)
    fold_notice(world.rows_, Undecided(known, SOURCE, of, notice), offset=0)
    planned = plan(world.rows_, world, now_ms=world.now_ms, new_id=lambda: "1" * 32)
    assert planned is not None
    logged = decode_webhook_event(planned.id.encode(), encode_event(planned))
    fold_webhook_event(world.rows_, logged, offset=0, time_ms=world.now_ms)
    event = layout.read_event(world.rows_, known)
    assert event is not None
    sent = orjson.loads(body(known, event, "2024-02-16"))
    assert sent["request"] == {"id": "req_1", "idempotency_key": shown}
