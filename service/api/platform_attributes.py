"""Platform attributes: what a platform wants to be told of an app, or makes from what it was told."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.kinds import Choice, Flag, Link, Text
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject

ATTRIBUTE_NAME = Text(
    64, pattern="[a-z][a-z0-9_]*", what="small letters, digits and underscores, the first of them a letter"
)


def _warnings(stored: StoredObject, _state: RegistryState) -> Iterable[Message]:
    is_computed = stored.fields["kind"] == "COMPUTED"
    if is_computed and "template" not in stored.fields:
        yield warning("attribute.without.template", "Computed attribute {{id}} has no template", id=stored.id)
    if not is_computed and "template" in stored.fields:
        text = "Requested attribute {{id}} has a template, which nothing reads"
        yield warning("attribute.template.not.read", text, id=stored.id)


PLATFORM_ATTRIBUTES = ResourceType(
    name="platformattributes",
    label="PlatformAttribute",
    says="What a platform is told of each app, and what it makes of that.",
    in_company=True,
    name_kind=ATTRIBUTE_NAME,
    fields=(
        Field(
            name="platform",
            kind=Link(("platforms",)),
            says="Whose it is.",
            required=True,
            immutable=True,
        ),
        Field(
            name="kind",
            kind=Choice(("REQUESTED", "COMPUTED")),
            says="Whether apps fill it in, or it is made from a template.",
            required=True,
        ),
        Field(
            name="valueType",
            kind=Choice(("STRING", "INTEGER", "BOOLEAN", "URL")),
            says="What its values are.",
            empty="STRING",
        ),
        Field(name="required", kind=Flag(), says="Whether an app must fill it in.", empty=False),
        Field(
            name="template",
            kind=Text(2048),
            says="What a computed one is made from, as `app://{{custom_app_id}}/{{content_id}}`.",
        ),
        Field(
            name="escape",
            kind=Choice(("NONE", "URL")),
            says="How values are written into a template.",
            empty="NONE",
        ),
    ),
    unique=(("platform", "name"),),
    warnings=_warnings,
)
