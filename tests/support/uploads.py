"""Uploads of apps' media as clients send them."""

from __future__ import annotations

from typing import Any

from tests.support.nodes import Answer, Caller

BOUNDARY = "------------------------boundary-of-the-tests"


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return a form of named files."""
    written = b""
    for name, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        written += f"--{BOUNDARY}\r\n{head}".encode() + content + b"\r\n"
    return written + f"--{BOUNDARY}--\r\n".encode()


async def send(caller: Caller, path: str, sent: bytes, **headers: str) -> Answer:
    """Post a form as it is."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return await caller.call("POST", path, data=sent, headers={**kind, **headers})


async def upload(caller: Caller, company: str, app: str, name: str, content: bytes, **more: Any) -> Answer:
    """Upload a file of an app."""
    return await send(caller, f"/api/v1/assets/{app}/{name}?context={company}", form(("asset", content)), **more)
