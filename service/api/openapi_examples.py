"""What the OpenAPI document shows of objects, bodies and errors of the resource API: one company, told throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.api.kinds import API, Json, Link, Many, link
from service.api.messages import ErrorsOut, error, invalid, not_found
from service.api.resource import Field, ResourceType
from service.http.openapi_examples import APP, PLATFORM, TIME
from service.http.openapi_headers import REQUEST_ID

COMPANY = "acme"
USER = "ada"
_CLIENT = "acme-play-writer"
_ASSET = f"{APP}.icon_1x"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PREFIX = "sk_9dK2"

_OBJECTS: Mapping[str, Json] = {
    "companies": {"id": COMPANY, "name": "Acme", "country": "NO", "contactEmail": "tv@acme.example"},
    "users": {
        "id": USER,
        "name": "Ada",
        "username": "ada@acme.example",
        "password": "correct horse battery staple",
        "roles": [{"company": link("companies", COMPANY), "role": "ADMIN"}],
        "twoFactor": False,
    },
    "apps": {
        "id": APP,
        "name": "Acme Play",
        "description": "Films and series.",
        "category": "Video on demand",
        "homepage": "https://play.acme.example",
        "assets": [_ASSET],
    },
    "licenses": {
        "id": "acme-play-monthly",
        "name": "Monthly",
        "app": APP,
        "price": "9.90",
        "currency": "EUR",
        "period": "MONTH",
        "adSupported": False,
    },
    "platforms": {
        "id": PLATFORM,
        "name": "Acme TV",
        "description": "Televisions.",
        "regions": ["NO", "SE"],
        "requiresApproval": True,
    },
    "clients": {
        "id": _CLIENT,
        "name": "writer",
        "tenant": APP,
        "clientId": "1f0c3b5a79d2e684",
        "keys": [{"prefix": _PREFIX, "kind": "LIVE", "created": TIME, "expires": None, "lastUsed": None}],
        "redirectUris": ["https://play.acme.example/back"],
        "grantTypes": ["client_credentials"],
        "scopes": [],
        "ipAllowList": ["203.0.113.0/24"],
        "signaturesRequired": False,
        "defaultVersion": "2026-11-01",
        "rateLimit": {"read": 2_000, "write": 500},
    },
    "apikeys": {
        "id": "nightly",
        "name": "Nightly import",
        "user": USER,
        "scopes": [],
        "expires": "2027-11-02T00:00:00.000Z",
        "prefix": "ak_3Qp1",
        "lastUsed": None,
    },
    "webhookendpoints": {
        "id": "play-hooks",
        "name": "Hooks",
        "client": _CLIENT,
        "endpointUrl": "https://hooks.acme.com/upnext",
        "eventTypes": ["context.list.item_hidden"],
        "ordered": True,
    },
    "webhookdeliveries": {
        "id": "3-0f1e2d3c4b5a69788796a5b4c3d2e1f0-5f2b9c0d1e8a7463",
        "name": "",
        "endpoint": "play-hooks",
        "eventId": "evt_0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "eventType": "context.list.item_hidden",
        "status": "PENDING",
        "attempts": [{"time": TIME, "status": 503, "error": None, "durationMs": 212}],
        "nextAttempt": "2026-11-02T19:30:08.000Z",
    },
    "platformattributes": {
        "id": "acme-tv-app-id",
        "name": "custom_app_id",
        "platform": PLATFORM,
        "kind": "REQUESTED",
        "valueType": "STRING",
        "required": True,
        "template": None,
        "escape": "URL",
    },
    "platformvalues": {
        "id": "play-on-tv",
        "name": "Acme Play on Acme TV",
        "app": APP,
        "platform": PLATFORM,
        "values": {"custom_app_id": "com.acme.play"},
    },
    "availabilities": {
        "id": "play-on-tv",
        "name": "Acme Play on Acme TV",
        "app": APP,
        "platform": PLATFORM,
        "regions": ["NO"],
        "approved": True,
    },
    "assets": {
        "id": _ASSET,
        "name": "icon@1x",
        "app": APP,
        "media": f"/media/{APP}/icon@1x.png",
        "width": 240,
        "height": 240,
        "bytes": 5_213,
        "sha256": _HASH,
    },
}
"""By type, with every field; links by id."""
_SHOWN_ONCE = {
    "secretKey": "sk_9dK2vQ7mWb4XnT8sYc1RhE6uJp3AzL5f",
    "testSecretKey": "test_sk_Z7cN4wLx9QbT2mVr8KdH1sPy6FgJ3uEa",
    "key": "ak_3Qp1TzWv8Lx5Nc2Rb7Md9Ks4Hy6Jf0Ge",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
_ACTIONS: Mapping[str, Json] = {"clientsroll": {"key": "LIVE", "overlapHours": 24}}
"""By type and action: what is sent. Others take nothing."""

_MESSAGES = {
    400: invalid("field.required", "{{field}} is required", field="name"),
    401: error("unauthorized", "A valid token is required: Authorization: Bearer <token>"),
    403: error("context.forbidden", "The company {{id}} is not one that you may use", id=COMPANY),
    404: not_found("App", APP),
    409: invalid("duplicate", "Another {{type}} has this {{field}}", type="User", field="username", id=USER),
    412: error("precondition.failed", "The object is not in the version of If-Match"),
    413: error("body.too.large", "The body is larger than it may be."),
    415: error("asset.not.png", "The file is not a PNG"),
    429: error("too.many.requests", "Too many requests with this token: wait {{seconds}} seconds", seconds="1"),
    500: error("internal.error", "Something went wrong on our side."),
    503: error("registry.behind", "Credentials cannot be checked right now."),
}


def api_examples() -> Json:
    """Return the errors by the names that they have among the components."""
    bodies = {_of_status(status): msgspec.to_builtins(ErrorsOut([message])) for status, message in _MESSAGES.items()}
    return {name: {"value": body} for name, body in bodies.items()}


def of_status(status: int) -> Json:
    """Return the `examples` of the errors with a status."""
    return {"error": {"$ref": f"#/components/examples/{_of_status(status)}"}}


def _of_status(status: int) -> str:
    return f"Resource{status}"


def content(schema: Json, **shown: object) -> Json:
    """Return what a body is, with examples by what each is an example of."""
    return {"schema": schema, "examples": {name: {"value": value} for name, value in shown.items()}}


def shown(resource: ResourceType, *, once: bool = False) -> Json:
    """Return an object as readers see it, with *once* as who has made it does."""
    values = _OBJECTS[resource.name]
    object_id = values["id"]
    user = link("users", USER)
    return {
        "id": object_id,
        "url": f"{API}/{resource.name}/{object_id}",
        "name": values["name"],
        **({"company": link("companies", COMPANY)} if resource.in_company else {}),
        "objectState": "ACTIVE",
        "createTime": TIME,
        "createUser": user,
        "updateTime": TIME,
        "updateUser": user,
        **{field.name: _linked(field, values[field.name]) for field in resource.fields if not field.write_only},
        **({name: _SHOWN_ONCE[name] for name in resource.shown_once} if once else {}),
    }


def written(resource: ResourceType, *, with_id: bool) -> Json:
    """Return an object as it is sent, with its id where the caller chooses one."""
    values = _OBJECTS[resource.name]
    names = [field.name for field in resource.fields if not field.read_only and values[field.name] is not None]
    if resource.minted is None and with_id:
        names.insert(0, "id")
    return {name: values[name] for name in ("name", *names)}


def page(*results: object) -> Json:
    """Return a page that holds all that there is."""
    return {"page": 0, "pageSize": 100, "totalCount": len(results), "results": list(results)}


def event(resource: ResourceType) -> Json:
    """Return what became of an object: its making."""
    changes = {"name": {"from": None, "to": _OBJECTS[resource.name]["name"]}}
    user = link("users", USER)
    return {"time": TIME, "user": user, "requestId": REQUEST_ID, "version": 1, "changes": changes}


def id_of(resource: ResourceType) -> str:
    """Return the id of the type's example."""
    return str(_OBJECTS[resource.name]["id"])


def asked(resource: ResourceType, action: str) -> Json:
    """Return what is sent to an action."""
    return _ACTIONS.get(resource.name + action, {})


def _linked(field: Field, value: Any) -> object:
    match field.kind:
        case Link(types=(first, *_)):
            return link(first, value)
        case Many(element=Link(types=(first, *_))):
            return [link(first, one) for one in value]
        case _:
            return value
