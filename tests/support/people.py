"""Users in a node's registry, and what they do to log in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pyotp

from service.adapters.passwords import PasswordPool
from streams.domain.registry import Applied
from streams.domain.registry_events import ObjectWrite, Transaction, UniqueValue
from tests.support.api_listener import CHEAP, ApiNode, Clock
from tests.support.nodes import Answer, Caller

PASSWORD = "correct horse battery"


async def put(node: ApiNode, type_name: str, object_id: str, fields: Mapping[str, Any], **more: Any) -> None:
    """Write an object as the node itself would, whatever its type allows."""
    before = node.registry.state.find(type_name, object_id)
    unique = [UniqueValue(name, str(fields[name])) for name in ("username", "hash") if name in fields]
    write = ObjectWrite(
        type=type_name,
        id=object_id,
        version=0 if before is None else before.version,
        fields=dict(fields),
        unique=tuple(unique),
        **more,
    )
    verdict = await node.registry.transact(Transaction(id=secrets.token_hex(16), user="test", objects=(write,)))
    assert isinstance(verdict, Applied), verdict


async def make_user(
    node: ApiNode, name: str, roles: Mapping[str, str] | None = None, password: str = PASSWORD, **more: Any
) -> str:
    """Make the user `<name>@example.org` with *roles* by company, and return the id."""
    pool = PasswordPool(CHEAP)
    try:
        fields = {
            "username": f"{name}@example.org",
            "passwordHash": await pool.hash(password),
            "roles": [{"company": company, "role": role} for company, role in (roles or {}).items()],
        }
    finally:
        pool.close()
    await put(node, "users", name, fields, name=name, partners=tuple(roles or ()), **more)
    return name


async def make_company(node: ApiNode, name: str = "Company") -> str:
    return str((await node.admin.ok("POST", "/api/v1/companies", {"name": name})).json["id"])


async def ask(node: ApiNode, path: str = "", *, authorization: str = "", **fields: str) -> Answer:
    """Ask for a token, with a form."""
    caller = Caller(node.http, node.url, {"Authorization": authorization} if authorization else {})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return await caller.call("POST", f"/api/authenticate{path}", data=urlencode(fields).encode(), headers=form)


async def log_in(node: ApiNode, name: str, password: str = PASSWORD, **more: str) -> Answer:
    return await ask(node, grant_type="password", username=f"{name}@example.org", password=password, **more)


def bearer(node: ApiNode, token: str) -> Caller:
    return Caller(node.http, node.url, {"Authorization": f"Bearer {token}"})


async def logged_in(node: ApiNode, name: str, **more: str) -> Caller:
    answer = await log_in(node, name, **more)
    assert answer.status == 200, answer.body
    return bearer(node, answer.json["access_token"])


def code(otpauth: str, clock: Clock, steps: int = 0) -> str:
    """Return the code that a device shows, so many steps of 30 s from now."""
    return pyotp.parse_uri(otpauth).generate_otp(clock.now_s() // 30 + steps)
