"""The commands that the documents show, run as they stand: only the host, the ids and the credentials are changed."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Pair
from tests.support.nodes import Answer, item

DOCUMENTED = Path(__file__).with_name("data") / "documented"
NAMES = sorted(path.stem for path in DOCUMENTED.glob("*.sh"))
CORRECTIONS = tomllib.loads((DOCUMENTED / "errata.toml").read_text())["correction"]
MORE = re.compile(r",\s*\{\.\.\.\}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CONTENT_ID = "1iwousk12i008d9"
LISTS = {"get_a_contexts_list", "get_a_specific_list", "get_an_aggregated_list"}
OURS = {"app_id", "context_id", "updated_at", "platform_data", "app_media"}
"""What an item gets from where it is, not from who wrote it."""


def documented(file: str) -> str:
    """Return a file of the documents, corrected."""
    text = (DOCUMENTED / file).read_text()
    for correction in CORRECTIONS:
        if correction["file"] == file:
            assert text.count(correction["wrong"]) == 1, correction
            text = text.replace(correction["wrong"], correction["right"])
    return text


def documented_answer(name: str) -> tuple[int, Any]:
    """Return the status and the body that the documents show, None where they show none."""
    head, brace, rest = documented(f"{name}.http").partition("{")
    return int(head.split()[1]), json.loads(MORE.sub("", brace + rest)) if brace else None


def documented_item() -> dict[str, Any]:
    """Return the item that the documents write."""
    found = re.search(r"--data '(.*)'", documented("add_item_to_list.sh"), re.DOTALL)
    assert found is not None
    body: dict[str, Any] = json.loads(found[1])
    return body


def command(name: str, pair: Pair) -> str:
    """Return the command for this pair."""
    text = documented(f"{name}.sh")
    publishes = "/v1/contexts" in text or name == "retrieve_api_status"
    who = pair.app if publishes else pair.platform
    for placeholder, value in {
        "https://api.paket.tv": who.url,
        "<credentials>": b64encode(f"{who.client_id}:{who.secret}".encode()).decode(),
        ":session_id": pair.session,
        ":context_id": pair.context,
        ":content_id": CONTENT_ID,
        "fe4a9ed381e8e376": pair.app.tenant,
        "6e5060c3-7df4-488e-9e9a-67cd5077b352": pair.context,
    }.items():
        text = text.replace(placeholder, value)
    return text


async def run(line: str) -> Answer:
    """Run a command with curl, and return what it was answered."""
    shown = f'curl() {{ command curl --silent --show-error --include "$@"; }}\n{line}'
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", shown, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()
    head, _, body = output.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return Answer(int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body)


async def furnish(name: str, pair: Pair) -> None:
    """Bring about what the command finds: the item in an attached context, for lists behind a page of others."""
    if name == "add_a_context":
        return
    attached = await pair.attach()
    if name == "add_item_to_list":
        return
    for number in range(50 if name in LISTS else 0):
        await pair.app.ok("PUT", pair.context_path, item(f"other-{number}"))
    written = await pair.app.ok("PUT", pair.context_path, documented_item())
    await pair.app.ok("GET", pair.context_path, after=written.position)
    await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")


def assert_same_shape(shown: Any, answered: Any, where: str = "answer") -> None:
    """Compare names and types, and that times are written alike; a `next_key` is there only if there is more."""
    assert type(shown) is type(answered), where
    match shown:
        case dict():
            free = where.endswith((".platform_data", ".app_media"))
            assert free or set(shown) - {"next_key"} == set(answered) - {"next_key"}, where
            for key in shown.keys() & answered.keys():
                assert_same_shape(shown[key], answered[key], f"{where}.{key}")
        case list():
            assert answered, where
            for entry in answered:
                optional = {"preview_video_uri", "season", "episode"} - set(entry)
                like = {key: value for key, value in shown[0].items() if key not in optional}
                assert_same_shape(like, entry, f"{where}[]")
        case str() if TIME.fullmatch(shown):
            assert TIME.fullmatch(answered), where
        case _:
            pass


@pytest.mark.parametrize("name", NAMES)
async def test_a_documented_command_is_answered_as_documented(name: str, pair: Pair) -> None:
    """Status and shape are those that the documents show; what was written has the effect that they describe."""
    await furnish(name, pair)
    answer = await run(command(name, pair))
    status, shown = documented_answer(name)
    assert answer.status == status, answer
    if shown is None:
        assert answer.body == b""
    else:
        assert answer.headers["Content-Type"] == "application/json"
        assert_same_shape(shown, answer.json)
    if name in LISTS:
        assert answer.json["total"] == 51
        assert answer.json["next_key"] == 50
        first, example = answer.json["items"][0], shown["items"][0]
        assert {key: first[key] for key in first.keys() - OURS} == {key: example[key] for key in example.keys() - OURS}
    await assert_effect(name, pair, answer)


async def assert_effect(name: str, pair: Pair, answer: Answer) -> None:
    """Read what the command should have brought about, no earlier than its write."""
    session, context = pair.session_path, pair.context_path
    match name:
        case "add_item_to_list":
            listed = await pair.app.ok("GET", context, after=answer.position)
            (entry,) = listed.json["items"]
            assert {key: entry[key] for key in entry.keys() - OURS} == documented_item()
        case "remove_item_from_list":
            listed = await pair.app.ok("GET", context, after=answer.position)
            assert listed.json == {"total": 0, "items": []}
        case "hide_an_item_in_a_list":
            listed = await pair.app.ok("GET", context, after=answer.position)
            assert [entry["hidden"] for entry in listed.json["items"]] == [True]
        case "add_a_context":
            listed = await pair.platform.ok("GET", f"{session}/contexts", after=answer.position)
            assert listed.json["items"] == [answer.json]
        case "remove_a_context" | "remove_contexts_sessions":
            listed = await pair.platform.ok("GET", session, after=answer.position)
            assert listed.json == {"total": 0, "items": []}
        case "remove_a_session":
            assert (await pair.platform.call("GET", session, after=answer.position)).status == 404
        case _:
            assert not name.startswith(("add", "remove", "hide"))


def test_every_command_has_its_answer() -> None:
    """All fourteen are here, each with the answer that is shown for it, and every correction has its file."""
    assert len(NAMES) == 14
    assert sorted(path.stem for path in DOCUMENTED.glob("*.http")) == NAMES
    for name in NAMES:
        assert documented_answer(name)[0] in (200, 204)
    assert {correction["file"] for correction in CORRECTIONS} <= {path.name for path in DOCUMENTED.iterdir()}
    assert documented_item()["content_id"] == CONTENT_ID
