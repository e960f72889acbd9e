"""Three nodes on one Kafka, one of each kind: whichever is asked, the answer is that of the node that has the list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson
import pytest
from click.testing import CliRunner

from service.cli import main
from tests.service.conftest import LOOPBACK, PAST, Pair, make_pair
from tests.support.hops import Forwarded, name_of
from tests.support.kafka import Broker
from tests.support.nodes import Answer, Caller, Deployment, NodeProcess, item
from tests.support.webhooks import receiving

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 4
TAKE_OVER_S = 60.0
_OF_THE_ANSWER = ("Date", "Paket-Request-Id", "Paket-Version", "RateLimit", "RateLimit-Policy")
"""Headers that the node in front gives, and each answer anew."""
SPREAD = 40
"""Sessions that are made until a node has one: each has half of the partitions."""


@dataclass
class Nodes:
    """What each of them does."""

    both: NodeProcess
    folds: NodeProcess
    fronts: NodeProcess

    @property
    def public(self) -> list[NodeProcess]:
        return [self.both, self.fronts]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    directory = tmp_path_factory.mktemp("any-node")
    broker = Broker(directory / "broker")

    def node(name: str, *flags: str) -> NodeProcess:
        own = "--partitions", str(PARTITIONS)
        return NodeProcess(directory / name, *own, *flags, kafka=broker.bootstrap, env={**LOOPBACK, **PAST})

    broker.start()
    made = Nodes(node("both"), node("folds", "--roles", "streams"), node("fronts", "--roles", "api"))
    every = [made.both, made.folds, made.fronts]
    try:
        for one in every:
            asyncio.run(one.start())
        yield made
        assert [one.terminate() for one in every] == [0, 0, 0], [one.tail() for one in every]
    finally:
        for one in every:
            one.kill()
        broker.stop()


@pytest.fixture
def deployment(nodes: Nodes, http: aiohttp.ClientSession) -> Deployment:
    return Deployment(nodes.both, http)


def at(node: NodeProcess, caller: Caller) -> Caller:
    """Return the same client, who calls another node."""
    return replace(caller, url=node.url)


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all of an answer but its date, its request id, and what the node that was asked has counted."""
    request_id = answer.headers["Paket-Request-Id"]
    headers = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_ANSWER]
    return answer.status, headers, answer.body.replace(request_id.encode(), b"")


async def served_by(node: NodeProcess, pair: Pair, http: aiohttp.ClientSession) -> bool:
    """Say whether the lists of a pair's session are that node's."""
    return (await Forwarded(http, pair.platform).read(node, pair.session_path)).status == 200


async def pair_of(node: NodeProcess, deployment: Deployment) -> Pair:
    """Make a context with items and a session that has it, whose lists are that node's."""
    pair = await make_pair(deployment)
    for _ in range(SPREAD):
        if await served_by(node, pair, deployment.http):
            break
        pair.session = (await pair.platform.ok("POST", "/v1/sessions")).json["session_id"]
    await attached(pair)
    for n in range(3):
        written = await pair.app.ok("PUT", pair.context_path, item(f"c{n}"))
    await until_served(pair.platform, pair.session_path, written.position)
    return pair


async def test_lists_as_they_were(nodes: Nodes, deployment: Deployment) -> None:
    """Whichever node is asked gives the same list again by its position, and the same differences."""
    for owner in (nodes.both, nodes.folds):
        pair = await pair_of(owner, deployment)
        # A node that is silent for half a second is busy, and a copy answers that may be older than what was seen.
        last = (await pair.app.ok("PUT", pair.context_path, item("c2"))).position
        then = await until_served(pair.platform, pair.session_path, last)
        mine = await until_served(pair.app, pair.context_path, last)
        written = await pair.app.ok("PUT", pair.context_path, item("later"))
        now = await until_served(pair.platform, pair.session_path, written.position)
        for caller, path, was in ((pair.platform, pair.session_path, then), (pair.app, pair.context_path, mine)):
            for query in (f"?as_of={was.position}", f"/diff?from={was.position}"):
                answers = [await at(node, caller).ok("GET", path + query) for node in nodes.public]
                assert len({str(seen(answer)) for answer in answers}) == 1
                body = answers[0].json
                found = body["items"] if query.startswith("?") else [one["content_id"] for one in body["items"]]
                assert found == (was.json["items"] if query.startswith("?") else ["later"])
        assert now.json["total"] == then.json["total"] + 1


