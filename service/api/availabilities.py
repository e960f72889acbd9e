"""Availabilities: which apps are on which platforms, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.api.kinds import COUNTRY, Flag, Link, Many
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject


def _platform(fields: Mapping[str, Any], state: RegistryState) -> StoredObject | None:
    link = fields.get("platform")
    return None if link is None else state.find("platforms", link["id"])


def _partners(fields: Mapping[str, Any], state: RegistryState) -> Iterable[str]:
    platform = _platform(fields, state)
    return () if platform is None or platform.company is None else (platform.company,)


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    platform = _platform(stored.fields, state)
    if platform is not None and platform.fields.get("requiresApproval") and not stored.fields.get("approved"):
        text = "The app is not on platform {{platform}} until the platform's company has approved it"
        yield warning("availability.not.approved", text, platform=platform.id)


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
            says="In which countries, as in ISO 3166; empty: wherever the platform is.",
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
    unique=(("app", "platform"),),
    partners=_partners,
    warnings=_warnings,
)
