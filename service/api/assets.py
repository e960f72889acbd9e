"""Assets: apps' media. They come and change by upload alone."""

from __future__ import annotations

from service.api.kinds import Link, Number, Text
from service.api.resource import Field, ResourceType

MAX_BYTES = 2 << 20

ASSETS = ResourceType(
    name="assets",
    label="Asset",
    says="Apps' media: icons, tiles and logos.",
    in_company=True,
    writable=False,
    fields=(
        Field(name="app", kind=Link(("apps",)), says="Whose it is.", read_only=True),
        Field(name="media", kind=Text(2048), says="Where it is served.", read_only=True),
        Field(name="width", kind=Number(1, 1 << 16), says="In pixels.", read_only=True),
        Field(name="height", kind=Number(1, 1 << 16), says="In pixels.", read_only=True),
        Field(name="bytes", kind=Number(1, MAX_BYTES), says="Its size.", read_only=True),
    ),
)
