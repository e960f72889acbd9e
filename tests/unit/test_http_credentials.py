"""What a listener keeps of those who have called it."""

from __future__ import annotations

import gc

from service.macs import Mac
from tests.support.listener import public_listener
from tests.support.nodes import item


async def test_nobody_who_has_called_is_kept() -> None:
    """What their secret signs with ends with the request, wherever it went, unless it is known by their key."""
    async with public_listener() as listener:
        context, session = await listener.context(), await listener.session()
        path = f"/v1/sessions/upnext/{session}"
        await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item("c1"), headers={"Idempotency-Key": "k"})
        body = {"app_id": listener.app.tenant, "context_id": context}
        await listener.platform.ok("PUT", path, body, headers={"Idempotency-Key": "k"})
        await listener.platform.ok("GET", path)
        await listener.platform.ok("PUT", f"{path}/{context}", {"content_id": "c1", "action": "hide"})
        assert (await listener.app.call("PUT", path, body)).status == 403
        gc.collect()
        assert [held for held in gc.get_objects() if isinstance(held, Mac)] == []
