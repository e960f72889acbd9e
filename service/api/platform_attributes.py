"""Platform attributes: what a platform wants to be told of an app, or makes from what it was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from service.api.kinds import Choice, Flag, Link, Text
from service.api.messages import Message, invalid, warning
from service.api.resource import Change, Field, ResourceType
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.templates import Attribute, Attributes, Fault, FaultCode, faults

MAX_ATTRIBUTES = 100
"""Of one platform: they are worked out for each of its apps, and written into each item of its lists."""
ATTRIBUTE_NAME = Text(
    64, pattern="[a-z][a-z0-9_]*", what="small letters, digits and underscores, the first of them a letter"
)


_SAYS: Mapping[FaultCode, str] = {
    "malformed": "The template of {{attribute}} has doubled braces around what is no name",
    "unknown": "The template of {{attribute}} refers to {{name}}, which no attribute and no field of an item is",
    "cycle": "The template of {{attribute}} leads back to itself",
    "too_long": "The template of {{attribute}} is too long once all that it refers to is written out",
    "wrong_type": "The template of {{attribute}} must be one reference to a value of the attribute's own type",
}


def attributes_of(state: RegistryState, platform_id: str) -> Attributes:
    """Return a platform's ACTIVE attributes, by name and in the order of names."""
    platform = state.find("platforms", platform_id)
    company = None if platform is None else platform.company
    # A page of values asks once for each, which would read all attributes of the platform's company every time.
    return state.remembered(("attributes", company), lambda: _attributes_in(state, company)).get(platform_id, {})


def _attributes_in(state: RegistryState, company: str | None) -> Mapping[str, Attributes]:
    """Return the attributes of all platforms of a company, by platform."""
    found: dict[str, dict[str, Attribute]] = {}
    for stored in state.ordered("platformattributes", company):
        attribute = _attribute(stored)
        if attribute is not None:
            found.setdefault(stored.fields["platform"]["id"], {})[stored.name] = attribute
    return found


def _attribute(stored: StoredObject) -> Attribute | None:
    """Return an attribute as templates see it, None where it never has a value."""
    fields, is_computed = stored.fields, stored.fields["kind"] == "COMPUTED"
    if stored.state != "ACTIVE" or (is_computed and "template" not in fields):
        return None
    return Attribute(
        value_type=fields.get("valueType", "STRING"),
        required=fields.get("required", False),
        template=fields["template"] if is_computed else None,
        encodes=fields.get("escape") == "URL",
    )


def _faults_of(state: RegistryState, platform_id: str) -> Sequence[Fault]:
    """Return what is wrong with a platform's computed attributes."""
    return state.remembered(("faults", platform_id), lambda: faults(attributes_of(state, platform_id)))


def _params(fault: Fault) -> dict[str, str]:
    return {"attribute": fault.attribute, **({"name": fault.name} if fault.name else {})}


def _breaks(change: Change) -> Iterable[Message]:
    """Return what is wrong with templates that was not: also with others', which may refer to this attribute."""
    platform = change.after.fields["platform"]["id"]
    before, after = (attributes_of(state, platform) for state in (change.there, change.planned))
    known = _faults_of(change.there, platform)
    if len(after) > MAX_ATTRIBUTES and len(after) > len(before):
        text = "A platform has at most {{most}} attributes that are ACTIVE"
        yield invalid("attributes.too.many", text, field="platform", most=str(MAX_ATTRIBUTES))
    for fault in _faults_of(change.planned, platform):
        # Another one that is written too says it itself.
        is_said = fault.attribute == change.after.name or after[fault.attribute] == before.get(fault.attribute)
        if is_said and fault not in known:
            yield invalid(_code(fault), _SAYS[fault.code], field="template", **_params(fault))


def _code(fault: Fault) -> str:
    return f"template.{fault.code.replace('_', '.')}"


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    for fault in _faults_of(state, stored.fields["platform"]["id"]):
        if fault.attribute == stored.name and stored.state == "ACTIVE":
            yield warning(_code(fault), _SAYS[fault.code], **_params(fault))
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
            says="What a computed one is made from, as `app://{{custom_app_id}}/{{content_id}}`: of other attributes "
            "and, where none has the name, of the item's own fields. Of an `INTEGER` or a `BOOLEAN`, one reference.",
        ),
        Field(
            name="escape",
            kind=Choice(("NONE", "URL")),
            says="How values are written into a template: `URL` percent-encodes them; of a computed attribute, all "
            "those in its own template, of a requested one, its value in any.",
            empty="NONE",
        ),
    ),
    unique=(("platform", "name"),),
    breaks=_breaks,
    warnings=_warnings,
)
