"""Apps: publishers, the tenants that write lists."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.assets import ICONS, asset_of, assets_of
from service.api.kinds import Json, Link, Many, Text, link
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain import ids
from streams.domain.registry_state import RegistryState, StoredObject


def _assets(stored: StoredObject, state: RegistryState) -> list[Json]:
    return [link(asset.type, asset.id) for asset in assets_of(stored.id, state) if asset.state != "HIDDEN"]


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    icons = {file.name: asset_of(stored.id, file, state) for file in ICONS}
    missing = [name for name, asset in icons.items() if asset is None or asset.state != "ACTIVE"]
    if missing:
        text = "App {{id}} lacks icons that platforms show: {{missing}}"
        yield warning("app.without.icons", text, id=stored.id, missing=", ".join(missing))


APPS = ResourceType(
    name="apps",
    label="App",
    says="Publishers: the tenants that write lists.",
    in_company=True,
    minted=ids.Kind.APP,
    fields=(
        Field(name="description", kind=Text(4096, least=0), says="What it is, for people."),
        Field(name="category", kind=Text(255), says="What kind of app it is, for people."),
        Field(
            name="homepage",
            kind=Text(2048, pattern=r"https?://[^\s/]\S*", what="an http or https URL"),
            says="Where people find it.",
        ),
        Field(
            name="assets",
            kind=Many(Link(("assets",))),
            says="The app's media that were uploaded, without HIDDEN ones.",
            read_only=True,
            empty=(),
            derived=_assets,
        ),
    ),
    warnings=_warnings,
)
