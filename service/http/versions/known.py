"""The versions of `/v1` that this program knows."""

from __future__ import annotations

from service.http.versions import v2026_11_01
from service.http.versions.newest import list_body
from service.http.versions.version import Ending, Versions

ENDINGS: dict[str, Ending] = {}
"""None is to end: the first one is what the contract names, and it costs nothing to keep."""
VERSIONS = Versions("2024-02-16", [v2026_11_01.CHANGE], list_body, ENDINGS)
