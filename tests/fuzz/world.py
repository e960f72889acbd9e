"""What schemathesis needs to know of a deployment to get beyond 401 and 404: who may call, and what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson

from tests.support.listener import basic
from tests.support.nodes import ADMIN_TOKEN, Caller, Deployment, item

VARIABLE = "UPNEXT_FUZZ_WORLD"
"""The environment variable that names the file in which `tests.fuzz.hooks` finds its world."""
_CONTEXTS, _SESSIONS, _ITEMS = 3, 3, 3
_HOOKS = Path(__file__).with_name("hooks.py")


class World(msgspec.Struct, kw_only=True):
    """Credentials, as `Authorization` has them, and ids."""

    app: str
    platform: str
    admin: str
    app_id: str
    contexts: list[str]
    sessions: list[str]
    contents: list[str]
    positions: list[str]
    company: str
    """Not that of the app and the platform: whatever becomes of its objects takes nobody's credentials away."""


async def make_world(deployment: Deployment) -> World:
    """Make an app with contexts that have items, and a platform with sessions that some are attached to."""
    company = await deployment.company("Callers")
    app, platform = [await deployment.tenant(kind, company) for kind in ("apps", "platforms")]
    contexts = [await _made(app, "context") for _ in range(_CONTEXTS)]
    sessions = [await _made(platform, "session") for _ in range(_SESSIONS)]
    contents = [f"c{number}" for number in range(_ITEMS)]
    positions = []
    for context in contexts:
        items = [item(content_id) for content_id in contents]
        written = await app.ok("POST", f"/v1/contexts/upnext/{context}/items", {"items": items})
        positions.append(written.position)
        for session in sessions[1:]:
            body = {"app_id": app.tenant, "context_id": context}
            await platform.ok("PUT", f"/v1/sessions/upnext/{session}", body)
    return World(
        app=basic(app.client_id, app.secret),
        platform=basic(platform.client_id, platform.secret),
        admin=f"Bearer {ADMIN_TOKEN}",
        app_id=app.tenant,
        contexts=contexts,
        sessions=sessions,
        contents=contents,
        positions=positions,
        company=await deployment.company("Configured"),
    )


async def _made(caller: Caller, kind: str) -> str:
    return str((await caller.ok("POST", f"/v1/{kind}s")).json[f"{kind}_id"])


def configuration(world: World) -> str:
    """Return schemathesis' own configuration, TOML: where it is to take values from that it could not guess."""
    dictionaries = {
        "contexts": world.contexts,
        "sessions": world.sessions,
        "contents": world.contents,
        "positions": world.positions,
        "apps": [world.app_id],
        "companies": [world.company],
    }
    bound = {
        "path.context_id": ("contexts", 0.8),
        "path.session_id": ("sessions", 0.8),
        "path.content_id": ("contents", 0.5),
        "header.Paket-Position": ("positions", 0.8),
        "body.context_id": ("contexts", 0.8),
        "body.app_id": ("apps", 0.8),
        "query.context": ("companies", 0.9),
    }
    lines = [
        f"hooks = {_toml(str(_HOOKS))}",
        "[dictionaries]",
        *(f"{name} = {{ values = {_toml(values)} }}" for name, values in dictionaries.items()),
        "[parameters]",
        *(
            f"{_toml(name)} = {{ dictionary = {_toml(source)}, probability = {probability} }}"
            for name, (source, probability) in bound.items()
        ),
        # Strict JSON has no NUL and no lone surrogates, which a JSON schema cannot say of what may be anything.
        "[generation]",
        "allow-x00 = false",
        'codec = "utf-8"',
        # A version that is not the object's is 412, whatever else is sent; what is too large is 413.
        "[checks.positive_data_acceptance]",
        'expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 429, 503]',
        "[checks.negative_data_rejection]",
        "expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 429, 503]",
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # What TOML and JSON both have is written in the same way.
    return orjson.dumps(value).decode()
