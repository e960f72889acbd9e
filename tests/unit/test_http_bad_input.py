"""Whatever a client sends as a body or in a path, it gets a documented answer in the one shape."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_from_bytes

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.http.items import ItemReader, check_rules, read_item
from service.http.json_body import JsonReader
from service.http.openapi import openapi_document
from service.http.problems import RequestError
from streams.domain.items import Item
from tests.support.listener import Listener, problem, public_listener
from tests.support.nodes import Answer, item

EXAMPLES = int(os.environ.get("UPNEXT_EXAMPLES", "150"))
SHARED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # nothing that is good is written: it stays as it is
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
FIELDS = [*item(), "season", "episode", "preview_video_uri", "hidden", "nonsense"]
ALMOST = st.dictionaries(st.sampled_from(FIELDS), SCALARS | JSON, max_size=4)
"""Fields that replace those of a good item."""
DOCUMENT = openapi_document({})


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


def documented(answer: Answer, path: str, method: str) -> None:
    """Check that the document has this answer's status, and this code with it."""
    response = DOCUMENT["paths"][path][method]["responses"][str(answer.status)]
    if answer.status >= 400:
        code = problem(answer, answer.status)
        schema = response["content"]["application/json"]["schema"]["allOf"][1]
        assert code in schema["properties"]["error"]["properties"]["code"]["enum"]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


async def put(listener: Listener, body: bytes) -> Answer:
    context = getattr(listener, "made", None)
    if context is None:
        context = listener.made = await listener.context()  # type: ignore[attr-defined]
    before = listener.recorded
    answer = await listener.app.call("PUT", f"/v1/contexts/upnext/{context}", data=body)
    documented(answer, "/v1/contexts/upnext/{context_id}", "put")
    assert answer.status in (200, 400)
    assert listener.recorded == before + (answer.status == 200)
    return answer


@pytest.mark.long
@SHARED
@given(body=st.binary(max_size=200) | JSON.map(as_json))
async def test_any_bytes_as_an_item(listener: Listener, body: bytes) -> None:
    """They are a 400, and nothing is recorded."""
    assert (await put(listener, body)).status == 400


@pytest.mark.long
@SHARED
@given(changes=ALMOST, missing=st.sets(st.sampled_from(FIELDS), max_size=2))
async def test_almost_an_item(listener: Listener, changes: dict[str, Any], missing: set[str]) -> None:
    """What is taken is served as it was written; what is not is a 400 that names what is broken."""
    body = {name: value for name, value in {**item(), **changes}.items() if name not in missing}
    answer = await put(listener, as_json(body))
    if answer.status == 400 and answer.json["error"]["code"] == "invalid_fields":
        assert answer.json["error"]["params"]
        return
    if answer.status == 200:
        page = (await listener.app.ok("GET", f"/v1/contexts/upnext/{listener.made}")).json  # type: ignore[attr-defined]
        served = page["items"][0]
        assert {name: served[name] for name in body} == body


@pytest.mark.long
@SHARED
@given(body=JSON | st.fixed_dictionaries({"app_id": SCALARS, "context_id": SCALARS}))
async def test_any_json_as_an_attachment(listener: Listener, body: Any) -> None:
    """It is a 400 or a 404, and nothing is recorded."""
    session = getattr(listener, "made", None)
    if session is None:
        session = listener.made = await listener.session()  # type: ignore[attr-defined]
    before = listener.recorded
    answer = await listener.platform.call("PUT", f"/v1/sessions/upnext/{session}", data=as_json(body))
    documented(answer, "/v1/sessions/upnext/{session_id}", "put")
    assert answer.status in (400, 404)
    assert listener.recorded == before


@SHARED
@given(part=st.binary(min_size=1, max_size=60))
async def test_anything_in_a_path(listener: Listener, part: bytes) -> None:
    """A context's id that is none is absent."""
    answer = await listener.app.call("GET", f"/v1/contexts/upnext/{quote_from_bytes(part, safe='')}")
    assert problem(answer, 404) == "not_found"


@pytest.mark.long
@settings(max_examples=4 * EXAMPLES, deadline=None, print_blob=True)
@given(
    changes=ALMOST,
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    colon=st.sampled_from([":", ": ", " :", "\t: "]),
    twice=st.sampled_from([None, *FIELDS]),
)
def test_the_fast_reader_reads_what_the_strict_one_reads(
    changes: dict[str, Any], indent: int | None, *, ascii_only: bool, colon: str, twice: str | None
) -> None:
    """Where it returns an item, it is the one that the strict reader returns; else the strict one decides."""
    fields = {**item(), **changes}
    body = json.dumps(fields, indent=indent, ensure_ascii=ascii_only, separators=(",", colon))
    if twice in fields:
        body = body[:-1].rstrip() + f',"{twice}"{colon}{json.dumps(fields[twice])}}}'
    fast = ItemReader().read(body.encode())
    assert fast is None or fast == strictly(body.encode())


def strictly(body: bytes) -> Item | None:
    try:
        return read_item(JsonReader().read(body))
    except RequestError:
        return None


@pytest.mark.parametrize(
    "body",
    [
        b'"title":"a","title":"b"',
        b'"title":"a","titl\\u0065":"b"',
        b'"title":"a\\u0000"',
        b'"title":"\\":","title":"b"',
        b'"title" :"a","title" :"b"',
        b'"title":"x\\u00e9","title":"y"',
    ],
)
def test_the_fast_reader_is_not_fooled(body: bytes) -> None:
    """What is not strict JSON is left to the strict reader, which refuses it."""
    whole = orjson.dumps(item()).replace(b'"title":"Title of c1"', body)
    assert ItemReader().read(whole) is None
    with pytest.raises(RequestError):
        JsonReader().read(whole)


def test_the_fast_reader_is_used() -> None:
    """For an item as clients write it."""
    for body in (orjson.dumps(item()), json.dumps(item(), indent=2).encode()):
        read = ItemReader().read(body)
        assert read is not None
        assert check_rules(read) == strictly(body)
