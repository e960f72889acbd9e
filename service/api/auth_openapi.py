"""The ways in, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence

from service.api.auth_routes import CONFIRM, ENROL, REVOKE, SECOND_FACTOR, TOKENS
from service.api.kinds import Json
from service.api.openapi_paths import SCHEMAS, id_schema
from service.api.people_totp import CODE_PATTERN

_TAG = "Authentication"
_STATUSES = {
    400: "Malformed or invalid",
    401: "No good credentials",
    403: "Not the caller's to do",
    404: "Absent",
    409: "Changed by others",
    413: "Too large",
    429: "Too many attempts failed, or too many requests",
    500: "An error of the service",
    503: "Not available now",
}
_TEXT: Json = {"type": "string"}
_SECRET: Json = {"type": "string", "format": "password"}
_CODE: Json = {"type": "string", "pattern": CODE_PATTERN, "description": "What the user's device shows now."}
_TOKENS: Json = {
    "type": "object",
    "description": "Source: RFC 6749, 5.1.",
    "properties": {
        "access_token": {**_TEXT, "description": "For `Authorization: Bearer`."},
        "refresh_token": {**_TEXT, "description": "Gets new ones; left out where none is given."},
        "token_type": {"enum": ["Bearer"]},
        "expires_in": {"type": "integer", "description": "Seconds for which the access token is good."},
        "scope": {
            **_TEXT,
            "description": "What the token is for. `TWO_FACTOR_AUTH`: for `/api/authenticate/2fa` alone.",
        },
    },
    "required": ["access_token", "token_type", "expires_in", "scope"],
}
_ASKED: Json = {
    "type": "object",
    "description": "What each grant needs: a username and a password; a client's id and secret, here or as Basic; "
    "or a refresh token.",
    "properties": {
        "grant_type": {"enum": ["password", "client_credentials", "refresh_token"]},
        "username": _TEXT,
        "password": _SECRET,
        "otp": _CODE,
        "client_id": _TEXT,
        "client_secret": _SECRET,
        "refresh_token": _SECRET,
        "scope": {**_TEXT, "description": "Words, separated by spaces."},
    },
    "required": ["grant_type"],
}
_CODE_ASKED: Json = {"type": "object", "properties": {"code": _CODE}, "required": ["code"]}
_REVOKED: Json = {
    "type": "object",
    "properties": {
        "token": {**_SECRET, "description": "The one token that ends, with a refresh token all of its login."},
        "user": {
            **id_schema(),
            "description": "Without a `token`: whose tokens all end; the caller's where this is left out too.",
        },
    },
}


def ways_in() -> Json:
    """Return the paths, by template."""
    usual = (400, 401, 413, 429, 500, 503)
    administering = (*usual, 403, 404, 409)
    enrolled = {"type": "object", "properties": {"otpauth": _TEXT}, "required": ["otpauth"]}
    confirmed = {"type": "object", "properties": {"twoFactor": {"type": "boolean"}}, "required": ["twoFactor"]}
    tokens = {"$ref": f"{SCHEMAS}ResourceTokens"}
    second = _post("postSecondFactor", "Show a code, and get tokens", tokens, _CODE_ASKED, usual)
    return {
        TOKENS: _path("Tokens", {**_post("postTokens", "Get tokens", tokens, _ASKED, usual), "security": []}),
        SECOND_FACTOR: _path("SecondFactor", second),
        REVOKE: _path("Revocation", _revocation(administering)),
        ENROL: _path("Enrolment", _post("postEnrolment", "Make a second factor", enrolled, None, administering)),
        CONFIRM: _path(
            "Confirmation",
            _post("postConfirmation", "Switch the factor on", confirmed, _CODE_ASKED, administering),
        ),
    }


def _revocation(errors: Sequence[int]) -> Json:
    """Return the call that needs no credentials where it names a token."""
    post = _post("postRevocation", "End one token, or all of a user's", None, _REVOKED, errors)
    one: Json = {
        "description": "The token is good no more, or never was. Source: RFC 7009, 2.2.",
        "headers": _headers("Paket-Request-Id"),
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    responses = {"200": one, **post["responses"]}
    return {**post, "security": [{"bearer": []}, {}], "responses": responses}


def ways_in_schemas() -> Json:
    """Return the schemas that the paths refer to, by name."""
    return {"ResourceTokens": _TOKENS}


def _path(name: str, post: Json) -> Json:
    is_user_s = name in ("Enrolment", "Confirmation")
    parameters = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": id_schema()}]}
    of_path = parameters if is_user_s else {}
    options = {
        "operationId": f"optionsOf{name}",
        "summary": "Retrieve the path's methods",
        "tags": [_TAG],
        "security": [],
        "responses": {"204": {"description": "Success", "headers": _headers("Paket-Request-Id", "Allow")}},
    }
    return {"post": {**post, **of_path}, "options": {**options, **of_path}}


def _post(operation_id: str, summary: str, answer: Json | None, body: Json | None, errors: Sequence[int]) -> Json:
    success: Json = {"description": "Success", "headers": _headers("Paket-Request-Id")}
    if answer is not None:
        success["content"] = {"application/json": {"schema": answer}}
    operation: Json = {
        "operationId": operation_id,
        "summary": summary,
        "tags": [_TAG],
        "security": [{"bearer": []}],
        "responses": {"204" if answer is None else "200": success} | {str(status): _error(status) for status in errors},
    }
    if body is not None:
        kinds = ("application/json", "application/x-www-form-urlencoded")
        is_required = bool(body.get("required"))
        operation["requestBody"] = {"required": is_required, "content": {kind: {"schema": body} for kind in kinds}}
    return operation


def _error(status: int) -> Json:
    more = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    return {
        "description": _STATUSES[status],
        "headers": _headers("Paket-Request-Id", *more),
        "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}ResourceErrors"}}},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
