"""What the OpenAPI document says of versions: which there are, and how one is asked for."""

from __future__ import annotations

from typing import Any

from service.http.versions.known import VERSIONS
from service.http.versions.version import HEADER, Version

Json = dict[str, Any]

OF_ANSWERS: Json = {
    "description": "The version that was used. One that is to end bears `Deprecation`, and perhaps `Sunset`, as well.",
    "schema": {"enum": list(VERSIONS.names)},
    "example": VERSIONS.first.name,
}
OF_DOCUMENT: Json = {
    "name": "version",
    "in": "query",
    "description": f"The version of `/v1` that is described; left out, {VERSIONS.first.name}.",
    "schema": {"enum": list(VERSIONS.names)},
    "example": VERSIONS.first.name,
}


def of_requests(version: Version) -> Json:
    """Return the header that asks for the version which the document describes."""
    return {
        "name": HEADER,
        "in": "header",
        "description": "The version that the answer is to be in; left out, the client's default, and where it has "
        f"none, {VERSIONS.first.name}. This is {version.name}; `GET /openapi.json?version=…` describes each.",
        "schema": {"enum": [version.name]},
        "example": version.name,
    }


def versions_info() -> list[Json]:
    """Return the versions, the oldest first, as the document lists them."""
    return [_info(version) for version in VERSIONS]


def _info(version: Version) -> Json:
    info = {"version": version.name, "description": version.says}
    if version.ending is not None:
        info["deprecated"] = version.ending.deprecated.isoformat()
        if version.ending.sunset is not None:
            info["sunset"] = version.ending.sunset.isoformat()
    return info
