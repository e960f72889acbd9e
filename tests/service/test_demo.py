"""The demo on a real node: it fills it, what it prints can be pasted, what it shows is never behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Connect
from tests.support.nodes import ADMIN_TOKEN, NodeProcess
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(120)
WATCHES = re.compile(
    r"\w+ (?:starts|watches|goes on with) (.*): \d+ of \d+ min \((.*): (\d+) items, (.*) first; \d+ ms\)"
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that the tests here share; the demo makes a household of its own each time."""
    shared = NodeProcess(tmp_path_factory.mktemp("demo") / "node")
    try:
        asyncio.run(shared.start())
        yield shared
        assert shared.terminate() == 0, shared.tail()
    finally:
        shared.kill()


async def start(url: str, *flags: str, token: str | None = ADMIN_TOKEN) -> Process:
    """Start the demo, which is told the token by its environment, if at all."""
    env = {name: value for name, value in os.environ.items() if name != "UPNEXT_ADMIN_TOKEN"}
    if token is not None:
        env["UPNEXT_ADMIN_TOKEN"] = token
    program = str(Path(sys.executable).with_name("upnext"))
    return await asyncio.create_subprocess_exec(
        program, "demo", "--url", url, *flags, stdout=PIPE, stderr=STDOUT, env=env
    )


@asynccontextmanager
async def started(url: str, *flags: str) -> AsyncIterator[Process]:
    """Start the demo, and see to it that it ends with the test."""
    process = await start(url, *flags)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def finished(process: Process, limit_s: float = 60) -> tuple[int, list[str]]:
    """Return the exit status and the lines of a demo that ends by itself, or was told to."""
    output, _ = await asyncio.wait_for(process.communicate(), limit_s)
    assert process.returncode is not None
    assert b"Traceback" not in output, output.decode()
    return process.returncode, output.decode().splitlines()


async def read_until(process: Process, words: str) -> list[str]:
    """Return the demo's lines up to the one that has *words*."""
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            lines.append(line.rstrip())
            if words in line:
                return lines
    raise AssertionError("\n".join(lines))


async def bash(line: str) -> Any:
    """Run a printed line as it is, and return the JSON that it was answered with, None for a 204."""
    script = f'curl() {{ command curl --silent --show-error --fail-with-body "$@"; }}\n{line}'
    process = await asyncio.create_subprocess_exec("bash", "-c", script, stdout=PIPE, stderr=PIPE)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, (line, output, errors)
    return json.loads(output) if output else None


def curl_lines(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("curl ")]


async def test_a_node_is_filled_and_every_printed_line_works(node: NodeProcess) -> None:
    """All lines one after the other, then each by itself in the other order: none depends on those before it."""
    status, lines = await finished(await start(node.url, "--once"))
    assert status == 0, lines
    assert sum(int(found[1]) for line in lines if (found := re.match(r"  \w+ on .*: (\d+) items", line))) > 300
    lines = curl_lines(lines)
    assert len(lines) >= 8
    answers = [await bash(line) for line in lines]
    first, second = answers[1], answers[2]
    assert len(first["items"]) == len(second["items"]) == 5
    assert second["next_key"] == 10
    elsewhere = answers[3]["items"]
    assert [one["platform_data"] for one in first["items"]] == [{}] * 5
    assert [one["platform_data"]["deep_link"] for one in elsewhere] == [
        f"orrin-os://{one['platform_data']['platform_app_id']}/{one['content_id']}" for one in elsewhere
    ]
    assert not {entry["content_id"] for entry in first["items"]} & {entry["content_id"] for entry in second["items"]}
    for line in reversed(lines):
        if "-X DELETE" not in line:
            await bash(line)


async def test_it_can_be_run_again(node: NodeProcess, connect: Connect, tmp_path: Path) -> None:
    """A second run uses the companies and apps that there are, and makes people who begin anew."""
    (tmp_path / "admin.token").write_text(f"{ADMIN_TOKEN}\n")
    totals = []
    for token, flags in ((ADMIN_TOKEN, ()), (None, ("--data", str(tmp_path)))):
        status, lines = await finished(await start(f"{node.url}/", "--once", *flags, token=token))
        assert status == 0, lines
        totals.append([line for line in lines if re.match(r"  \w+ on .* items", line)])
    assert totals[0] == totals[1] != []
    admin = connect(node).admin
    companies = (await admin.ok("GET", "/api/v1/companies")).json["results"]
    assert len(companies) == 5
    for company in companies:
        made = [
            (await admin.ok("GET", f"/api/v1/{kind}?context={company['id']}")).json["totalCount"]
            for kind in ("apps", "platforms")
        ]
        assert sorted(made) == [0, 1]


async def test_what_it_shows_is_never_behind(node: NodeProcess) -> None:
    """Whatever somebody is watching is on top of the list that is shown with it, at any speed."""
    status, lines = await finished(await start(node.url, "--rate", "40", "--minutes", "0.1", "--seed", "3"))
    assert status == 0, lines
    watched = [found for line in lines if (found := WATCHES.fullmatch(line))]
    assert len(watched) > 20
    assert [found[0] for found in watched if found[1] != found[4]] == []
    assert re.match(r"\d+ writes in 6 s: ", lines[-1])


async def test_ctrl_c_ends_it_with_a_summary(node: NodeProcess) -> None:
    """Exit status 0, and the last line counts what was done."""
    async with started(node.url, "--rate", "20") as process:
        await read_until(process, " first; ")
        process.send_signal(signal.SIGINT)
        status, lines = await finished(process)
    assert status == 0, lines
    assert re.match(r"\d+ writes in \d+ s: ", lines[-1])


async def test_it_goes_on_when_the_node_was_away(tmp_path: Path) -> None:
    """A node that is killed and started again: a word about it, then people watch on, and nothing is behind."""
    async with NodeProcess(tmp_path / "node") as node, started(node.url, "--rate", "20") as process:
        await read_until(process, " first; ")
        node.kill()
        assert "trying again" in (await read_until(process, "The node is away"))[-1]
        await node.start()
        lines = await read_until(process, " first; ")
        process.send_signal(signal.SIGINT)
        status, rest = await finished(process)
    assert status == 0, rest
    watched = [found for line in [*lines, *rest] if (found := WATCHES.fullmatch(line))]
    assert [found[0] for found in watched if found[1] != found[4]] == []
    assert "calls were made again while the node was away" in rest[-1]


async def test_what_cannot_work_is_one_line(node: NodeProcess, tmp_path: Path) -> None:
    """No node, a wrong token, no token: exit status 1, and a last line that says what to do."""
    nobody = f"http://127.0.0.1:{free_port()}"
    for url, flags, token, words in (
        (nobody, ("--wait", "0.5"), ADMIN_TOKEN, "upnext serve"),
        (node.url, (), "wrong-token-of-the-tests-0123456789", "refuses the administrator's token"),
        (node.url, ("--data", str(tmp_path)), None, "admin.token"),
    ):
        status, lines = await finished(await start(url, "--once", *flags, token=token))
        assert status == 1
        assert lines[-1].startswith("upnext: ")
        assert words in lines[-1]
