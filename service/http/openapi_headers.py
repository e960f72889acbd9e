"""The headers of requests and answers, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from service.http.idempotency import HEADER as IDEMPOTENCY_KEY
from service.http.idempotency import MAX_CHARS, REPLAYED
from service.http.openapi_signatures import PARAMETERS as OF_SIGNATURES
from service.http.openapi_versions import OF_ANSWERS as VERSION_OF_ANSWERS
from service.http.positions import MAX_TOKENS
from service.http.test_mode import HEADER as TEST_HEADER
from service.http.test_mode import TEST
from service.http.versions.version import HEADER as VERSION

Json = dict[str, Any]

OF_CALLERS = (VERSION, "RateLimit-Policy", "RateLimit", TEST_HEADER)
"""Of every answer to a client whose credentials are good."""
OF_REQUESTS = ("Paket-Position", VERSION, *OF_SIGNATURES)
"""Of every request."""

REQUEST_ID = "req_0f1e2d3c4b5a6978"
"""As examples have it, and so the others."""
POSITION = "AQIDBAUGBwgJCgsMDQ4PEA"
ETAG = '"5f1c0a7e9b3d"'

_TEXT: Json = {"type": "string"}


def _header(description: str, schema: Json, example: object) -> Json:
    return {"description": description, "schema": schema, "example": example}


HEADERS: Json = {
    "Paket-Request-Id": _header("Names the request in logs.", {**_TEXT, "pattern": "^req_[0-9a-f]{16}$"}, REQUEST_ID),
    "Paket-Position": _header(
        "Where the write went, or what the list had folded. A request that sends it back is not answered from "
        "before it.",
        {**_TEXT, "pattern": "^[A-Za-z0-9_-]+$"},
        POSITION,
    ),
    "ETag": _header("Changes with the page.", {**_TEXT, "pattern": '^"[^"]+"$'}, ETAG),
    "Paket-View": _header(
        "`catching-up`: items of a context attached lately are still on their way. `refused`: a context feeds as "
        "many sessions as it may, and stays empty in this one.",
        {"enum": ["catching-up", "refused"]},
        "catching-up",
    ),
    "Age": _header("Seconds since the list was last known to be fresh; left out while it is.", {"type": "integer"}, 4),
    "Allow": _header("The methods of the path.", _TEXT, "GET, HEAD, OPTIONS"),
    "WWW-Authenticate": _header("The scheme of the credentials.", _TEXT, 'Basic realm="paket", charset="UTF-8"'),
    REPLAYED: _header("There where the request was executed before: this was the answer.", {"const": "true"}, "true"),
    VERSION: VERSION_OF_ANSWERS,
    TEST_HEADER: _header("There where a test key was shown.", {"const": TEST}, TEST),
    "RateLimit-Policy": _header(
        "How often the client may read, or write, in a second: `q` times in `w` seconds, and twice that at once.",
        _TEXT,
        '"reads";q=1000;w=1',
    ),
    "RateLimit": _header(
        "How often the client may still do so now, `r`, and after how many seconds it is `q` again, `t`.",
        _TEXT,
        '"reads";r=999;t=1',
    ),
    "Retry-After": _header("Seconds after which to try again.", {"type": "integer", "minimum": 1}, 1),
}
PARAMETERS: Json = {
    "Paket-Position": {
        "name": "Paket-Position",
        "in": "header",
        "description": f"Positions that the answer must not be from before: one, or up to {MAX_TOKENS}, separated "
        "by commas or in header lines of their own. Lists and session commands wait for them up to 2 s.",
        "schema": {"type": "string"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "ETags of pages that the reader has, or `*`.",
        "schema": {"type": "string"},
    },
    IDEMPOTENCY_KEY: {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "Names the request, so that it can be repeated after whatever happened: it is executed once, "
        "and what it was answered with 2xx is answered again for 72 h. Other requests of the client with the key are "
        "409.",
        "schema": {**_TEXT, "minLength": 1, "maxLength": MAX_CHARS, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    },
    **OF_SIGNATURES,
}
