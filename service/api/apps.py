"""Apps: publishers, the tenants that write lists."""

from __future__ import annotations

from collections.abc import Iterable

from service.api.kinds import Many, Text
from service.api.messages import Message, warning
from service.api.resource import Field, ResourceType
from streams.domain import ids
from streams.domain.registry_state import RegistryState, StoredObject


def _warnings(stored: StoredObject, _state: RegistryState) -> Iterable[Message]:
    if not stored.fields.get("assets"):
        yield warning("app.without.icons", "App {{id}} has no icons", id=stored.id)


APPS = ResourceType(
    name="apps",
    label="App",
    says="Publishers: the tenants that write lists.",
    in_company=True,
    minted=ids.Kind.APP,
    fields=(
        Field(name="description", kind=Text(4096, least=0), says="What it is, for people."),
        Field(name="category", kind=Text(255), says="What kind of app it is, for people."),
        Field(
            name="homepage",
            kind=Text(2048, pattern=r"https?://[^\s/]\S*", what="an http or https URL"),
            says="Where people find it.",
        ),
        Field(
            name="assets",
            kind=Many(Text(2048)),
            says="The app's media that were uploaded.",
            read_only=True,
            empty=(),
        ),
    ),
    warnings=_warnings,
)
