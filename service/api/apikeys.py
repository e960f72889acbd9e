"""API keys: what scripts show in a token's place."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.keys import new_key
from service.api.kinds import Link, Many, Text
from service.api.messages import Message, warning
from service.api.moments import Moment
from service.api.resource import Field, Issued, Means, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject


def _issue(means: Means) -> Issued:
    key = new_key("ak_", means.entropy)
    return Issued({"hash": key.hash, "prefix": key.prefix}, {"key": key.clear})


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    user = state.find("users", stored.fields["user"]["id"])
    if user is None or user.state != "ACTIVE":
        yield warning(
            "apikey.user.not.active", "API key {{id}} is good for nothing: its user is not ACTIVE", id=stored.id
        )


API_KEYS = ResourceType(
    name="apikeys",
    label="ApiKey",
    says="What scripts show in a token's place. A key is good in its company alone, whatever else its user may do.",
    in_company=True,
    name_required=False,
    fields=(
        Field(
            name="user",
            kind=Link(("users",)),
            says="Whom it stands for, of those who have a role in the company; where it is left out, who makes it.",
            required=True,
            immutable=True,
            from_caller=True,
        ),
        Field(
            name="scopes",
            kind=Many(Text(64, pattern=r"[!#-\[\]-~]+", what="visible ASCII characters")),
            says="What it is for; empty: all that its user may do.",
            empty=(),
        ),
        Field(name="expires", kind=Moment(), says="When it ends; null: never."),
        Field(name="prefix", kind=Text(7), says="How it begins.", read_only=True),
        Field(name="lastUsed", kind=Moment(), says="On which day it was last used, as far as known.", read_only=True),
    ),
    unique=(("hash",),),
    shown_once={"key": "The key itself."},
    issue=_issue,
    warnings=_warnings,
)
