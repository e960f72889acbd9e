"""Assets: apps' media. They are made by upload alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from service.api.kinds import Link, Number, Text
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject

MAX_BYTES = 2 << 20


class MediaFile(NamedTuple):
    """One of the files that an app may have."""

    key: str
    """What lists call it: `icon_1x`."""
    name: str
    """Its name where it is served, without `.png`: `icon@1x`."""
    width: int
    height: int
    is_transparent: bool = False
    """Whether something must show through it."""


FILES = (
    MediaFile("icon_1x", "icon@1x", 240, 240),
    MediaFile("icon_2x", "icon@2x", 480, 480),
    MediaFile("icon_3x", "icon@3x", 960, 960),
    MediaFile("tile_1x", "tile@1x", 400, 240),
    MediaFile("tile_2x", "tile@2x", 800, 480),
    MediaFile("logo_dark_1x", "logo_dark@1x", 400, 240, is_transparent=True),
    MediaFile("logo_light_1x", "logo_light@1x", 400, 240, is_transparent=True),
)
"""All files of an app, none of which it must have to be an app."""
FILE_BY_NAME = {name: file for file in FILES for name in (file.name, file.key)}
ICONS = tuple(file for file in FILES if file.key.startswith("icon_"))
"""What platforms cannot do without."""


def media_path(app: str, name: str) -> str:
    """Return where a file is served."""
    return f"/media/{app}/{name}.png"


def asset_id(app: str, file: MediaFile) -> str:
    """Return the id of the object that a file of an app is."""
    return f"{app}.{file.key}"


def asset_of(app: str, file: MediaFile, state: RegistryState) -> StoredObject | None:
    """Return a file of an app, of whatever state; None where none was uploaded."""
    return state.find("assets", asset_id(app, file))


def assets_of(app: str, state: RegistryState) -> Iterator[StoredObject]:
    """Yield the files of an app that were uploaded, of whatever state."""
    found = (asset_of(app, file, state) for file in FILES)
    return (asset for asset in found if asset is not None)


class _Path(Text):
    """The name of a file, shown as the path where it is served."""

    def show(self, stored: Any, of: StoredObject) -> object:
        """Return the path."""
        return media_path(of.fields["app"]["id"], stored)


def _warnings(stored: StoredObject, _state: RegistryState) -> Iterator[Message]:
    if stored.state != "ACTIVE":
        yield warning("asset.not.served", "The file is not served while it is {{state}}", state=stored.state)


ASSETS = ResourceType(
    name="assets",
    label="Asset",
    says="Apps' media: icons, tiles and logos, made by upload. Only the name and the state are changed by writes.",
    in_company=True,
    name_required=False,
    creatable=False,
    fields=(
        Field(name="app", kind=Link(("apps",)), says="Whose it is.", read_only=True),
        Field(name="media", kind=_Path(2048), says="The path where it is served.", read_only=True, stored_as="file"),
        Field(name="width", kind=Number(1, 1 << 16), says="In pixels.", read_only=True),
        Field(name="height", kind=Number(1, 1 << 16), says="In pixels.", read_only=True),
        Field(name="bytes", kind=Number(1, MAX_BYTES), says="Its size.", read_only=True),
        Field(
            name="sha256",
            kind=Text(64, least=64),
            says="The hash of its bytes, in hexadecimal digits.",
            read_only=True,
        ),
    ),
    warnings=_warnings,
)
