"""Apps' media on a node as it is run: kept where its settings say, and served after a restart too."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.blobs import png
from tests.support.nodes import Caller, Deployment, NodeProcess
from tests.support.s3 import new_bucket, s3_server
from tests.support.uploads import upload


async def upload_and_restart(node: NodeProcess, http: aiohttp.ClientSession) -> None:
    """Upload a file, restart the node, and read the file without credentials."""
    deployment, content = Deployment(node, http), png()
    company = await deployment.company()
    app = await deployment.tenant("apps", company)
    made = await upload(deployment.admin, company, app.tenant, "icon@1x", content)
    assert made.status == 200, made.body
    assert node.terminate() == 0
    await node.start()
    served = await Caller(http, node.url, {}).call("GET", made.json["media"])
    assert (served.status, served.body) == (200, content)


async def test_in_the_data_directory(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A node that is told nothing keeps the files of apps beside its data."""
    async with NodeProcess(tmp_path / "node") as node:
        await upload_and_restart(node, http)
        assert len(list((tmp_path / "node" / "media").rglob("*.png"))) == 1


async def test_in_a_bucket(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A node that is told of a bucket keeps them there, and nothing of them beside its data."""
    with s3_server(tmp_path) as server:
        bucket = new_bucket(server)
        env = {
            "UPNEXT_MEDIA_S3_BUCKET": bucket.name,
            "UPNEXT_MEDIA_S3_ENDPOINT": server,
            "UPNEXT_MEDIA_S3_ACCESS_KEY": str(bucket.access_key),
            "UPNEXT_MEDIA_S3_SECRET_KEY": str(bucket.secret_key),
        }
        async with NodeProcess(tmp_path / "node", env=env) as node:
            await upload_and_restart(node, http)
        assert not (tmp_path / "node" / "media").exists()


def test_half_a_bucket(tmp_path: Path) -> None:
    """A node that is told how to reach a bucket, but not which, does not start, and says what is missing."""
    node = NodeProcess(tmp_path / "node", "--media-s3-endpoint", "http://127.0.0.1:1")
    assert node.spawn().wait(30) == 1
    assert "media_s3_bucket" in node.tail()
