"""Passwords in requests that write users: so many at once, and not as a way to try them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.api.hashing import MAX_PASSWORDS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.people import PASSWORD, log_in, logged_in, make_company, make_user

USERS = "/api/v1/users"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(tmp_path: Path, clock: Clock) -> AsyncIterator[ApiNode]:
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        yield node


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"u{n}", "username": f"u{n}@example.org", "roles": [], **more} for n in range(count)]


async def test_so_many_at_once(node: ApiNode) -> None:
    """A list may be long, the passwords in it are few; what is too much is refused before any is hashed."""
    events = await node.events()
    refused = await node.admin.call("POST", USERS, people(MAX_PASSWORDS + 1, password=PASSWORD))
    (message,) = refused.json["errors"]
    assert (refused.status, message["code"]) == (413, "error.too.many.passwords")
    assert message["params"] == {"most": str(MAX_PASSWORDS)}
    assert await node.events() == events
    await node.admin.ok("POST", USERS, people(200))
    await node.admin.ok("POST", USERS, people(MAX_PASSWORDS, password=PASSWORD))
    assert await node.events() == events + 2
    assert (await log_in(node, "u3")).status == 200


async def test_a_password_cannot_be_tried_by_giving_it_again(node: ApiNode, clock: Clock) -> None:
    """After three that were not the stored one, whoever gives them waits, also where nothing is ever written."""
    await make_user(node, "ann")
    ann = await logged_in(node, "ann")
    stale = {"If-Match": '"999"'}
    for attempt in range(4):
        tried = await ann.call("POST", f"{USERS}/ann", {"password": f"a guess, number {attempt}"}, headers=stale)
        assert tried.status == (429 if attempt == 3 else 412)
    assert int(tried.headers["Retry-After"]) >= 1
    assert tried.json["errors"][0]["code"] == "error.too.many.attempts"
    # Not even the right one is told apart.
    assert (await ann.call("POST", f"{USERS}/ann", {"password": PASSWORD}, headers=stale)).status == 429
    clock.ahead_s += 2
    assert (await ann.call("POST", f"{USERS}/ann", {"password": PASSWORD})).status == 200
    # Nobody is kept from logging in by that.
    assert (await log_in(node, "ann")).status == 200


async def test_those_who_administer_are_not_held_up(node: ApiNode) -> None:
    """Other passwords for many users, and the same one again and again, cost no wait."""
    company = await make_company(node)
    roles = [{"company": company, "role": "VIEWER"}]
    users = people(MAX_PASSWORDS, password=PASSWORD, roles=roles)
    await node.admin.ok("POST", USERS, users)
    for number in range(3):
        changed = [{**user, "password": f"another password {number}"} for user in users]
        await node.admin.ok("POST", USERS, changed)
        events = await node.events()
        await node.admin.ok("POST", USERS, changed)
        assert await node.events() == events
