"""Availabilities: which apps are on which platforms, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.api.kinds import COUNTRY, Flag, Link, Many
from service.api.messages import Message, warning
from service.api.pairs import PAIR, of_pair
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject


def _platform(fields: Mapping[str, Any], state: RegistryState) -> StoredObject | None:
    link = fields.get("platform")
    return None if link is None else state.find("platforms", link["id"])


def _partners(fields: Mapping[str, Any], state: RegistryState) -> Iterable[str]:
    platform = _platform(fields, state)
    return () if platform is None or platform.company is None else (platform.company,)


def is_available(state: RegistryState, app: str, platform: str) -> bool:
    """
    Say whether contexts of an app may be attached to a platform's sessions.

    An availability that is not ACTIVE is as good as none. None is needed but where the platform requires approval; one
    that is there keeps the app off a platform that is in none of its countries.
    """
    there, availability = state.find("platforms", platform), of_pair(state, "availabilities", app, platform)
    requires_approval = there is not None and bool(there.fields.get("requiresApproval"))
    if availability is None:
        return not requires_approval
    is_approved = not requires_approval or bool(availability.fields.get("approved"))
    return is_approved and (there is None or _shares_region(availability, there))


def _shares_region(availability: StoredObject, platform: StoredObject) -> bool:
    """Say whether there is a country that an app is in on a platform; empty lists are all countries."""
    regions, those_of_platform = availability.fields.get("regions", ()), platform.fields.get("regions", ())
    return not regions or not those_of_platform or not set(regions).isdisjoint(those_of_platform)


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    platform = _platform(stored.fields, state)
    if platform is None:
        return
    if platform.fields.get("requiresApproval") and not stored.fields.get("approved"):
        text = "The app is not on platform {{platform}} until the platform's company has approved it"
        yield warning("availability.not.approved", text, platform=platform.id)
    if not _shares_region(stored, platform):
        text = "Platform {{platform}} is in none of the countries that the app is limited to"
        yield warning("availability.without.region", text, platform=platform.id)


AVAILABILITIES = ResourceType(
    name="availabilities",
    label="Availability",
    says="An app on a platform: one object for each pair of them, made by the app's company and seen by both.",
    in_company=True,
    name_required=False,
    fields=(
        Field(name="app", kind=Link(("apps",)), says="Which app.", required=True, immutable=True),
        Field(
            name="platform",
            kind=Link(("platforms",), of_any_company=True),
            says="On which platform.",
            required=True,
            immutable=True,
        ),
        Field(
            name="regions",
            kind=Many(COUNTRY),
            says="In which countries, as in ISO 3166; empty: wherever the platform is. Where the platform is in none "
            "of them, the app is not on it.",
            empty=(),
        ),
        Field(
            name="approved",
            kind=Flag(),
            says="Whether the platform agrees. Set by the platform's company, in its own context, alone.",
            empty=False,
            by_partner=True,
        ),
    ),
    unique=(PAIR,),
    partners=_partners,
    warnings=_warnings,
)
