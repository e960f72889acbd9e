"""Platforms: the tenants that read lists."""

from __future__ import annotations

from service.api.kinds import COUNTRY, Flag, Many, Text
from service.api.resource import Field, ResourceType
from streams.domain import ids

PLATFORMS = ResourceType(
    name="platforms",
    label="Platform",
    says="TV platforms: the tenants that read lists.",
    in_company=True,
    minted=ids.Kind.PLATFORM,
    names_are_public=True,
    fields=(
        Field(name="description", kind=Text(4096, least=0), says="What it is, for people."),
        Field(
            name="regions",
            kind=Many(COUNTRY),
            says="The countries that it is in, as in ISO 3166.",
            empty=(),
        ),
        Field(
            name="requiresApproval",
            kind=Flag(),
            says="Whether only contexts of apps with an approved availability may be attached; what is attached stays.",
            empty=False,
        ),
    ),
)
