"""Configuring with curl, as its users paste it: a token with a form, then lists, objects and files with the token."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from tests.support.blobs import png
from tests.support.nodes import Deployment

COMMANDS = Path(__file__).with_name("data") / "configured"


_JQ = f"""jq() {{ {sys.executable} -c '
import json, sys
value = json.load(sys.stdin)
words = sys.argv[1:]
print(value[words[1][1:]] if words[0] == "-r" else json.dumps(value))
' "$@"; }}
"""
"""As much of jq as the commands use, so that the tests need no jq."""


class Terminal:
    """A shell whose variables stay from one command to the next."""

    def __init__(self, directory: Path, replaced: dict[str, str]) -> None:
        self._directory, self._replaced = directory, replaced
        self._before = _JQ

    async def run(self, name: str, typed: object = None) -> Any:
        """Paste a command, type what it reads, and return the JSON that it prints."""
        line = (COMMANDS / name).read_text()
        for placeholder, value in self._replaced.items():
            line = line.replace(placeholder, value)
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", f"{self._before}{line}",
            cwd=self._directory,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(json.dumps(typed).encode()), 30)
        assert process.returncode == 0, errors.decode()
        if line.startswith("export "):
            self._before += line
        return json.loads(output) if output else None


async def test_the_commands(deployment: Deployment, tmp_path: Path) -> None:
    """Each does what it says, one after another, as they stand but for the host, the ids and the person."""
    company, name = f"c{secrets.token_hex(4)}", f"ann{secrets.token_hex(4)}@example.org"
    app = {"type": "apps", "context": company, "id": "$play", "name": "Play"}
    roles = [{"company": company, "role": "EDITOR"}]
    user = {"type": "users", "username": name, "password": "a-password-of-ann", "roles": roles}
    objects = [user, app, {"type": "companies", "id": company, "name": "Acme"}]
    made = (await deployment.admin.ok("POST", "/api/v1/transactions", objects)).json["results"]
    app_id = made[1]["id"]
    host, theirs = deployment.node.url, {"ann@example.org": name, "company_1": company, ":app_id": app_id}
    (tmp_path / "icon.png").write_bytes(png())
    terminal = Terminal(tmp_path, {"https://api.paket.tv": host, **theirs})

    assert await terminal.run("1_authentication.sh") is None
    listed = await terminal.run("2_list_apps.sh")
    assert (listed["totalCount"], listed["results"][0]["id"]) == (1, app_id)
    body = {"name": "Monthly", "app": {"id": app_id}, "price": "9.90", "currency": "EUR", "period": "MONTH"}
    created = await terminal.run("3_create_a_license.sh", body)
    assert (created["id"], created["price"]) == ("license_1", "9.90")
    updated = await terminal.run("3_create_a_license.sh", {"price": "8.90"})
    assert await terminal.run("4_get_a_license.sh") == updated
    assert (updated["price"], updated["name"]) == ("8.90", "Monthly")
    uploaded = await terminal.run("5_upload_an_asset.sh")
    assert uploaded["media"] == f"/media/{app_id}/icon@1x.png"