async def calls(app: Caller, platform: Caller, pair: Pair, name: str) -> list[Answer]:
    """Make every call of `/v1` of one pair, each after all that were made before it."""
    context, session, seen_so_far = pair.context_path, pair.session_path, [""]
    of_context, attach = f"{session}/{pair.context}", {"app_id": app.tenant, "context_id": pair.context}
    hide = {"content_id": name, "action": "hide"}
    sequence: list[tuple[Caller, str, str, Any]] = [
        (app, "GET", "/v1", None),
        (platform, "GET", "/v1", None),
        (platform, "PUT", session, attach),
        (app, "PUT", context, item(name)),
        (app, "GET", context, None),
        (platform, "GET", session, None),
        (platform, "GET", of_context, None),
        (platform, "GET", f"{session}/contexts", None),
        (platform, "PUT", of_context, hide),
        (platform, "HEAD", session, None),
        (app, "DELETE", f"{context}/{name}", None),
        (platform, "GET", session, None),
        (platform, "DELETE", of_context, None),
        (platform, "PUT", session, attach),
        # A list that has the context's items shows that the context knows of the session.
        (platform, "GET", session, None),
        (app, "DELETE", f"{context}/sessions", None),
        (platform, "GET", session, None),
        (app, "POST", "/v1/contexts", None),
        (platform, "POST", "/v1/sessions", None),
    ]
    answers = []
    for caller, method, path, body in sequence:
        answer = await caller.ok(method, path, body, after=",".join(seen_so_far[-20:]).strip(","))
        if "Paket-Position" in answer.headers and answer.position not in seen_so_far:
            seen_so_far.append(answer.position)
        answers.append(answer)
    return answers


@pytest.mark.parametrize("owner", ["both", "folds"])
async def test_every_call_on_every_node(nodes: Nodes, deployment: Deployment, owner: str) -> None:
    """Whoever has the list; each call sees what was written through another node, by the positions it is shown."""
    pair = await pair_of(getattr(nodes, owner), deployment)
    for n, node in enumerate(nodes.public):
        answers = await calls(at(node, pair.app), at(node, pair.platform), pair, f"new-{n}")
        assert [entry["content_id"] for entry in answers[5].json["items"]][:1] == [f"new-{n}"]
        assert answers[11].json["total"] == 3
        assert answers[16].json == {"total": 0, "items": []}
    # Written here, read there, and the other way round; then gone everywhere.
    one, other = (at(node, pair.platform) for node in nodes.public)
    attach = {"app_id": pair.app.tenant, "context_id": pair.context}
    for writer, reader in ((one, other), (other, one)):
        written = await writer.ok("PUT", pair.session_path, attach)
        assert (await reader.ok("GET", pair.session_path, after=written.position)).json["total"] == 3
        written = await at(nodes.fronts, pair.app).ok("DELETE", f"{pair.context_path}/sessions")
        assert (await reader.ok("GET", pair.session_path, after=written.position)).json["total"] == 0
    gone = await one.ok("DELETE", pair.session_path)
    for platform in (one, other):
        assert (await platform.call("GET", pair.session_path, after=gone.position)).status == 404


@pytest.mark.parametrize("owner", ["both", "folds"])
async def test_the_answer_is_the_owners(nodes: Nodes, deployment: Deployment, owner: str) -> None:
    """Byte for byte and header for header, but for the date and the request's id; also where it is an error."""
    having: NodeProcess = getattr(nodes, owner)
    pair = await pair_of(having, deployment)
    session = pair.session_path
    at_owner = Forwarded(deployment.http, pair.platform)
    for path in (session, f"{session}?limit=1&next_key=1", f"{session}/contexts", f"{session}/{pair.context}"):
        expected = await at_owner.read(having, path)
        assert expected.status == 200
        last = expected.position
        for node in nodes.public:
            answer = await at(node, pair.platform).call("GET", path, after=last)
            assert seen(answer) == seen(expected), (node.url, path)
        known = {"If-None-Match": expected.headers["ETag"]}
        answers = [await at(node, pair.platform).call("GET", path, after=last, headers=known) for node in nodes.public]
        assert [answer.status for answer in answers] == [304, 304]
        assert seen(answers[0]) == seen(answers[1])
    for path, status in ((f"{session}?limit=x", 400), (f"{session}/{pair.session}", 404)):
        answers = [await at(node, pair.platform).call("GET", path) for node in nodes.public]
        assert [answer.status for answer in answers] == [status, status]
        assert seen(answers[0]) == seen(answers[1])


