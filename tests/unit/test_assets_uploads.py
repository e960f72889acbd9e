"""Uploads: what is taken, what is refused, and what becomes of it in the registry."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.api.assets import FILES, ICONS, MAX_BYTES
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.api_worlds import etag, refusal
from tests.support.blobs import BlobsFake, noise, png
from tests.support.nodes import ADMIN_TOKEN, Answer
from tests.support.people import logged_in, make_company, make_user
from tests.support.uploads import BOUNDARY, form, send, upload

CLEAR = (10, 20, 30, 0)


@dataclass
class Setting:
    """An app, and where its files are kept."""

    node: ApiNode
    blobs: BlobsFake
    company: str
    app: str

    def path(self, name: str) -> str:
        return f"/api/v1/assets/{self.app}/{name}?context={self.company}"

    async def upload(self, name: str, content: bytes, **more: str) -> Answer:
        return await upload(self.node.admin, self.company, self.app, name, content, **more)

    async def read(self, path: str) -> Any:
        return (await self.node.admin.ok("GET", f"/api/v1/{path}?context={self.company}")).json

    async def refused(self, status: int, code: str, name: str, content: bytes, **more: str) -> Any:
        """Upload, and insist on this refusal and that nothing was kept or written."""
        return await self.refused_form(status, code, name, form(("asset", content)), **more)

    async def refused_form(self, status: int, code: str, name: str, sent: bytes, **more: str) -> Any:
        events, kept = await self.node.events(), len(self.blobs.kept)
        (message,) = refusal(await send(self.node.admin, self.path(name), sent, **more), status)
        assert message["code"] == f"error.{code}", message
        assert (await self.node.events(), len(self.blobs.kept)) == (events, kept)
        return message


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    blobs = BlobsFake()
    async with embedded_log(tmp_path) as log, api_node(log, blobs=blobs) as node:
        company = await make_company(node)
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        yield Setting(node, blobs, company, app)


async def test_every_file(setting: Setting) -> None:
    """Each file of an app is taken in its own size, under both of its names, and the app then links to all of them."""
    for file in FILES:
        content = png(file.width, file.height, CLEAR if file.is_transparent else (1, 2, 3))
        answer = await setting.upload(file.name, content)
        assert answer.status == 200, answer.body
        made, digest = answer.json, sha256(content).hexdigest()
        assert made["id"] == f"{setting.app}.{file.key}"
        assert (made["name"], made["objectState"]) == (file.name, "ACTIVE")
        assert made["app"] == {"id": setting.app, "url": f"/api/v1/apps/{setting.app}"}
        assert made["media"] == f"/media/{setting.app}/{file.name}.png"
        assert (made["width"], made["height"], made["bytes"]) == (file.width, file.height, len(content))
        assert made["sha256"] == digest
        assert setting.blobs.kept[digest] == content
        assert await setting.read(f"assets/{made['id']}") == made
        assert (await setting.upload(file.key, content)).json == made
    app = await setting.read(f"apps/{setting.app}")
    ids = [f"{setting.app}.{file.key}" for file in FILES]
    assert app["assets"] == [{"id": one, "url": f"/api/v1/assets/{one}"} for one in ids]
    assert (await setting.read("assets"))["totalCount"] == len(FILES)
    # What is read may be sent back.
    assert (
        await setting.node.admin.call("PUT", f"/api/v1/apps/{app['id']}?context={setting.company}", app)
    ).json == app


async def test_an_app_without_icons(setting: Setting) -> None:
    """An app says which of its icons are missing or not served, until none is."""

    async def missing() -> str | None:
        app = await setting.read(f"apps/{setting.app}")
        (found,) = app.get("validationWarnings", [None])
        assert found is None or found["code"] == "warning.app.without.icons"
        return None if found is None else str(found["params"]["missing"])

    await setting.upload("tile@1x", png(400, 240))
    assert await missing() == "icon@1x, icon@2x, icon@3x"
    for file in ICONS:
        await setting.upload(file.name, png(file.width, file.height))
    assert await missing() is None
    path = f"/api/v1/assets/{setting.app}.icon_2x?context={setting.company}"
    hidden = await setting.node.admin.ok("PUT", path, {"objectState": "HIDDEN"})
    assert [one["code"] for one in hidden.json["validationWarnings"]] == ["warning.asset.not.served"]
    assert await missing() == "icon@2x"
    assert len((await setting.read(f"apps/{setting.app}"))["assets"]) == 3


async def test_the_same_bytes_again(setting: Setting) -> None:
    """The same file again writes no event, and mends a store that lost it; another one is a new version."""
    first = await setting.upload("icon@1x", png())
    events = await setting.node.events()
    setting.blobs.kept.clear()
    again = await setting.upload("icon@1x", png())
    assert (again.json, etag(again)) == (first.json, '"1"')
    assert len(setting.blobs.kept) == 1
    assert await setting.node.events() == events
    other = await setting.upload("icon@1x", png(colour=(9, 9, 9)))
    assert etag(other) == '"2"'
    assert other.json["sha256"] != first.json["sha256"]
    assert len(setting.blobs.kept) == 2
    history = await setting.read(f"assets/{setting.app}.icon_1x/events")
    assert [event["version"] for event in history["results"]] == [2, 1]
    assert history["results"][0]["changes"]["sha256"] == {"from": first.json["sha256"], "to": other.json["sha256"]}


async def test_if_match(setting: Setting) -> None:
    """An upload over another version than the one that is expected is 412, and nothing is written."""
    await setting.upload("icon@1x", png())
    await setting.upload("icon@1x", png(colour=(9, 9, 9)))
    events = await setting.node.events()
    stale = await setting.upload("icon@1x", png(), **{"If-Match": '"1"'})
    assert refusal(stale, 412)[0]["code"] == "error.precondition.failed"
    assert await setting.node.events() == events
    assert (await setting.upload("icon@1x", png(), **{"If-Match": '"2"'})).status == 200


async def test_names_and_states_are_left_alone(setting: Setting) -> None:
    """An upload changes the file alone: a name that was given and a state stay."""
    await setting.upload("icon@1x", png())
    path = f"/api/v1/assets/{setting.app}.icon_1x?context={setting.company}"
    await setting.node.admin.ok("PUT", path, {"name": "Mine", "objectState": "INACTIVE"})
    again = await setting.upload("icon@1x", png(colour=(9, 9, 9)))
    assert (again.json["name"], again.json["objectState"]) == ("Mine", "INACTIVE")


async def test_only_an_upload_makes_one(setting: Setting) -> None:
    """A write to an asset that is not there is 404, one that names none 400; the service's fields are its own."""
    admin = setting.node.admin
    path = f"/api/v1/assets/{setting.app}.icon_1x?context={setting.company}"
    assert refusal(await admin.call("PUT", path, {"name": "a"}), 404)[0]["code"] == "error.object.not.found"
    every = f"/api/v1/assets?context={setting.company}"
    assert refusal(await admin.call("POST", every, {"name": "a"}), 400)[0]["code"] == "error.field.required"
    await setting.upload("icon@1x", png())
    assert refusal(await admin.call("PUT", path, {"sha256": "0" * 64}), 400)[0]["code"] == "error.field.read.only"


