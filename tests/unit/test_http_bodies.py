"""Large bodies: as many at once as there is room for, of all clients and of one."""

from __future__ import annotations

import asyncio

from service.http.bodies import MAX_BULK_BYTES, BodyRoom
from tests.support.listener import Listener, problem, public_listener
from tests.support.nodes import item

ROOM_BODIES = 4
LIMIT_S = 10.0
BULK = {"items": [item(f"c{n}", description="x" * 4_000) for n in range(30)]}


async def begun(listener: Listener, name: str, path: str) -> asyncio.StreamWriter:
    """Begin a large body, and return once it is being read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    headers = {
        "Host": "x",
        "Authorization": listener.callers[name].headers["Authorization"],
        "Content-Type": "application/json",
        "Content-Length": str(MAX_BULK_BYTES),
        "Expect": "100-continue",
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    return writer


async def test_there_is_room_for_so_many_large_bodies() -> None:
    """Half of it is one client's at most; who finds none hears so at once; it comes back, and small ones need none."""
    async with public_listener(body_room=BodyRoom(ROOM_BODIES * MAX_BULK_BYTES)) as listener:
        paths = {name: f"/v1/contexts/upnext/{await listener.context(name)}/items" for name in ("app", "other_app")}
        mine = [await begun(listener, "app", paths["app"]) for _ in range(ROOM_BODIES // 2)]
        assert problem(await listener.app.call("POST", paths["app"], BULK), 503) == "overloaded"
        await listener.callers["other_app"].ok("POST", paths["other_app"], BULK)
        others = [await begun(listener, "other_app", paths["other_app"]) for _ in range(ROOM_BODIES // 2)]
        for name, path in paths.items():
            refused = await listener.callers[name].call("POST", path, BULK)
            assert problem(refused, 503) == "overloaded"
            assert int(refused.headers["Retry-After"]) > 0
            await listener.callers[name].ok("POST", path, {"items": [item("small")]})
            too_large = await listener.callers[name].call("POST", path, data=b"x" * (MAX_BULK_BYTES + 1))
            assert problem(too_large, 413) == "body_too_large"
        for writer in mine + others:
            writer.close()
        async with asyncio.timeout(LIMIT_S):
            while (await listener.app.call("POST", paths["app"], BULK)).status != 200:
                await asyncio.sleep(0.01)
