"""What is configured between apps and platforms, on a node as it is run."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from tests.service.conftest import Pair, make_pair
from tests.support.blobs import png
from tests.support.nodes import Caller, Deployment, item
from tests.support.uploads import upload

PAGE = Path(__file__).parents[2] / "docs" / "resources.md"


async def test_what_is_configured_is_in_the_next_read(deployment: Deployment, pair: Pair) -> None:
    """Media and data of an app come with its items from the next read on, and where they were read, they are news."""
    attached = await pair.attach()
    await pair.app.ok("PUT", pair.context_path, item("a b"))
    written = await pair.app.ok("PUT", pair.context_path, item("c"))
    before = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
    values = await pair.tell(custom_app_id="ø")
    content = png()
    made = await upload(deployment.admin, pair.company, pair.app.tenant, "icon@1x", content)
    assert made.status == 200, made.body
    known = {"If-None-Match": before.headers["ETag"]}
    after = await pair.platform.ok("GET", pair.session_path, headers=known)
    assert [entry["platform_data"] for entry in after.json["items"]] == [
        {"custom_app_id": "ø", "link": f"app://%C3%B8/{content_id}"} for content_id in ("c", "a%20b")
    ]
    icon = after.json["items"][0]["app_media"]["icon_1x"]
    assert icon == f"{deployment.node.url}/media/{pair.app.tenant}/icon@1x.png"
    served = await Caller(deployment.http, "", {}).ok("GET", icon)
    assert served.body == content
    # Nothing was written anew: what the publisher reads is as it was, and so is how far the list has read its log.
    assert after.position == before.position
    plain = [{**entry, "platform_data": {}, "app_media": {}} for entry in after.json["items"]]
    assert plain == before.json["items"]
    await pair.configure(f"platformvalues/{values}", {"values": {"custom_app_id": "x"}})
    news = await pair.platform.ok("GET", pair.session_path, headers={"If-None-Match": after.headers["ETag"]})
    assert news.json["items"][0]["platform_data"] == {"custom_app_id": "x", "link": "app://x/c"}
    # Another platform has asked for nothing.
    other = await make_pair(deployment)
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    attached = (await other.platform.ok("PUT", other.session_path, body)).position
    theirs = (await other.platform.ok("GET", other.session_path, after=attached)).json["items"]
    assert [(entry["platform_data"], entry["app_media"]) for entry in theirs] == [({}, {"icon_1x": icon})] * 2


async def test_only_apps_that_a_platform_has_approved(pair: Pair) -> None:
    """Where a platform requires it, an app's contexts are attached once it has approved the app, and then stay."""
    await pair.configure(f"platforms/{pair.platform.tenant}", {"requiresApproval": True})
    body = {"app_id": pair.app.tenant, "context_id": pair.context}
    refused = await pair.platform.call("PUT", pair.session_path, body)
    assert (refused.status, refused.code) == (403, "app_not_available")
    assert "Paket-Position" not in refused.headers
    pair_of_both = {"app": pair.app.tenant, "platform": pair.platform.tenant}
    made = await pair.configure("availabilities", pair_of_both)
    assert (await pair.platform.call("PUT", pair.session_path, body)).code == "app_not_available"
    await pair.configure(f"availabilities/{made['id']}", {"approved": True})
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("a"))
    after = f"{attached},{written.position}"
    assert (await pair.platform.ok("GET", pair.session_path, after=after)).json["total"] == 1
    await pair.configure(f"availabilities/{made['id']}", {"approved": False})
    assert (await pair.platform.call("PUT", pair.session_path, body)).code == "app_not_available"
    assert (await pair.platform.ok("GET", pair.session_path)).json["total"] == 1


async def test_what_the_page_says(pair: Pair) -> None:
    """The two calls of the page work as they stand, but for the companies, and make of an item what the page shows."""
    attached = await pair.attach()
    written = await pair.app.ok("PUT", pair.context_path, item("nosferatu"))
    section = PAGE.read_text().partition("## What platforms are shown of apps")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    admin = pair.deployment.admin
    given = {"url": admin.url, "admin": f"Authorization: {admin.headers['Authorization']}"}
    given |= {"app": pair.app.tenant, "platform": pair.platform.tenant}
    for block in blocks:
        line = re.sub(r"context=acme(-tv)?", f"context={pair.company}", block)
        process = await asyncio.create_subprocess_exec("bash", "-c", line, env=given, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert b"errors" not in output, output
    after = f"{attached},{written.position}"
    shown = (await pair.platform.ok("GET", pair.session_path, after=after)).json["items"][0]["platform_data"]
    said = re.search(r'`"platform_data": (\{.*?\})`', section, re.DOTALL)
    assert said is not None
    assert shown == json.loads(said[1])
