"""One session's list, written through the API: what a single page costs, without all that makes a deployment large."""

from __future__ import annotations

import random

from bench.households import Tenants, poll_total
from bench.items import body

ITEMS = 90


async def one_list(made: Tenants) -> str:
    """Fill a context, attach it to a session, and return the path of the session's list once it is whole."""
    source = random.Random(1)
    context = (await made.app.ok("POST", "/v1/contexts")).json["context_id"]
    session = (await made.platform.ok("POST", "/v1/sessions")).json["session_id"]
    path = f"/v1/sessions/upnext/{session}"
    await made.platform.ok("PUT", path, {"app_id": made.app.tenant, "context_id": context})
    for number in range(ITEMS):
        await made.app.ok("PUT", f"/v1/contexts/upnext/{context}", body(source, f"c{number}"))
    await poll_total(made.platform, path, ITEMS)
    return path
