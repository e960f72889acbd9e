"""`/docs` is a page of the service's own: rendered by what the package ships, with nothing from anywhere else."""

from __future__ import annotations

import gzip
import re
import tomllib
from collections.abc import AsyncIterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.http.docs_page import ASSETS
from service.http.versions.known import VERSIONS
from tests.support.listener import Listener, problem, public_listener

ROOT = Path(__file__).parents[2]
LOADS = {"src", "href", "action", "data", "srcset", "poster"}
"""Attributes by which a page names what is loaded, or sent to."""


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with public_listener() as listener:
        yield listener


class Page(HTMLParser):
    """What a page loads and links to, and whether it has scripts or styles of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in LOADS]
        self.inline += [name for name in named if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.inline.append(tag)


async def test_it_loads_nothing_from_elsewhere(listener: Listener) -> None:
    """All that the page, its style sheet and its own script name is on this host, and there."""
    answer = await listener.nobody.ok("GET", "/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(answer.body.decode())
    assert page.inline == []
    assert all(address == "data:," or re.match(r"/(?!/)", address) for address in page.addresses), page.addresses
    loaded = [address for address in page.addresses if address.startswith("/")]
    assert {"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"} <= set(loaded)
    assert {f"/docs?version={name}" for name in VERSIONS.names} <= set(loaded)
    for address in loaded:
        await listener.nobody.ok("GET", address)
    script = (await listener.nobody.ok("GET", "/docs/start.js")).body.decode()
    assert re.findall(r'"[a-z]*:?//', script) == []
    assert "validatorUrl: null" in script
    plain = {"Accept-Encoding": "identity"}
    style = (await listener.nobody.ok("GET", "/docs/swagger-ui.css", headers=plain)).body.decode()
    assert "@import" not in style
    assert all(url.strip("\"'").startswith("data:") for url in re.findall(r"url\(([^)]{0,8})", style))


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"])
async def test_browsers_are_told_to_load_nothing_else(listener: Listener, path: str) -> None:
    """By a policy that allows this host alone; and what they have they need not load again."""
    answer = await listener.nobody.ok("GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {"'none'", "'self'", "data:"}
    assert [name for name, sources in policy.items() if "data:" in sources] == ["img-src"]
    known = await listener.nobody.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    head = await listener.nobody.ok("HEAD", path)
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(answer.body)))


async def test_it_is_read_only(listener: Listener) -> None:
    """Like the document that it shows; a file that is not there is 404."""
    for method in ("PUT", "POST", "DELETE"):
        assert problem(await listener.nobody.call(method, "/docs"), 405) == "method_not_allowed"
    options = await listener.nobody.call("OPTIONS", "/docs")
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    for name in ("SOURCE", "swagger-ui.css.gz", "..", "x.js"):
        assert problem(await listener.nobody.call("GET", f"/docs/{name}"), 404) == "unknown_path"


async def test_it_is_sent_compressed_to_who_takes_that(listener: Listener) -> None:
    """Each way of sending it has a tag of its own."""
    path = "/docs/swagger-ui-bundle.js"
    small = await listener.nobody.ok("GET", path, headers={"Accept-Encoding": "gzip, br"})
    plain = await listener.nobody.ok("GET", path, headers={"Accept-Encoding": "identity"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert len(small.body) * 3 < len(plain.body)
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert small.headers["Vary"] == "Accept-Encoding"


def test_the_renderer_is_what_was_published() -> None:
    """Its files are those that SOURCE names, by their hashes; its licence is beside them; all of it is packaged."""
    first, *lines = (ASSETS / "SOURCE").read_text().splitlines()
    assert re.match(r"swagger-ui-dist \d+\.\d+\.\d+, ", first)
    written = {name: digest for digest, name in map(str.split, lines)}
    compressed = {path.name.removesuffix(".gz"): path for path in ASSETS.glob("*.gz")}
    assert written == {
        name: sha256(gzip.decompress(path.read_bytes())).hexdigest() for name, path in compressed.items()
    }
    assert "Apache License" in (ASSETS / "LICENSE").read_text()
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["service"]
    assert f"{ASSETS.relative_to(ROOT / 'service')}/*" in packaged
