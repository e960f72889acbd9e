"""What a listener keeps of those who have called it."""

from __future__ import annotations

from tests.support.listener import public_listener
from tests.support.macs import new_macs
from tests.support.nodes import item


async def test_nobody_who_has_called_is_kept() -> None:
    """What their secret signs with ends with the request, wherever it went, unless it is known by their key."""
    count = new_macs()
    async with public_listener() as listener:
        context, session = await listener.context(), await listener.session()
        path = f"/v1/sessions/upnext/{session}"
        await listener.app.ok("PUT", f"/v1/contexts/upnext/{context}", item("c1"), headers={"Idempotency-Key": "k"})
        body = {"app_id": listener.app.tenant, "context_id": context}
        await listener.platform.ok("PUT", path, body, headers={"Idempotency-Key": "k"})
        await listener.platform.ok("GET", path)
        await listener.platform.ok("PUT", f"{path}/{context}", {"content_id": "c1", "action": "hide"})
        assert (await listener.app.call("PUT", path, body)).status == 403
        assert count() == 0
