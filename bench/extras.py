"""GET of a page that bears media and platform data, beside a page of the same items with nothing configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cores import elsewhere, on_one_core
from bench.figures import Figure
from bench.households import Tenants, tenants
from bench.load import request
from bench.nodes import Node
from bench.one_list import one_list
from bench.pairs import Target, paired
from bench.sizes import Sizes
from service.api.assets import FILES
from tests.support.blobs import png
from tests.support.nodes import Caller, Deployment
from tests.support.uploads import upload

_REQUESTED = (
    {"name": "custom_app_id", "kind": "REQUESTED"},
    {"name": "kids", "kind": "REQUESTED", "valueType": "BOOLEAN"},
)
_LINK = {"name": "link", "kind": "COMPUTED", "template": "app://{{custom_app_id}}/{{content_id}}", "escape": "URL"}


async def extras(directory: Path, sizes: Sizes) -> list[Figure]:
    """GET pages of 50: with all media and two values of the app, then with a link made of each item too; embedded."""
    figures = []
    with elsewhere():
        async with Node(directory / "node", how=on_one_core) as node, tenants(node) as made, tenants(node) as others:
            admin = Deployment(node, made.app.http).admin
            ours, theirs = [await _target(node, each) for each in (made, others)]
            await _tell(admin, made)
            for what, asked, at_least in (
                ("media and two values", [], 0.7),
                ("media, two values and a link to each item", [_LINK], 0.45),
            ):
                await _ask(admin, made, asked)
                pair = await paired(ours, theirs, sizes)
                shown = f"GET page of 50, warm, one list, with {what} of its app"
                beside = f"without, {pair.theirs}; {pair.by_cpu}"
                figures.append(Figure(shown, str(pair.ours), beside, pair.ratio, at_least=at_least))
    return figures


async def _target(node: Node, made: Tenants) -> Target:
    """Return GETs of one list."""
    path = await one_list(made)
    get = request("GET", path, made.platform.headers["Authorization"])
    return Target(node.port, node.pid, lambda _: get)


async def _ask(admin: Caller, made: Tenants, attributes: Sequence[Mapping[str, str]]) -> None:
    asked = [{**attribute, "platform": made.platform.tenant} for attribute in attributes]
    await admin.ok("POST", f"/api/v1/platformattributes?context={made.company}", asked)


async def _tell(admin: Caller, made: Tenants) -> None:
    """Upload every file of the app, and tell the platform what it asks for."""
    for file in FILES:
        content = png(file.width, file.height, (10, 20, 30, 0) if file.is_transparent else (10, 20, 30))
        assert (await upload(admin, made.company, made.app.tenant, file.name, content)).status == 200
    await _ask(admin, made, _REQUESTED)
    values = {"custom_app_id": "com.example.play", "kids": False}
    body = {"app": made.app.tenant, "platform": made.platform.tenant, "values": values}
    await admin.ok("POST", f"/api/v1/platformvalues?context={made.company}", body)