async def test_what_is_no_file_of_an_app(setting: Setting) -> None:
    """A name that no file has is 400 and names those that there are; an app that is not there is 404."""
    for name in ("icon", "icon@4x", "leaderboard", "tile_3x", "icon%401y", "%2e%2e"):
        message = await setting.refused(400, "asset.name", name, png())
        assert "icon@1x" in message["params"]["names"]
    assert (await setting.upload("icon%401x", png())).status == 200
    other = await make_company(setting.node, "Other")
    for company, app in ((setting.company, "AP" + "0" * 41), (other, setting.app), (setting.company, "absent")):
        answer = await upload(setting.node.admin, company, app, "icon@1x", png())
        assert refusal(answer, 404)[0]["params"] == {"type": "App", "id": app}
    for method in ("GET", "PUT", "DELETE"):
        answer = await setting.node.admin.call(method, setting.path("icon@1x"))
        refusal(answer, 405)
        assert answer.headers["Allow"] == "OPTIONS, POST"


async def test_a_hidden_app_gets_no_new_files(setting: Setting) -> None:
    """What refers to an app that is HIDDEN is refused."""
    path = f"/api/v1/apps/{setting.app}?context={setting.company}"
    await setting.node.admin.ok("PUT", path, {"objectState": "HIDDEN"})
    (message,) = refusal(await setting.upload("icon@1x", png()), 400)
    assert message["code"] == "error.referenced.object.not.found"