async def test_the_owner_shows_whose_platform_asks(nodes: Nodes, deployment: Deployment) -> None:
    """Data of apps, links to each item and approval are as configured for the platform that asked in front."""
    pair = await pair_of(nodes.folds, deployment)
    before = await at(nodes.fronts, pair.platform).ok("GET", pair.session_path)
    await pair.tell(custom_app_id="play")
    shown = [{"custom_app_id": "play", "link": f"app://play/c{n}"} for n in (2, 1, 0)]
    answers = []
    for node in nodes.public:
        end = time.monotonic() + TAKE_OVER_S
        while True:
            # Configured on one node, shown by another, as soon as that one has heard of it.
            answer = await at(node, pair.platform).ok("GET", pair.session_path)
            if [entry["platform_data"] for entry in answer.json["items"]] == shown:
                break
            assert answer.headers["ETag"] == before.headers["ETag"], answer.body
            assert time.monotonic() < end, answer.body
            await asyncio.sleep(0.02)
        answers.append(seen(answer))
    assert answers[0] == answers[1]
    other = (await make_pair(deployment)).platform
    session = (await other.ok("POST", "/v1/sessions")).json["session_id"]
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    for node in nodes.public:
        attached = await at(node, other).ok("PUT", f"/v1/sessions/upnext/{session}", body)
        theirs = await at(node, other).ok("GET", f"/v1/sessions/upnext/{session}", after=attached.position)
        assert [entry["platform_data"] for entry in theirs.json["items"]] == [{}, {}, {}]


async def test_only_what_a_node_has_signed_is_heard(nodes: Nodes, deployment: Deployment) -> None:
    """Not what is forged, late, of another path, for another node or handed on before; and nobody hands it on."""
    pair = await pair_of(nodes.folds, deployment)
    forwarded = Forwarded(deployment.http, pair.platform)
    call = forwarded.call(nodes.folds, "DELETE", pair.session_path)
    refused = [
        await forwarded.sent(nodes.folds, call, key=b"x" * 32),
        await forwarded.sent(nodes.folds, call, late_ms=40_000),
        await forwarded.sent(nodes.folds, call, path=f"{pair.session_path}/{pair.context}"),
        await forwarded.sent(nodes.folds, call._replace(hop=2)),
        await forwarded.sent(nodes.both, call),
    ]
    assert [answer.status for answer in refused] == [403] * len(refused)
    assert (await forwarded.read(nodes.both, pair.session_path)).status == 421
    assert (await forwarded.read(nodes.fronts, pair.session_path)).status == 421
    assert (await pair.platform.call("GET", f"/forward{pair.session_path}")).status == 404
    assert (await pair.platform.ok("GET", pair.session_path)).json["total"] == 3


async def test_a_node_that_only_folds_has_no_api(nodes: Nodes, http: aiohttp.ClientSession) -> None:
    """Nothing listens there."""
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"{nodes.folds.url}/v1")


def test_upnext_nodes(nodes: Nodes) -> None:
    """Every node shows all of them, as a table and as JSON; where none answers, one line says what to do."""
    upnext = CliRunner()
    for node in (nodes.both, nodes.folds, nodes.fronts):
        shown = upnext.invoke(main, ["nodes", "--url", node.internal_url])
        assert shown.exit_code == 0, shown.output
        heading, *lines = shown.output.splitlines()
        assert heading.startswith("node ")
        roles = {line.split()[0]: line.split()[2] for line in lines}
        assert roles == {
            name_of(nodes.both): "api,streams",
            name_of(nodes.folds): "streams",
            name_of(nodes.fronts): "api",
        }
    shown = upnext.invoke(main, ["nodes", "--json", "--url", nodes.fronts.internal_url])
    known = orjson.loads(shown.output)["nodes"]
    for served in ("contexts", "sessions"):
        assert sorted(number for node in known for number in node[served]) == list(range(PARTITIONS))
    broken = upnext.invoke(main, ["nodes", "--url", nodes.folds.url])
    assert broken.exit_code == 1
    assert broken.stderr.count("\n") == 1
    assert "--url" in broken.stderr


async def test_what_a_node_had_is_had_again(nodes: Nodes, deployment: Deployment) -> None:
    """Killed, then stopped: lists are a copy's until another node has taken over; positions hold, no list is older."""
    for end in (NodeProcess.kill, NodeProcess.terminate):
        pair = await pair_of(nodes.folds, deployment)
        position = (await until_served(at(nodes.fronts, pair.platform), pair.session_path)).position
        await asyncio.to_thread(end, nodes.folds)
        for node in nodes.public:
            answer = await until_served(at(node, pair.platform), pair.session_path, position)
            assert answer.json["total"] == 3
        written = await at(nodes.fronts, pair.app).ok("PUT", pair.context_path, item("more"), after=position)
        # What is newer than the copy is not answered from before it.
        answer = await until_served(at(nodes.fronts, pair.platform), pair.session_path, written.position)
        assert answer.json["total"] == 4
        await nodes.folds.start()


