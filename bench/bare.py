"""The bound for HTTP: a bare aiohttp handler on uvloop with the same authentication and body sizes, as a process."""

from __future__ import annotations

import hashlib
import hmac
import sys
from base64 import b64decode

import orjson
import uvloop
from aiohttp import web

CLIENT, SECRET = "00112233445566ff", "sk_" + "a" * 40
_HASH = hashlib.sha256(SECRET.encode()).digest()


def _authenticated(request: web.Request) -> bool:
    pair = b64decode(request.headers["Authorization"][6:]).decode()
    client, _, secret = pair.partition(":")
    return client == CLIENT and hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), _HASH)


def app(page_bytes: int) -> web.Application:
    """Return an app that reads and parses a PUT's body, and answers a GET with *page_bytes* bytes."""
    page = b"x" * page_bytes
    success = b'{"message":"Success"}'

    async def put(request: web.Request) -> web.Response:
        if not _authenticated(request):
            raise web.HTTPUnauthorized
        orjson.loads(await request.read())
        return web.Response(body=success, content_type="application/json")

    async def get(request: web.Request) -> web.Response:
        if not _authenticated(request):
            raise web.HTTPUnauthorized
        return web.Response(body=page, content_type="application/json")

    made = web.Application()
    made.router.add_put("/v1/contexts/upnext/{context_id}", put)
    made.router.add_get("/v1/sessions/upnext/{session_id}", get)
    return made


if __name__ == "__main__":
    uvloop.install()
    web.run_app(app(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
