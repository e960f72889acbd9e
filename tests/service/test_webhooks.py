"""Webhooks of a real node: what a platform does with a context arrives at the endpoints of its app, signed."""

from __future__ import annotations

import time

from aiohttp import web

from service.webhooks.signing import verify_paket, verify_standard
from tests.service.conftest import LOOPBACK, Connect, OwnNode, Pair, make_pair
from tests.service.test_rebuilt_tables import rebuild
from tests.support.nodes import item
from tests.support.webhooks import Received, receiving


async def hide(pair: Pair, content_id: str, action: str, after: str) -> None:
    body = {"content_id": content_id, "action": action}
    await pair.platform.ok("PUT", f"{pair.session_path}/{pair.context}", body, after=after)


def types(received: list[Received]) -> list[str]:
    return [one.json["type"].removeprefix("context.") for one in received]


async def test_what_a_platform_does_arrives(own_node: OwnNode, connect: Connect) -> None:
    """Each thing once, signed, with what it was done to; a refresh and a publisher's own writes are no events."""
    own_node.node.env |= LOOPBACK
    async with own_node.node, receiving() as receiver:
        pair = await make_pair(connect(own_node.node))
        (made,) = await pair.be_told(receiver.url(), ordered=True)
        attached = await pair.platform.ok(
            "PUT",
            pair.session_path,
            {"app_id": pair.app.tenant, "context_id": pair.context},
            headers={"Idempotency-Key": "evening-1"},
        )
        await pair.attach()
        written = await pair.app.ok("PUT", pair.context_path, item("a"))
        await hide(pair, "a", "hide", written.position)
        await hide(pair, "a", "unhide", written.position)
        await pair.platform.ok("DELETE", f"{pair.session_path}/{pair.context}")
        await pair.attach()
        await pair.platform.ok("DELETE", pair.session_path)
        received = await receiver.until(lambda all_of: len(all_of) >= 6)
        of_session = [one for one in received if "session" in one.json["type"]]
        of_list = [one for one in received if one not in of_session]
        assert types(of_session) == [
            "session.context_added",
            "session.context_removed",
            "session.context_added",
            "session.deleted",
        ]
        assert types(of_list) == ["list.item_hidden", "list.item_unhidden"]
        assert len({one.id for one in received}) == 6
        for one in received:
            verify_paket(one.headers, one.body, made["secret"], time.time_ns() // 1_000_000)
            verify_standard(one.headers, one.body, made["secret"], time.time_ns() // 1_000_000)
        event = of_session[0].json
        assert list(event) == ["id", "object", "type", "created", "api_version", "request", "data"]
        assert (event["object"], event["api_version"], event["data"]) == ("event", "2024-02-16", attached.json)
        assert event["request"] == {"id": attached.headers["Paket-Request-Id"], "idempotency_key": "evening-1"}
        assert of_list[0].json["request"]["idempotency_key"] is None
        shown = of_list[0].json["data"]
        assert (shown["content_id"], shown["hidden"], shown["app_id"]) == ("a", True, pair.app.tenant)


async def test_killed_at_any_time(own_node: OwnNode, connect: Connect) -> None:
    """What was acknowledged arrives, at least once, with the same id: also what was on its way when the node died."""
    own_node.node.env |= LOOPBACK
    async with receiving() as receiver:
        async with own_node.node as node:
            pair = await make_pair(connect(node))
            await pair.be_told(receiver.url())

            async def killed(_: Received) -> web.Response:
                node.kill()
                return web.Response(status=500)

            receiver.answer = killed
            await pair.attach()
            (first,) = await receiver.until(bool)
        receiver.answer = None
        async with own_node.node as node:
            second = (await receiver.until(lambda all_of: len(all_of) > 1))[1]
            assert (second.id, second.body) == (first.id, first.body)
            await pair.platform.ok("DELETE", f"{pair.session_path}/{pair.context}")
            third = (await receiver.until(lambda all_of: len(all_of) > 2))[2]
            assert third.json["type"] == "context.session.context_removed"


async def test_nothing_arrives_again_when_tables_are_folded_again(own_node: OwnNode, connect: Connect) -> None:
    """Every event is folded anew and says again what happened; what waited is sent, and what happens then."""
    node = own_node.node
    node.env |= LOOPBACK
    async with receiving() as receiver:
        await node.start()
        pair = await make_pair(connect(node))
        await pair.be_told(receiver.url("/good"))
        await pair.be_told(receiver.url("/bad"), eventTypes=["context.session.context_added"])

        async def answer(received: Received) -> web.Response:
            return web.Response(status=503 if received.path == "/bad" else 204)

        receiver.answer = answer
        for _ in range(3):
            await pair.attach()
            await pair.platform.ok("DELETE", f"{pair.session_path}/{pair.context}")
        await receiver.until(lambda _: (len(receiver.of("/good")), len(receiver.of("/bad")) > 0) == (6, True))
        assert node.terminate() == 0, node.tail()
        done = await rebuild(node)
        assert done.returncode == 0, done.stderr
        receiver.answer = None
        before = {one.id for one in receiver.of("/good")}
        await node.start()
        await pair.attach()
        # The three that failed are sent again, and one more that happens now.
        await receiver.until(
            lambda _: len({one.id for one in receiver.of("/bad")}) == 4 and len(receiver.of("/good")) > 6
        )
        good = [one.id for one in receiver.of("/good")]
        assert (good[:6], len(good)) == (list(dict.fromkeys(good[:6])), 7)
        assert set(good[:6]) == before
        assert node.terminate() == 0, node.tail()
