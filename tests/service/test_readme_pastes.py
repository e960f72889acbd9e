"""The commands that the README shows, pasted into a shell beside a real node."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.support.nodes import ADMIN_TOKEN, NodeProcess

README = Path(__file__).parents[2] / "README.md"


def commands(url: str) -> str:
    """Return all lines of the README that are to be pasted while a node runs, with its URL."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    pasted = [block for block in blocks if "upnext serve" not in block]
    assert len(pasted) == 3
    return "\n".join(pasted).replace("http://127.0.0.1:8080", url)


@pytest.mark.timeout(120)
async def test_what_the_readme_shows_works_as_pasted(shared_node: NodeProcess, tmp_path: Path) -> None:
    """From the administrator's token to a list that has the item which was just written."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "admin.token").write_text(f"{ADMIN_TOKEN}\n", encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-e",
        "-c",
        commands(shared_node.url),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    attached, end = json.JSONDecoder().raw_decode(output.decode())
    page = json.loads(output.decode()[end:])
    assert page["total"] == 1
    assert page["items"][0]["content_id"] == "nosferatu"
    assert page["items"][0]["context_id"] == attached["context_id"]
