"""Companies: who owns apps and platforms."""

from __future__ import annotations

from service.api.kinds import COUNTRY, EMAIL
from service.api.resource import Field, ResourceType

COMPANIES = ResourceType(
    name="companies",
    label="Company",
    says="Who owns apps and platforms.",
    in_company=False,
    fields=(
        Field(
            name="country",
            kind=COUNTRY,
            says="Where it is, as in ISO 3166.",
        ),
        Field(
            name="contactEmail",
            kind=EMAIL,
            says="Whom to write to.",
        ),
    ),
)
