"""Apps' media, as the registry says."""

from __future__ import annotations

from service.adapters.tenants import Registry
from service.api.assets import FILE_BY_NAME, FILES, MediaFile, asset_of
from streams.domain.registry_state import RegistryState


def files_of(state: RegistryState, app: str) -> list[MediaFile]:
    """Return the files of an app that are served."""
    assets = ((file, asset_of(app, file, state)) for file in FILES) if _is_seen(state, app) else ()
    return [file for file, asset in assets if asset is not None and asset.state == "ACTIVE"]


def _is_seen(state: RegistryState, app: str) -> bool:
    """Say whether an app is there and neither it nor its company is HIDDEN."""
    owner = state.find("apps", app)
    if owner is None or owner.state == "HIDDEN" or owner.company is None:
        return False
    return state.state_of("companies", owner.company) in ("ACTIVE", "INACTIVE")


class RegistryMedia:
    """`service.ports.Media` over the registry."""

    def __init__(self, registry: Registry) -> None:
        """Take the node's registry."""
        self._registry = registry

    def digest(self, app: str, file: str) -> str | None:
        """Return the hash of a file that is ACTIVE, where its app and its company are not HIDDEN."""
        state, named = self._registry.state, FILE_BY_NAME.get(file)
        asset = asset_of(app, named, state) if named is not None and _is_seen(state, app) else None
        return str(asset.fields["sha256"]) if asset is not None and asset.state == "ACTIVE" else None

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""
        self._registry.ensure_fresh()
