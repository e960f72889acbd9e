"""What schemathesis loads: who calls what, and which of its findings are none, each with the reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.auths import AuthContext
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

from service.api.auth_routes import REVOKE
from service.api.transactions import PATH as TRANSACTIONS
from service.http.openapi_signatures import PARAMETERS
from tests.fuzz.world import VARIABLE, World

WORLD = msgspec.json.decode(Path(os.environ[VARIABLE]).read_bytes(), type=World)

REFUSED_BY_RIGHT = {
    "invalid_position": "A position bears a MAC: none can be made up.",
    "wrong_type": "An integer is written as one; to a JSON schema 2.0 is an integer too.",
    "invalid_moment": "A position bears a MAC, and not all that is written as a time is one.",
    "not_allowed": "Schemathesis also puts into paths what it made up elsewhere, control characters in an id among it.",
    "out_of_range": "A position is at most the duration.",
    "error.malformed.request": "The name of a form's part stands in a header, which has no control characters.",
    "invalid_json": "Strict JSON has no NUL, no lone surrogates and no more than 8 levels.",
    "error.invalid.json": "Likewise.",
    "error.scope": "Which scopes there are depends on who asks.",
    "error.field.required": "What a new object must have, a write to one that is there may leave out.",
    "error.referenced.object.not.found": "What is referred to must be there.",
    "error.id.repeated": "An object is given once in a list.",
    "error.field.repeated": "A company is named once in a user's roles.",
    "error.field.format": "Networks and URLs are more than their patterns say.",
    "error.id.mismatch": "An id in the body must be the one in the path.",
    "error.precondition.with.list": "A version goes with one object, not with a list of one.",
    "error.superuser": "The super user has no object, and so no second factor and no tokens.",
}
"""Codes of refusals of what is valid by its schema, and why no schema can say it."""

SIGNED = "/v1"
SIGNATURES = {f"#/components/parameters/{name}" for name in PARAMETERS}


@schemathesis.auth(cache_by_key=lambda case, _context: credentials(case.operation.path))
class Credentials:
    """Has apps call `/v1/contexts`, platforms `/v1/sessions`, and the super user `/api/v1`."""

    def get(self, case: Case[Any], _context: AuthContext) -> str:
        return credentials(case.operation.path)

    def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
        case.headers["Authorization"] = data


def credentials(path: str) -> str:
    """Return the `Authorization` header of who may call a path."""
    if path.startswith("/v1/sessions"):
        return WORLD.platform
    return WORLD.app if path.startswith("/v1") else WORLD.admin


@schemathesis.hook
def before_load_schema(_context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Leave signatures to one operation: none can be made up, so wherever one is sent, all that is seen is 401."""
    for path, methods in raw_schema["paths"].items():
        for operation in methods.values():
            if path != SIGNED and "parameters" in operation:
                operation["parameters"] = [one for one in operation["parameters"] if one.get("$ref") not in SIGNATURES]


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Keep what is a finding."""
    if isinstance(failure, RejectedPositiveData) and response.status_code == 400:
        # The answer to HEAD does not say what is wrong; the GET of the same path is judged. What each object of a
        # transaction must be is said by the schema of its type, with which the type's own paths are called.
        is_said_elsewhere = case.method == "HEAD" or case.operation.path == TRANSACTIONS
        return not is_said_elsewhere and not codes(response) & REFUSED_BY_RIGHT.keys()
    # OPTIONS says what a path takes, whether there is anything or not.
    if isinstance(failure, UseAfterFree) and case.method == "OPTIONS":
        return False
    # A token that is not good is answered as one that is good no more (RFC 7009, 2.2), whatever is beside it.
    return not (isinstance(failure, AcceptedNegativeData) and case.operation.path == REVOKE)


def codes(response: Response) -> set[str]:
    """Return what an answer says is wrong, in either shape of errors; of faults of fields, what is wrong with each."""
    body: Any = response.json()
    errors = body["errors"] if "errors" in body else [body["error"], *body["error"]["params"]]
    return {error["code"] for error in errors}
