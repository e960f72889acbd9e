"""Companies: who owns apps and platforms."""

from __future__ import annotations

from service.api.kinds import Text
from service.api.resource import Field, ResourceType

COMPANIES = ResourceType(
    name="companies",
    label="Company",
    says="Who owns apps and platforms.",
    in_company=False,
    fields=(
        Field(
            name="country",
            kind=Text(2, least=2, pattern="[A-Z]{2}", what="two capital letters, as in ISO 3166"),
            says="Where it is, as in ISO 3166.",
        ),
        Field(
            name="contactEmail",
            kind=Text(254, least=3, pattern=r"[^@\s]+@[^@\s]+", what="an e-mail address"),
            says="Whom to write to.",
        ),
    ),
)
