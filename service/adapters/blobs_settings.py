"""Where blobs are kept, from the settings."""

from __future__ import annotations

from service.adapters.blobs_directory import DirectoryBlobs
from service.adapters.blobs_s3 import Bucket, S3Blobs
from service.ports import BlobStore
from service.settings import Settings
from streams.domain.errors import RefusedStartError

DIRECTORY = "media"
"""In the data directory."""


def blob_store(settings: Settings) -> BlobStore:
    """Return the store that the settings name; raise `RefusedStartError` where they contradict each other."""
    bucket, key, secret = settings.media_s3_bucket, settings.media_s3_access_key, settings.media_s3_secret_key
    if (key is None) != (secret is None):
        raise RefusedStartError("media_s3_access_key and media_s3_secret_key go together: give both, or neither.")
    if bucket is None:
        if settings.media_s3_endpoint is not None or key is not None:
            raise RefusedStartError("media_s3_… says how a bucket is reached: name it, as media_s3_bucket.")
        return DirectoryBlobs(settings.media_directory or settings.data / DIRECTORY)
    if settings.media_directory is not None:
        raise RefusedStartError("media_directory and media_s3_bucket are two places for the same: leave one out.")
    return S3Blobs(Bucket(bucket, settings.media_s3_region, settings.media_s3_endpoint, key, secret))
