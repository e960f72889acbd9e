"""The commands that the README shows, pasted into a shell beside a real node."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.service.conftest import client_of
from tests.support.nodes import ADMIN_TOKEN, Deployment, NodeProcess, item

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def blocks(page: Path, language: str) -> list[str]:
    """Return what a page shows in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(url: str) -> str:
    """Return all lines of the README that are to be pasted while a node runs, with its URL."""
    pasted = [block for block in blocks(README, "sh") if "upnext serve" not in block]
    assert len(pasted) == 3
    return "\n".join(pasted).replace("http://127.0.0.1:8080", url)


async def printed(lines: str, directory: Path) -> str:
    """Run lines in a shell, and return what they print."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", lines, cwd=directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.timeout(120)
async def test_what_the_readme_shows_works_as_pasted(shared_node: NodeProcess, tmp_path: Path) -> None:
    """From the administrator's token to a list that has the item which was just written."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "admin.token").write_text(f"{ADMIN_TOKEN}\n", encoding="ascii")
    output = await printed(commands(shared_node.url), tmp_path)
    attached, end = json.JSONDecoder().raw_decode(output)
    page = json.loads(output[end:])
    assert page["total"] == 1
    assert page["items"][0]["content_id"] == "nosferatu"
    assert page["items"][0]["context_id"] == attached["context_id"]


@pytest.mark.timeout(120)
async def test_what_the_page_on_signatures_shows_works_as_pasted(deployment: Deployment, tmp_path: Path) -> None:
    """In the shell and in Python, for a client that must sign, with its live key and with its test key."""
    page = ROOT / "docs" / "signatures.md"
    company = await deployment.company()
    made = (await deployment.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "Signs"})).json
    live, test = await client_of(
        deployment, made["id"], company, signaturesRequired=True, ipAllowList=["127.0.0.0/8", "2001:db8::/32"]
    )
    elsewhere, _ = await client_of(deployment, made["id"], company, ipAllowList=["192.0.2.0/24"])
    assert (await elsewhere.call("GET", "/v1")).code == "address_not_allowed"
    assert (await live.call("GET", "/v1")).code == "invalid_signature"
    assert [len(blocks(page, language)) for language in ("sh", "python")] == [2, 2]
    shown: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(block, shown)  # noqa: S102 - what our own page shows

    for caller, expected in ((live, ["in-python", "nosferatu"]), (test, None)):
        created = await caller.ok("POST", "/v1/contexts", headers=shown["signature"](caller.secret))
        context = created.json["context_id"]
        where = {"url": caller.url, "client_id": caller.client_id, "secret": caller.secret, "context": context}
        variables = [f"{name}='{value}'" for name, value in where.items()]
        await printed("\n".join([*variables, *blocks(page, "sh")]), tmp_path)
        path, body = f"/v1/contexts/upnext/{context}", orjson.dumps(item("in-python"))
        signed = shown["Request"]("PUT", caller.url + path)
        shown["sign"](signed, caller.client_id, caller.secret, body)
        written = await caller.ok("PUT", path, data=body, headers=signed.headers)
        again = await caller.call("PUT", path, data=body, headers=signed.headers)
        assert again.code == "invalid_signature"
        listed = await caller.ok("GET", path, headers=shown["signature"](caller.secret), after=written.position)
        ids = [entry["content_id"] for entry in listed.json["items"]]
        assert ids == expected or (expected is None and len(ids) == 3)
        assert listed.headers.get("Paket-Response-Type") == (None if expected else "Test")