async def test_sizes(setting: Setting) -> None:
    """A picture of another size is 400, and the message says what it must be."""
    for width, height in ((240, 241), (239, 240), (480, 480), (1, 1)):
        message = await setting.refused(400, "asset.size", "icon@1x", png(width, height))
        assert message["params"] == {"name": "icon@1x", "wanted": "240x240", "found": f"{width}x{height}"}


async def test_transparency(setting: Setting) -> None:
    """A logo must be transparent in parts, in whatever way a PNG can; other files may be."""
    for opaque in (png(400, 240), png(400, 240, (1, 2, 3, 255))):
        for name in ("logo_dark@1x", "logo_light@1x"):
            await setting.refused(400, "asset.opaque", name, opaque)
    written = BytesIO()
    Image.new("P", (400, 240), 0).save(written, "PNG", transparency=0)
    for transparent in (written.getvalue(), png(400, 240, (1, 2, 3, 254)), png(400, 240, CLEAR)):
        assert (await setting.upload("logo_dark@1x", transparent)).status == 200
    assert (await setting.upload("icon@1x", png(colour=CLEAR))).status == 200


async def test_what_is_no_png(setting: Setting) -> None:
    """Other kinds of files are 415 whatever they are called."""
    kinds = [png(kind=kind) for kind in ("JPEG", "GIF", "BMP", "TIFF")]
    for content in (b"", b"\x89PNG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", png()[1:], *kinds):
        await setting.refused(415, "asset.not.png", "icon@1x", content)


async def test_damaged(setting: Setting) -> None:
    """A PNG that is cut off, changed or followed by something is 400."""
    whole = png()
    wrong_checksum = whole[:45] + bytes([whole[45] ^ 1]) + whole[46:]
    chunk = whole.index(b"IDAT") - 4
    without_pixels = whole[:chunk] + whole[-12:]
    cut_pixels = whole[:chunk] + _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + whole[-12:]
    texts = whole[:33] + _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * (80 << 20), 9)) + whole[33:]
    damaged = (whole[:8], whole[:20], whole[:-1], whole[:100] + whole[-12:], whole + b"\0", whole + b"<script>")
    end = whole[-12:]
    ended_twice = (whole + b"<script>" + end, whole + end, whole + _chunk(b"tEXt", b"a\0b") + end)
    unread = [whole[:33] + _chunk(kind, b"a\0b")[:-4] + bytes(4) + whole[33:] for kind in (b"tEXt", b"prIv")]
    content_in_end = whole[:-12] + _chunk(b"IEND", b"a" * 8) + end
    more = (*ended_twice, *unread, content_in_end)
    for content in (*damaged, wrong_checksum, without_pixels, cut_pixels, texts, *more):
        await setting.refused(400, "asset.broken", "icon@1x", content)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


async def test_bombs(setting: Setting) -> None:
    """A picture that would fill the memory is refused by the size that it says, before anything is decoded."""
    head = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 6, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(b"\0" * (20 << 20), 9))
    bomb = png()[:8] + _chunk(b"IHDR", head) + pixels + png()[-12:]
    await setting.refused(400, "asset.size", "icon@1x", bomb)
    written = BytesIO()
    frames = [Image.new("RGB", (240, 240), (number, 0, 0)) for number in range(3)]
    frames[0].save(written, "PNG", save_all=True, append_images=frames[1:])
    await setting.refused(400, "asset.animated", "icon@1x", written.getvalue())


