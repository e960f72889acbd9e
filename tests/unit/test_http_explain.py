"""`GET …/explain`: what platforms are told, and what they are not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from service.http.explain import Everyone, explanation_out
from service.http.explain_texts import REASONS, RULES, STEPS, DidName, ReasonName, RuleName
from streams.domain.errors import HistoryGoneError, HistoryTooLongError, OverloadedError
from streams.domain.explain import Reason, Rule
from streams.domain.positions import NOTHING
from streams.domain.steps import Did
from tests.support.fakes import ExplainerFake
from tests.support.listener import Listener, names, problem, public_listener, raw_session, same_bytes
from tests.support.nodes import item


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


@pytest.fixture
async def path(listener: Listener) -> str:
    """The path of a session with two contexts, and three items."""
    session = await listener.session()
    for of, contents in (("app", ("a", "b")), ("other_app", ("c",))):
        context = await listener.context(of)
        await listener.attach(session, context, of)
        for content_id in contents:
            await listener.callers[of].ok("PUT", f"/v1/contexts/upnext/{context}", item(content_id))
    return f"/v1/sessions/upnext/{session}/explain"


async def only(listener: Listener, path: str) -> dict[str, Any]:
    answer = await listener.platform.ok("GET", path)
    (one,) = answer.json["explanations"]
    return dict(one)


async def test_an_item_that_is_there(listener: Listener, path: str) -> None:
    """Its place, its neighbours, the item as it is served, the events and the rules, in names and in words."""
    one = await only(listener, f"{path}?content_id=b")
    assert (one["reason"], one["text"]) == ("listed", "The item is in the list.")
    assert (one["place"]["index"], one["place"]["total"]) == (1, 3)
    assert [one["place"][which]["content_id"] for which in ("newer", "older")] == ["c", "a"]
    assert one["item"]["title"] == "Title of b"
    assert one["rules"][0]["rule"] == "newest_first"
    (step,) = one["steps"]
    assert (step["position"], step["did"], step["text"]) == ("context-events-0-2", "put", "was written")
    assert one["agrees"] is True


async def test_who_wrote_is_named_to_its_own_tenant_only(listener: Listener, path: str) -> None:
    """A platform is not told of a publisher's clients and requests."""
    (step,) = (await only(listener, f"{path}?content_id=b"))["steps"]
    assert (step["client_id"], step["request_id"]) == (None, None)

    session = raw_session(path.split("/")[-2])
    (found,) = await ExplainerFake(listener.world).explain(session, "b", None, after=NOTHING, client="")
    (named,) = explanation_out(found, Everyone()).steps
    assert named.client_id == listener.app.client_id
    assert (named.request_id or "").startswith("req_")


async def test_an_item_that_is_not_there(listener: Listener, path: str) -> None:
    """No context, no place, no item."""
    one = await only(listener, f"{path}?content_id=z")
    assert (one["reason"], one["context_id"], one["place"], one["item"]) == ("never_written", None, None, None)


async def test_what_is_another_tenants_is_absent(listener: Listener, path: str) -> None:
    """Sessions and contexts of others, what is no id, what was deleted: the same bytes."""
    session = path.split("/")[-2]
    other = await listener.context("other_app")
    absent = [
        await listener.callers["other_platform"].call("GET", f"{path}?content_id=a"),
        await listener.platform.call("GET", f"{path}?content_id=a&context_id={other}"),
        await listener.platform.call("GET", f"{path}?content_id=a&context_id=CX1"),
        await listener.platform.call("GET", "/v1/sessions/upnext/SN1/explain?content_id=a"),
    ]
    await listener.platform.ok("DELETE", f"/v1/sessions/upnext/{session}")
    absent += [await listener.platform.call("GET", f"{path}{query}") for query in ("?content_id=a", "")]
    assert {problem(answer, 404) for answer in absent} == {"not_found"}
    assert len({str(same_bytes(answer)) for answer in absent}) == 1
    assert problem(await listener.app.call("GET", f"{path}?content_id=a"), 403) == "wrong_tenant"


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", ["content_id"]),
        ("?content_id=", ["content_id"]),
        ("?content_id=sessions", ["content_id"]),
        ("?content_id=a&content_id=b&context_id=x&context_id=y", ["content_id", "context_id"]),
        (f"?content_id={'x' * 256}", ["content_id"]),
    ],
)
async def test_parameters(listener: Listener, path: str, query: str, wrong: list[str]) -> None:
    """The item must be named, once, and can be one; all that is wrong is said at once."""
    answer = await listener.platform.call("GET", path + query)
    assert problem(answer, 400) == "invalid_fields"
    assert names(answer) == wrong


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HistoryTooLongError("so much"), 409, "history_too_long"),
        (HistoryGoneError("gone"), 409, "history_gone"),
        (OverloadedError("2 read"), 503, "overloaded"),
    ],
)
async def test_what_cannot_be_read(listener: Listener, path: str, error: Exception, status: int, code: str) -> None:
    """More than may be read, and what is gone, are said; too many at once are told to come again."""
    listener.world.fail("explain", error)
    assert problem(await listener.platform.call("GET", f"{path}?content_id=a"), status) == code


async def test_content_ids_are_texts(listener: Listener, path: str) -> None:
    """Percent-encoded, whatever is in them."""
    context = await listener.context()
    await listener.attach(path.split("/")[-2], context)
    await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item("é/ &?"))
    one = await only(listener, f"{path}?content_id=%C3%A9%2F%20%26%3F")
    assert one["item"]["content_id"] == "é/ &?"


def test_everything_has_a_name_and_words() -> None:
    """Of every reason, rule and step."""
    for named, kind, words in ((ReasonName, Reason, REASONS), (RuleName, Rule, RULES), (DidName, Did, STEPS)):
        assert set(get_args(named)) == {one.value for one in kind}
        assert set(words) == set(kind)
