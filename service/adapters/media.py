"""Apps' media, as the registry says."""

from __future__ import annotations

from service.adapters.tenants import Registry
from service.api.assets import FILE_BY_NAME, asset_of


class RegistryMedia:
    """`service.ports.Media` over the registry."""

    def __init__(self, registry: Registry) -> None:
        """Take the node's registry."""
        self._registry = registry

    def digest(self, app: str, file: str) -> str | None:
        """Return the hash of a file that is ACTIVE, where its app and its company are not HIDDEN."""
        state, named = self._registry.state, FILE_BY_NAME.get(file)
        owner = state.find("apps", app)
        asset = None if named is None else asset_of(app, named, state)
        if owner is None or owner.state == "HIDDEN" or asset is None or asset.state != "ACTIVE":
            return None
        company = None if owner.company is None else state.find("companies", owner.company)
        is_seen = company is not None and company.state != "HIDDEN"
        return str(asset.fields["sha256"]) if is_seen else None

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""
        self._registry.ensure_fresh()
