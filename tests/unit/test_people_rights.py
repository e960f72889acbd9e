"""Nobody gets more rights than they have: through users, roles, passwords or keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.api.auth import Caller as AuthCaller
from service.api.auth import Role
from service.api.auth_objects import Guard
from service.api.drafts import Given
from service.api.messages import MessagesError
from service.api.users import USERS
from tests.support.api_listener import ApiNode, Clock, api_node, embedded_log
from tests.support.nodes import Caller
from tests.support.people import PASSWORD, bearer, log_in, logged_in, make_company, make_user


@dataclass
class Setting:
    """Two companies; in the first an admin, a viewer, and somebody who is in both."""

    node: ApiNode
    clock: Clock
    ours: str
    theirs: str
    boss: Caller

    async def key(self, caller: Caller | None = None, **fields: Any) -> Any:
        by = caller or self.boss
        answer = await by.call("POST", f"/api/v1/apikeys?context={self.ours}", fields)
        assert answer.status == 200, answer.body
        return answer.json

    async def status(self, caller: Caller, method: str, path: str, body: Any = None) -> int:
        return (await caller.call(method, path, body)).status


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = Clock()
    async with embedded_log(tmp_path) as log, api_node(log, clock) as node:
        ours, theirs = await make_company(node, "Ours"), await make_company(node, "Theirs")
        await make_user(node, "boss", {ours: "ADMIN"})
        await make_user(node, "ann", {ours: "VIEWER"})
        await make_user(node, "both", {ours: "VIEWER", theirs: "ADMIN"})
        yield Setting(node, clock, ours, theirs, await logged_in(node, "boss"))


def role(company: str, name: str = "VIEWER") -> dict[str, Any]:
    return {"company": {"id": company}, "role": name}


async def test_admins_make_users_of_their_companies(setting: Setting) -> None:
    """An admin makes users who log in with their passwords, and gives roles in the admin's own companies alone."""
    body = {"username": "New@b.example", "password": "twelve chars", "roles": [role(setting.ours, "ADMIN")]}
    made = (await setting.boss.ok("POST", "/api/v1/users", body)).json
    assert "password" not in made
    answer = await setting.node.admin.call("GET", f"/api/v1/users/{made['id']}")
    assert b"argon2" not in answer.body
    fields = {"grant_type": "password", "username": "new@B.example", "password": "twelve chars"}
    stranger = Caller(setting.node.http, setting.node.url, {})
    assert (await stranger.call("POST", "/api/authenticate", fields)).status == 200
    for number, roles in enumerate(
        (
            [role(setting.theirs)],
            [role(setting.ours), role(setting.theirs)],
            [{"company": setting.theirs, "role": "VIEWER"}],
            [],
        )
    ):
        refused = {"username": f"u{number}@b.example", "roles": roles}
        assert await setting.status(setting.boss, "POST", "/api/v1/users", refused) == 403
    short = {"username": "short@b.example", "password": "eleven char", "roles": [role(setting.ours)]}
    assert await setting.status(setting.boss, "POST", "/api/v1/users", short) == 400


async def test_roles_elsewhere_are_not_an_admin_s(setting: Setting) -> None:
    """An admin changes the roles in the own companies, and no others, however they are written."""
    path = "/api/v1/users/both"
    theirs = role(setting.theirs, "ADMIN")
    for roles, status in (
        ([role(setting.ours, "EDITOR"), theirs], 200),
        ([role(setting.ours, "EDITOR"), role(setting.theirs, "VIEWER")], 403),
        ([role(setting.ours, "EDITOR")], 403),
        ([theirs], 200),
        ([], 404),
    ):
        assert await setting.status(setting.boss, "PUT", path, {"roles": roles}) == status
    boss = {"roles": [role(setting.ours, "ADMIN"), role(setting.theirs)]}
    assert await setting.status(setting.boss, "PUT", "/api/v1/users/boss", boss) == 403


async def test_how_somebody_logs_in_elsewhere(setting: Setting) -> None:
    """The password, name and state of who is in other companies too are not one company's admin's to change."""
    path = "/api/v1/users/both"
    for body, status in (
        ({"password": "another password"}, 403),
        ({"username": "mine@b.example"}, 403),
        ({"objectState": "INACTIVE"}, 403),
        ({"name": "Both"}, 200),
        ({"username": "both@example.org"}, 200),
    ):
        assert await setting.status(setting.boss, "POST", path, body) == status
    listed = [{"id": "ann", "name": "Ann"}, {"id": "both", "password": "another password"}]
    assert await setting.status(setting.boss, "POST", "/api/v1/users", listed) == 403
    assert (await log_in(setting.node, "both")).status == 200
    assert await setting.status(setting.boss, "POST", "/api/v1/users/ann", {"password": "another password"}) == 200
    assert (await log_in(setting.node, "ann", "another password")).status == 200


