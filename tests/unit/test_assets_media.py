"""`/media`: what is served, to whom, for how long, and that everything else is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.http.media import MAX_AGE_S
from streams.registry import LAG_LIMIT_S
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.blobs import BlobsFake, png
from tests.support.nodes import Answer, Caller
from tests.support.people import make_company
from tests.support.uploads import upload


@dataclass
class Setting:
    """An app with one file, and who reads it without credentials."""

    node: ApiNode
    blobs: BlobsFake
    company: str
    app: str
    content: bytes

    @property
    def nobody(self) -> Caller:
        return Caller(self.node.http, self.node.url, {})

    @property
    def path(self) -> str:
        return f"/media/{self.app}/icon@1x.png"

    async def read(self, path: str = "", method: str = "GET", **headers: str) -> Answer:
        return await self.nobody.call(method, path or self.path, headers=headers)

    async def set(self, path: str, state: str) -> None:
        context = f"?context={self.company}" if "companies" not in path else ""
        await self.node.admin.ok("PUT", f"/api/v1/{path}{context}", {"objectState": state})


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    blobs, content = BlobsFake(), png()
    async with embedded_log(tmp_path) as log, api_node(log, blobs=blobs) as node:
        company = await make_company(node)
        app = (await node.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "A"})).json["id"]
        assert (await upload(node.admin, company, app, "icon@1x", content)).status == 200
        yield Setting(node, blobs, company, app, content)


def guarded(answer: Answer) -> bool:
    names = {name.lower(): value for name, value in answer.headers.items()}
    is_guarded = names["x-content-type-options"] == "nosniff"
    return is_guarded and names["content-security-policy"] == "default-src 'none'"


def absent(answer: Answer) -> bool:
    """Say whether an answer is the one of everything that is not there."""
    is_it = answer.status == 404 and answer.headers["Cache-Control"] == "no-store" and guarded(answer)
    return is_it and (not answer.body or answer.json["error"]["code"] == "unknown_path")


async def test_a_file(setting: Setting) -> None:
    """A file is served as it was uploaded, with all that keeps it what it is, to everyone."""
    answer = await setting.read()
    assert (answer.status, answer.body) == (200, setting.content)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == f"public, max-age={MAX_AGE_S}, must-revalidate"
    assert answer.headers["ETag"].startswith('"')
    assert guarded(answer)
    head = await setting.read(method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(setting.content))
    assert head.headers["ETag"] == answer.headers["ETag"]
    for path in (f"{setting.path}?v=3", setting.path.replace("@", "%40")):
        assert (await setting.read(path)).body == setting.content


async def test_what_a_reader_has(setting: Setting) -> None:
    """A reader who has the file is told so, without it being read; once it is another one, it is sent."""
    tag = (await setting.read()).headers["ETag"]
    reads = setting.blobs.reads
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await setting.read(**{"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
        assert answer.headers["Cache-Control"] == f"public, max-age={MAX_AGE_S}, must-revalidate"
        assert guarded(answer)
    assert setting.blobs.reads == reads
    other = png(colour=(9, 9, 9))
    await upload(setting.node.admin, setting.company, setting.app, "icon@1x", other)
    answer = await setting.read(**{"If-None-Match": tag})
    assert (answer.status, answer.body) == (200, other)
    assert answer.headers["ETag"] != tag


async def test_nothing_else_is_there(setting: Setting) -> None:
    """Other names, apps and methods, and whatever leads out of the folder, are all the same 404."""
    app = setting.app
    paths = [
        "/media", "/media/", f"/media/{app}", f"/media/{app}/", f"/media/{app}/icon@1x", f"/media/{app}/icon@2x.png",
        f"/media/{app}/icon_1x.png", f"/media/{app}/icon@1x.PNG", f"/media/{app}/icon@1x.png/", f"/media/{app}/.png",
        f"/media/{app}/icon@1x.png/events", f"//media/{app}/icon@1x.png", f"/media//{app}/icon@1x.png",
        f"/media/{app}/../{app}/icon@1x.png", f"/media/{app}/%2e%2e/{app}/icon@1x.png", f"/media/{app}%2Ficon@1x.png",
        "/media/../admin.token", "/media/..%2F..%2Fadmin.token", "/media/%2e%2e/%2e%2e/etc/passwd",
        f"/media/{app}/icon@1x.png%00", f"/media/{app}/icon%25401x.png", f"/media/AP{'0' * 41}/icon@1x.png",
        f"/media/{app.lower()}/icon@1x.png",
    ]  # fmt: skip
    digest = next(iter(setting.blobs.kept))
    paths += [f"/media/{digest}.png", f"/media/{digest[:2]}/{digest}.png", "/media/x/x@1x.png", f"/media/{app}/icon@1x"]
    for path in paths:
        answer = await setting.read(path)
        # What does not begin as media is any unknown path.
        is_media = path.startswith("/media")
        assert absent(answer) if is_media else answer.status in (401, 404), (path, answer.status)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert absent(await setting.read(method=method)), method
    assert absent(await setting.read("/media/x", method="HEAD"))
    assert absent(await setting.nobody.call("POST", setting.path, data=b"a" * 100_000))


async def test_states(setting: Setting) -> None:
    """A file that is not ACTIVE is not there; neither are those of an app or a company that is HIDDEN."""
    asset, app, company = f"assets/{setting.app}.icon_1x", f"apps/{setting.app}", f"companies/{setting.company}"
    for path, state, status in (
        (asset, "HIDDEN", 404), (asset, "INACTIVE", 404), (asset, "ACTIVE", 200),
        (app, "INACTIVE", 200), (app, "HIDDEN", 404), (app, "ACTIVE", 200),
        (company, "INACTIVE", 200), (company, "HIDDEN", 404), (company, "ACTIVE", 200),
    ):  # fmt: skip
        await setting.set(path, state)
        answer = await setting.read()
        assert answer.status == status, (path, state)
        assert status == 200 or absent(answer)


async def test_the_store_is_away(setting: Setting) -> None:
    """Without its store a file is 503, unless it was read before; it is never said not to be there."""
    setting.blobs.is_away = True
    answer = await setting.read()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.headers["Cache-Control"] == "no-store"
    assert guarded(answer)
    setting.blobs.is_away = False
    kept = dict(setting.blobs.kept)
    setting.blobs.kept.clear()
    assert (await setting.read()).status == 503
    setting.blobs.kept.update(dict.fromkeys(kept, b"something else"))
    assert (await setting.read()).status == 503
    setting.blobs.kept.update(kept)
    assert (await setting.read()).status == 200
    setting.blobs.is_away = True
    assert (await setting.read()).body == setting.content


async def test_a_registry_that_is_behind(setting: Setting) -> None:
    """A node whose registry lags too far behind serves nothing: a file that was taken down must not live on."""
    registry = setting.node.registry
    registry._ends.append((1 << 40, registry._clock_s() - LAG_LIMIT_S - 1))
    answer = await setting.read()
    assert (answer.status, answer.json["error"]["code"]) == (503, "registry_behind")
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Retry-After"]) >= 1


async def test_every_answer_bears_an_id(setting: Setting) -> None:
    """A request can be told from all others, whatever it asks for."""
    ids = {(await setting.read(path)).headers["Paket-Request-Id"] for path in ("", "/media/x", "/media/y")}
    assert len(ids) == 3