async def until_served(platform: Caller, path: str, position: str = "") -> Answer:
    """Return a list as of a position, once a node has it."""
    return await until_answered(lambda: platform.call("GET", path, after=position))


async def attached(pair: Pair) -> None:
    """
    Attach a pair's context, once the session's partition has an owner that judges.

    Partitions come back to a node that was restarted after it is ready; lists are read meanwhile, commands are 503.
    """
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    await until_answered(lambda: pair.platform.call("PUT", pair.session_path, body))


async def until_answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call for as long as partitions move: it is refused in the form that asks for a repeat, or is 200."""
    end = time.monotonic() + TAKE_OVER_S
    while True:
        answer = await call()
        if answer.status == 200:
            return answer
        assert answer.status == 503, answer.body
        assert answer.headers["Retry-After"]
        assert time.monotonic() < end, answer.body
        await asyncio.sleep(0.1)


async def test_a_limit_is_one_for_all_nodes(nodes: Nodes, deployment: Deployment) -> None:
    """A client that asks two nodes for more than it may gets it once, as soon as they have heard of each other."""
    company, per_s = await deployment.company(), 20
    tenant = (await deployment.tenant("apps", company)).tenant
    caller = await deployment.client(tenant, company, rateLimit={"read": per_s, "write": per_s})
    let_through: list[float] = []
    done = asyncio.Event()

    async def ask(caller: Caller) -> None:
        while not done.is_set():
            answer = await caller.call("GET", "/v1")
            if answer.status == 200:
                let_through.append(time.monotonic())
            else:
                assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            await asyncio.sleep(0.01)

    def rate(over_s: float) -> float:
        return sum(at > time.monotonic() - over_s for at in let_through) / over_s

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for node in nodes.public:
            group.create_task(ask(at(node, caller)))
        # At first each lets all of it through, and 2 s of it at once.
        while not (let_through and let_through[0] < time.monotonic() - 4 and rate(2) < 1.3 * per_s):
            await asyncio.sleep(0.05)
        assert rate(2) > 0.5 * per_s
        done.set()


async def test_webhook_deliveries(nodes: Nodes, deployment: Deployment) -> None:
    """Every node lists those of all, reads each, and has them be sent again, wherever they are sent from."""
    pair = await make_pair(deployment)
    fronts = at(nodes.fronts, deployment.admin)
    path, context = "/api/v1/webhookdeliveries", f"?context={pair.company}"
    async with receiving() as receiver:
        (endpoint,) = await pair.be_told(receiver.url())
        for _ in range(3 * PARTITIONS):
            other = (await pair.app.ok("POST", "/v1/contexts")).json["context_id"]
            await attached(replace(pair, context=other))
        first = await receiver.until(lambda came: len(came) == 3 * PARTITIONS)
        listed = await until_delivered(fronts, path + context, 3 * PARTITIONS)
        assert {one["eventId"] for one in listed} == {one.id for one in first}
        assert [one["createTime"] for one in listed] == sorted((one["createTime"] for one in listed), reverse=True)
        assert len({one["id"].partition("-")[0] for one in listed}) > 1
        for node in nodes.public:
            caller = at(node, deployment.admin)
            assert (await caller.ok("GET", path + context)).json["results"] == listed
            for one in listed[:4]:
                assert (await caller.ok("GET", f"{path}/{one['id']}{context}")).json == one
        times = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        again = await fronts.ok("POST", f"{path}/resend{context}", {"endpoint": endpoint["id"], **times})
        assert again.json == {"count": 3 * PARTITIONS}
        every = await receiver.until(lambda came: len(came) == 6 * PARTITIONS)
        assert sorted(one.id for one in every) == sorted(one.id for one in [*first, *first])


async def until_delivered(caller: Caller, path: str, count: int) -> list[dict[str, Any]]:
    """Return the deliveries of a list, once there are so many and all have arrived."""
    async with asyncio.timeout(30):
        while True:
            listed: list[dict[str, Any]] = (await caller.ok("GET", path)).json["results"]
            if [one["status"] for one in listed] == ["DELIVERED"] * count:
                return listed
            await asyncio.sleep(0.05)