async def test_users_change_their_own_names_and_passwords(setting: Setting) -> None:
    """Whoever is no admin changes the own name and password, and nothing else; a new password ends the tokens."""
    ann = await logged_in(setting.node, "ann")
    for body, status in (
        ({"name": "Ann"}, 200),
        ({"roles": [role(setting.ours, "ADMIN")]}, 403),
        ({"name": "Ann", "objectState": "INACTIVE"}, 403),
        ({"username": "other@b.example"}, 403),
        ({"password": "short"}, 400),
        ({"password": "another password"}, 200),
    ):
        assert await setting.status(ann, "PUT", "/api/v1/users/ann", body) == status, body
    assert await setting.status(ann, "GET", "/api/v1/users/ann") == 401
    assert (await log_in(setting.node, "ann", "another password")).status == 200
    assert await setting.status(setting.boss, "PUT", "/api/v1/users/boss", {"password": PASSWORD}) == 200


async def test_keys(setting: Setting) -> None:
    """A key stands for its user, in its company alone, and is shown once."""
    admin = setting.node.admin
    await admin.ok("PUT", "/api/v1/users/both", {"roles": [role(setting.ours), role(setting.theirs, "ADMIN")]})
    made = (await admin.ok("POST", f"/api/v1/apikeys?context={setting.ours}", {"user": "both"})).json
    caller = bearer(setting.node, made["key"])
    assert await setting.status(caller, "GET", f"/api/v1/apps?context={setting.ours}") == 200
    assert await setting.status(caller, "POST", f"/api/v1/apps?context={setting.ours}", {"name": "A"}) == 403
    assert await setting.status(caller, "GET", f"/api/v1/apps?context={setting.theirs}") == 403
    shown = await admin.ok("GET", f"/api/v1/apikeys/{made['id']}?context={setting.ours}")
    assert made["key"].encode() not in shown.body
    for wrong in (made["key"][:-1], made["key"] + "x", "ak_", "ak_\u00e9"):
        assert await setting.status(bearer(setting.node, wrong), "GET", "/api/v1/companies") == 401


async def test_what_ends_a_key(setting: Setting) -> None:
    """A key ends with its time, and holds while it and its user are ACTIVE."""
    made = await setting.key(user="ann", expires="2999-01-01T00:00:00Z")
    caller = bearer(setting.node, made["key"])
    path = f"/api/v1/apikeys/{made['id']}?context={setting.ours}"
    for target in (path, "/api/v1/users/ann"):
        for state, status in (("INACTIVE", 401), ("HIDDEN", 401), ("ACTIVE", 200)):
            await setting.node.admin.ok("PUT", target, {"objectState": state})
            assert await setting.status(caller, "GET", "/api/v1/companies") == status
    await setting.boss.ok("PUT", path, {"expires": "2020-01-01T00:00:00Z"})
    assert await setting.status(caller, "GET", "/api/v1/companies") == 401
    made = await setting.key(user="ann", expires="2100-01-01T00:00:00Z")
    setting.clock.ahead_s += 100 * 366 * 24 * 3_600
    assert await setting.status(bearer(setting.node, made["key"]), "GET", "/api/v1/companies") == 401


async def test_scopes(setting: Setting) -> None:
    """A key with scopes does what they say and no more; one with words that say nothing here does nothing."""
    app = (await setting.boss.ok("POST", f"/api/v1/apps?context={setting.ours}", {"name": "A"})).json["id"]
    apps, one = f"/api/v1/apps?context={setting.ours}", f"/api/v1/apps/{app}?context={setting.ours}"
    platforms = f"/api/v1/platforms?context={setting.ours}"
    for scopes, reads, writes, elsewhere in (
        ([], 200, 200, 200),
        (["read"], 200, 403, 200),
        (["write"], 200, 200, 200),
        (["apps:read"], 200, 403, 403),
        (["apps:write"], 200, 200, 403),
        (["apps:write", "read"], 200, 200, 200),
        (["platforms:read"], 403, 403, 200),
        (["nonsense"], 403, 403, 403),
    ):
        caller = bearer(setting.node, (await setting.key(scopes=scopes))["key"])
        assert await setting.status(caller, "GET", apps) == reads, scopes
        assert await setting.status(caller, "PUT", one, {}) == writes, scopes
        assert await setting.status(caller, "GET", platforms) == elsewhere, scopes