async def test_too_large(setting: Setting) -> None:
    """A file of 2 MiB is the largest; a larger one is 413, and is not read to its end."""
    large = noise(960, 960, seed=1)
    assert len(large) > MAX_BYTES
    await setting.refused(413, "body.too.large", "icon@3x", large)
    fits = png(960, 960)
    padded = fits[:33] + _chunk(b"prIv", bytes(MAX_BYTES - len(fits) - 12)) + fits[33:]
    assert len(padded) == MAX_BYTES
    assert (await setting.upload("icon@3x", padded)).status == 200
    await setting.refused(413, "body.too.large", "icon@3x", padded[:40] + b"\0" + padded[40:])
    # The head alone is enough; and so is as much of a body without a length as is too much.
    port = int(setting.node.url.rpartition(":")[2])
    note, before = _chunked(form(("note", large))), _chunked(b"a line\r\n" * 400_000)
    chunked = [(b"Transfer-Encoding: chunked", sent) for sent in (_chunked(form(("asset", large))), note, before)]
    for framing, sent in ((b"Content-Length: 900000000", b""), *chunked):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"POST {setting.path('icon@3x')} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
            kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            writer.write((head + kind).encode() + framing + b"\r\n\r\n" + sent)
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        finally:
            writer.close()


def _chunked(sent: bytes) -> bytes:
    """Return the beginning of a form that never ends."""
    begun = sent[: MAX_BYTES + 100_000]
    return f"{len(begun):x}\r\n".encode() + begun + b"\r\n"


async def test_forms(setting: Setting) -> None:
    """The file is a field of the form, `asset` or `file`, whatever is beside it; other bodies are refused."""
    for parts in ((("file", png()),), (("note", b"\r\n--x"), ("asset", png()), ("more", b"a" * 1000))):
        assert (await send(setting.node.admin, setting.path("icon@1x"), form(*parts))).status == 200
    message = await setting.refused_form(400, "field.required", "icon@1x", form(("image", png())))
    assert message["params"] == {"field": "asset or file"}
    await setting.refused_form(415, "media.type", "icon@1x", png(), **{"Content-Type": "image/png"})
    await setting.refused_form(415, "media.type", "icon@1x", b"{}", **{"Content-Type": "application/json"})
    whole = form(("asset", png()))
    # What a form without its end holds of a file is judged as the file.
    await setting.refused_form(400, "asset.broken", "icon@1x", whole[:300])
    await setting.refused_form(400, "field.required", "icon@1x", b"--" + whole)
    for sent in (b"", b"x", whole[:20]):
        await setting.refused_form(400, "malformed.request", "icon@1x", sent)
    nested = whole.replace(b"Content-Type: image/png", b"Content-Type: multipart/mixed; boundary=b")
    many = whole.replace(b"Content-Type", b"X-A: a\r\n" * 1000 + b"Content-Type")
    long = whole.replace(b"Content-Type", b"X-A: " + b"a" * 100_000 + b"\r\nContent-Type")
    for sent in (nested, many, long):
        await setting.refused_form(400, "malformed.request", "icon@1x", sent)
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 71}"):
        await setting.refused_form(400, "malformed.request", "icon@1x", whole, **{"Content-Type": kind})


async def test_many_uploads_at_once(setting: Setting) -> None:
    """As many files are received at a time as memory is meant for; who comes then is told to try again."""
    port = int(setting.node.url.rpartition(":")[2])
    head = f"POST {setting.path('icon@1x')} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    head += f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: 10000\r\n"
    begun = []
    try:
        for _ in range(32):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begun.append(writer)
            # The interim answer says that the body is being received.
            writer.write((head + "Expect: 100-continue\r\n\r\n").encode())
            assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 100 ")
        answer = await setting.upload("icon@1x", png())
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    finally:
        for writer in begun:
            writer.close()
    async with asyncio.timeout(20):
        while (await setting.upload("icon@1x", png())).status != 200:
            await asyncio.sleep(0.02)


