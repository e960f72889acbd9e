"""What holds between apps and platforms, as the registry says."""

from __future__ import annotations

from service.adapters.media import files_of
from service.adapters.tenants import Registry
from service.api.assets import media_path
from service.api.availabilities import is_available
from service.api.pairs import of_pair
from service.api.platform_attributes import attributes_of
from service.ports import Pair
from service.queries.extras import AppExtras
from streams.domain.ids import AppId, Kind, id_text
from streams.domain.registry_state import RegistryState

_MAX_REMEMBERED = 5_000
"""Pairs, of some 2 KiB each."""
_MAX_BYTES = 64 << 20
"""What they may take together: with all the attributes that a platform may have, one takes up to 1 MiB."""


class RegistryPairs:
    """
    `service.ports.Pairs` over the registry.

    What is found is remembered until the registry changes, which is seldom: then the next list of each pair takes some
    50 µs longer, and shows what was changed.
    """

    def __init__(self, registry: Registry, media_url: str) -> None:
        """Take the node's registry, and where clients find `/media`: what its URLs begin with."""
        self._registry, self._media_url = registry, media_url
        self._state = registry.state
        self._revision, self._bytes = -1, 0
        self._pairs: dict[tuple[bytes, bytes], Pair] = {}

    def of(self, platform: bytes, app: AppId) -> Pair:
        """Return what holds now between a platform's raw id and an app."""
        if self._state.revision != self._revision:
            self._revision = self._state.revision
            self._forget()
        known = self._pairs.get((platform, app))
        if known is None:
            if len(self._pairs) >= _MAX_REMEMBERED or self._bytes >= _MAX_BYTES:
                self._forget()
            known = self._pairs[platform, app] = self._found(id_text(Kind.PLATFORM, platform), id_text(Kind.APP, app))
        return known

    def _forget(self) -> None:
        self._pairs.clear()
        self._bytes = 0

    def _found(self, platform: str, app: str) -> Pair:
        state = self._state
        values = of_pair(state, "platformvalues", app, platform)
        told = {} if values is None else values.fields.get("values", {})
        extras = AppExtras(attributes_of(state, platform), told, self._media(state, app))
        self._bytes += extras.size
        return Pair(is_available(state, app, platform), extras)

    def _media(self, state: RegistryState, app: str) -> dict[str, str]:
        return {file.key: f"{self._media_url}{media_path(app, file.name)}" for file in files_of(state, app)}