async def test_a_token_with_a_scope(setting: Setting) -> None:
    """A token that was asked for to read does not write; words that say nothing here limit nothing."""
    path = f"/api/v1/apps?context={setting.ours}"
    for scope, status in (("read", 403), ("ng_api", 200), ("ng_api apps:read", 403), ("", 200)):
        caller = await logged_in(setting.node, "boss", scope=scope)
        assert await setting.status(caller, "POST", path, {"name": "A"}) == status
        assert await setting.status(caller, "GET", path) == 200


async def test_keys_are_no_way_up(setting: Setting) -> None:
    """Nobody makes a key for somebody with more rights, nor with a key of few scopes one of more, or a user."""
    keys = f"/api/v1/apikeys?context={setting.ours}"
    assert await setting.status(setting.boss, "POST", keys, {"user": "ann"}) == 200
    assert await setting.status(setting.boss, "POST", keys, {"user": "both"}) == 403
    assert await setting.status(setting.boss, "POST", keys, {"user": {"id": "both"}}) == 403
    limited = bearer(setting.node, (await setting.key(scopes=["apikeys:write", "users:write"]))["key"])
    assert await setting.status(limited, "POST", keys, {}) == 403
    user = {"username": "new@b.example", "roles": [role(setting.ours, "ADMIN")]}
    assert await setting.status(limited, "POST", "/api/v1/users", user) == 403
    assert await setting.status(limited, "GET", keys) == 200


async def test_keys_are_not_their_users(setting: Setting) -> None:
    """A key changes no password of its user, who is more elsewhere, nor a second factor, and revokes nothing."""
    user = "both"
    for rank in ("VIEWER", "ADMIN"):
        roles = [role(setting.ours, rank), role(setting.theirs, "ADMIN")]
        await setting.node.admin.ok("PUT", f"/api/v1/users/{user}", {"roles": roles})
        made = await setting.key(setting.node.admin, user=user)
        key = bearer(setting.node, made["key"])
        body = {"id": user, "password": "another password"}
        assert await setting.status(key, "PUT", f"/api/v1/users/{user}", {"password": "another password"}) == 403
        assert await setting.status(key, "POST", "/api/v1/users", [body]) == 403
        assert await setting.status(key, "POST", "/api/v1/transactions", [{"type": "users", **body}]) == 403
        for path in (f"/api/v1/users/{user}/twofactor", f"/api/v1/users/{user}/twofactor/confirm"):
            assert await setting.status(key, "POST", path, {"code": "123456"}) == 403
        assert await setting.status(key, "POST", "/api/authenticate/revoke", {}) == 403
    assert (await log_in(setting.node, "both")).status == 200


async def test_last_use(setting: Setting) -> None:
    """The day of a key's last use is written once a day, not with every request."""
    made = await setting.key(user="ann")
    caller = bearer(setting.node, made["key"])
    events = await setting.node.events()
    path = f"/api/v1/apikeys/{made['id']}?context={setting.ours}"
    for day in range(3):
        for _ in range(5):
            assert await setting.status(caller, "GET", "/api/v1/companies") == 200
        assert await setting.node.events() == events + day + 1
        shown = (await setting.node.admin.ok("GET", path)).json
        assert shown["lastUsed"] is not None
        setting.clock.ahead_s += 24 * 3_600
    assert "key" not in shown


async def test_roles_are_judged_with_the_version_that_is_written(setting: Setting) -> None:
    """Where a user gets a role elsewhere between the question and the write, the write is judged again, and refused."""
    state = setting.node.registry.state
    caller = AuthCaller("boss", is_super=False, roles={setting.ours: Role.ADMIN})
    given = Given("ann", {"password": "another password"}, None)
    before = state.find("users", "ann")
    assert before is not None
    expect = Guard(caller, USERS, state).over([given], lambda _: None)
    expect(before)
    roles = [*before.fields["roles"], {"company": setting.theirs, "role": "ADMIN"}]
    after = msgspec.structs.replace(before, fields={**before.fields, "roles": roles})
    with pytest.raises(MessagesError) as refused:
        expect(after)
    assert refused.value.status == 403