async def test_many_uploads_that_are_being_kept(setting: Setting) -> None:
    """A file counts until it is kept: where the store is slow, memory is not filled with what waits for it."""
    setting.blobs.takes.clear()
    begun = [asyncio.create_task(setting.upload("icon@1x", png())) for _ in range(32)]
    async with asyncio.timeout(20):
        while setting.blobs.writes < 32:
            await asyncio.sleep(0.01)
        assert (await setting.upload("icon@1x", png())).status == 503
        setting.blobs.takes.set()
        assert {answer.status for answer in await asyncio.gather(*begun)} == {200}
        assert (await setting.upload("icon@1x", png())).status == 200


async def test_roles(setting: Setting) -> None:
    """Editors of the app's company upload; viewers, others and those without a token do not."""
    other = await make_company(setting.node, "Other")
    roles = {"viewer": (setting.company, "VIEWER"), "editor": (setting.company, "EDITOR"), "other": (other, "ADMIN")}
    for name, (company, role) in roles.items():
        await make_user(setting.node, name, {company: role})
    wanted = {"viewer": 403, "editor": 200, "other": 403}
    for name, status in wanted.items():
        caller = await logged_in(setting.node, name)
        answer = await upload(caller, setting.company, setting.app, "icon@1x", png())
        assert answer.status == status, name
    nobody = await setting.upload("icon@1x", png(), Authorization="")
    assert nobody.status == 401
    no_context = await send(setting.node.admin, f"/api/v1/assets/{setting.app}/icon@1x", form(("asset", png())))
    assert no_context.status == 400
    made = await setting.read(f"assets/{setting.app}.icon_1x")
    assert made["createUser"]["id"] == "editor"


async def test_bytes_before_names(setting: Setting) -> None:
    """Where the store is away nothing is written: the registry never names what is not there."""
    setting.blobs.is_away = True
    answer = await setting.upload("icon@1x", png())
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert (await setting.read("assets"))["totalCount"] == 0
    setting.blobs.is_away = False
    assert (await setting.upload("icon@1x", png())).status == 200


async def test_an_app_that_another_node_made(setting: Setting) -> None:
    """A node that does not know the app yet asks the log before it says so."""
    async with api_node(setting.node.log, blobs=setting.blobs) as other:
        made = await setting.node.admin.ok("POST", f"/api/v1/apps?context={setting.company}", {"name": "B"})
        answer = await upload(other.admin, setting.company, made.json["id"], "icon@1x", png())
        assert answer.status == 200


async def test_two_at_once(setting: Setting) -> None:
    """Of files that are uploaded at the same time, on two nodes, one is the last, and every one a version."""
    async with api_node(setting.node.log, blobs=setting.blobs) as other:
        nodes = (setting.node, other)
        calls = [
            upload(nodes[number % 2].admin, setting.company, setting.app, "icon@1x", png(colour=(number, 0, 0)))
            for number in range(6)
        ]
        answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} == {200}
    assert sorted(etag(answer) or "" for answer in answers) == [f'"{number}"' for number in range(1, 7)]


async def test_curl(setting: Setting, tmp_path: Path) -> None:
    """The command of the documentation works as it stands, also where curl asks before it sends the file."""
    fits = png(960, 960)
    large = fits[:33] + _chunk(b"prIv", bytes(MAX_BYTES - len(fits) - 12)) + fits[33:]
    for name, content in (("icon@1x", png()), ("icon@3x", large)):
        file = tmp_path / "leaderboard.png"
        file.write_bytes(content)
        command = ["curl", "-s", "-H", f"Authorization: Bearer {ADMIN_TOKEN}", "-F", f"asset=@{file}"]
        asks = ["-H", "Expect: 100-continue"] if name == "icon@3x" else []
        process = await asyncio.create_subprocess_exec(
            *command, *asks, setting.node.url + setting.path(name), stdout=asyncio.subprocess.PIPE
        )
        answered, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert f'"media":"/media/{setting.app}/{name}.png"'.encode() in answered
