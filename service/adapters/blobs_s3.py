"""Blobs in a bucket of Amazon S3, or of whatever speaks its protocol."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from service.ports import MediaUnavailableError

if TYPE_CHECKING:
    from obstore.store import S3Config  # there for type checkers alone

_CONNECT_LIMIT = timedelta(seconds=2)
_REQUEST_LIMIT = timedelta(seconds=5)
_RETRIES = 2
_RETRY_LIMIT = timedelta(seconds=8)
_FAILURES = (BaseError, OSError)
"""What the client raises: errors of its own, and Python's where there is one for the same."""
_MAX_REASON_CHARS = 500
"""Of what a server answers, as many characters are logged."""


class Bucket(NamedTuple):
    """A bucket, and how it is reached."""

    name: str
    region: str
    endpoint: str | None = None
    """The server's URL; None: Amazon's."""
    access_key: str | None = None
    """None: what the environment has, `AWS_…` variables or the machine's role."""
    secret_key: str | None = None


class S3Blobs:
    """`service.ports.BlobStore` in a bucket: `media/<64 digits>.png`."""

    def __init__(self, bucket: Bucket) -> None:
        """Take the bucket, which must be there."""
        self._bucket = bucket
        self._store = _store(bucket)

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content*: S3 has an object whole or not at all, on several disks."""
        attributes = {"Content-Type": "image/png"}
        try:
            await obstore.put_async(self._store, _key(digest), content, attributes=attributes)
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def get(self, digest: str) -> bytes | None:
        """Return what was kept, None where there is no such object."""
        try:
            found = await obstore.get_async(self._store, _key(digest))
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except _FAILURES as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> MediaUnavailableError:
        reason = str(error).partition("\n")[0][:_MAX_REASON_CHARS]
        structlog.get_logger(__name__).error("media_unavailable", store=f"s3://{self._bucket.name}", reason=reason)
        return MediaUnavailableError()


def _key(digest: str) -> str:
    return f"media/{digest}.png"


def _store(bucket: Bucket) -> S3Store:
    config: S3Config = {"region": bucket.region}
    if bucket.endpoint is not None:
        config["endpoint"] = bucket.endpoint
    if bucket.access_key is not None and bucket.secret_key is not None:
        config["access_key_id"], config["secret_access_key"] = bucket.access_key, bucket.secret_key
    return S3Store(
        bucket.name,
        config=config,
        client_options={
            "connect_timeout": _CONNECT_LIMIT,
            "timeout": _REQUEST_LIMIT,
            "allow_http": (bucket.endpoint or "").startswith("http://"),
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_LIMIT},
    )
