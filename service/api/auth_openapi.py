"""The ways in, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence

from service.api.auth_routes import CONFIRM, ENROL, REVOKE, SECOND_FACTOR, TOKENS
from service.api.kinds import Json
from service.api.openapi_examples import USER, content, of_status
from service.api.openapi_paths import OPTIONS_SAY, SCHEMAS, id_schema, path_id
from service.api.people_totp import CODE_PATTERN
from service.http.openapi_schemas import whatever

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
_GIVEN: Json = {
    "access_token": "eyJhY2Nlc3MiOiJhZGEifQ.Zm9ydHktdHdv",
    "refresh_token": "eyJyZWZyZXNoIjoiYWRhIn0.c2V2ZW50ZWVu",
    "token_type": "Bearer",
    "expires_in": 3600,
    "scope": "",
}
_PEOPLE: Json = {"grant_type": "password", "username": "ada@acme.example", "password": "correct horse battery staple"}
_CLIENTS: Json = {
    "grant_type": "client_credentials",
    "client_id": "1f0c3b5a79d2e684",
    "client_secret": "sk_9dK2vQ7mWb4XnT8sYc1RhE6uJp3AzL5f",
}
_AGAIN: Json = {"grant_type": "refresh_token", "refresh_token": _GIVEN["refresh_token"]}
_CODE_GIVEN: Json = {"code": "492039"}
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
        "otp": {**_TEXT, "description": "What the user's device shows now, where they have one."},
        "client_id": _TEXT,
        "client_secret": _SECRET,
        "refresh_token": _SECRET,
        "scope": {**_TEXT, "description": "Words, separated by spaces."},
    },
    "required": ["grant_type"],
    "additionalProperties": _TEXT,
}
_CODE_ASKED: Json = {
    "type": "object",
    "properties": {"code": _CODE},
    "required": ["code"],
    "additionalProperties": _TEXT,
}
_REVOKED: Json = {
    "type": "object",
    "properties": {
        "token": {**_SECRET, "description": "The one token that ends, with a refresh token all of its login."},
        "user": {
            **id_schema(),
            "description": "Without a `token`: whose tokens all end; the caller's where this is left out too.",
        },
    },
    "additionalProperties": _TEXT,
}


def ways_in() -> Json:
    """Return the paths, by template."""
    usual = (400, 401, 413, 429, 500, 503)
    administering = (*usual, 403, 404, 409)
    enrolled = {"type": "object", "properties": {"otpauth": _TEXT}, "required": ["otpauth"]}
    confirmed = {"type": "object", "properties": {"twoFactor": {"type": "boolean"}}, "required": ["twoFactor"]}
    tokens = content({"$ref": f"{SCHEMAS}ResourceTokens"}, tokens=_GIVEN)
    asked = content(_ASKED, password=_PEOPLE, client=_CLIENTS, refresh=_AGAIN)
    code = content(_CODE_ASKED, code=_CODE_GIVEN)
    first = _post(
        "postTokens", "Get tokens", "For a password, a client's secret, or a refresh token.", tokens, asked, usual
    )
    says = "With the token whose scope is `TWO_FACTOR_AUTH`."
    second = _post("postSecondFactor", "Show a code, and get tokens", says, tokens, code, usual)
    enrol = _post(
        "postEnrolment",
        "Make a second factor",
        "By the user, or for one by an administrator. It counts once it is confirmed.",
        content(
            enrolled, once={"otpauth": "otpauth://totp/UpNext:ada%40acme.example?secret=JBSWY3DPEHPK3PXP&issuer=UpNext"}
        ),
        None,
        administering,
    )
    confirm = _post(
        "postConfirmation",
        "Switch the factor on",
        "With what the user's device shows.",
        content(confirmed, on={"twoFactor": True}),
        code,
        administering,
    )
    return {
        TOKENS: _path("Tokens", {**first, "security": []}),
        SECOND_FACTOR: _path("SecondFactor", second),
        REVOKE: _path("Revocation", _revocation(administering)),
        ENROL: _path("Enrolment", enrol),
        CONFIRM: _path("Confirmation", confirm),
    }


def _revocation(errors: Sequence[int]) -> Json:
    """Return the call that needs no credentials where it names a token."""
    says = "A token ends without credentials; all of a user's, with a token of theirs or an administrator's."
    sent = content(_REVOKED, one={"token": _GIVEN["refresh_token"]}, all={"user": USER})
    post = _post("postRevocation", "End one token, or all of a user's", says, None, sent, errors)
    one: Json = {
        "description": "The token is good no more, or never was. Source: RFC 7009, 2.2.",
        "headers": _headers("Paket-Request-Id"),
        "content": {"application/json": content({"type": "object"}, done={})},
    }
    responses = {"200": one, **post["responses"]}
    return {**post, "security": [{"bearer": []}, {}], "responses": responses}


def ways_in_schemas() -> Json:
    """Return the schemas that the paths refer to, by name."""
    return {"ResourceTokens": _TOKENS}


def _path(name: str, post: Json) -> Json:
    is_user_s = name in ("Enrolment", "Confirmation")
    of_path = [path_id(USER)] if is_user_s else []
    options = {
        "operationId": f"optionsOf{name}",
        "summary": "Retrieve the path's methods",
        "description": OPTIONS_SAY,
        "tags": [_TAG],
        "security": [],
        "responses": {"204": {"description": "Success", "headers": _headers("Paket-Request-Id", "Allow")}},
    }
    return {
        "post": {**post, "parameters": of_path},
        "options": {**options, "parameters": [whatever(parameter) for parameter in of_path]},
    }


def _post(
    operation_id: str, summary: str, says: str, answer: Json | None, body: Json | None, errors: Sequence[int]
) -> Json:
    success: Json = {"description": "Success", "headers": _headers("Paket-Request-Id")}
    if answer is not None:
        success["content"] = {"application/json": answer}
    operation: Json = {
        "operationId": operation_id,
        "summary": summary,
        "description": says,
        "tags": [_TAG],
        "security": [{"bearer": []}],
        "responses": {"204" if answer is None else "200": success} | {str(status): _error(status) for status in errors},
    }
    if body is not None:
        kinds = ("application/json", "application/x-www-form-urlencoded")
        is_required = bool(body["schema"].get("required"))
        operation["requestBody"] = {"required": is_required, "content": dict.fromkeys(kinds, body)}
    return operation


def _error(status: int) -> Json:
    more = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    return {
        "description": _STATUSES[status],
        "headers": _headers("Paket-Request-Id", *more),
        "content": {
            "application/json": {"schema": {"$ref": f"{SCHEMAS}ResourceErrors"}, "examples": of_status(status)}
        },
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
