"""Users: the people who configure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.api.kinds import (
    EMAIL,
    LINK_SCHEMA,
    BrokenValueError,
    Choice,
    DanglingError,
    Flag,
    Json,
    Place,
    Plain,
    link,
    read_id,
)
from service.api.messages import Message, warning
from service.api.passwords import Password
from service.api.resource import Field, ResourceType
from streams.domain.registry_events import Reference
from streams.domain.registry_state import RegistryState, StoredObject

_ROLE = Choice(("ADMIN", "EDITOR", "VIEWER"))
_MAX_ROLES = 1_000


@dataclass(frozen=True)
class Username(Plain):
    """An e-mail address, whose case does not tell users apart."""

    def read(self, value: object, place: Place) -> object:
        """Return the address in small letters."""
        return str(EMAIL.read(value, place)).lower()

    def schema(self) -> Json:
        """Return the JSON schema."""
        return EMAIL.schema()


@dataclass(frozen=True)
class Roles:
    """What a user is in which companies, in each one thing."""

    def read(self, value: object, place: Place) -> object:
        """Return the roles, by the companies' ids."""
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BrokenValueError("field.wrong.type", "{{field}} must be a list of objects")
        if len(value) > _MAX_ROLES:
            raise BrokenValueError(
                "field.length", "{{field}} must have at most {{most}} elements", most=str(_MAX_ROLES)
            )
        known = _companies(place.before)
        roles = [self._read_one(one, known, place) for one in value]
        if len(_companies(roles)) != len(roles):
            raise BrokenValueError("field.repeated", "{{field}} must not name a company twice")
        return roles

    def show(self, stored: Any, _of: StoredObject) -> object:
        """Return the roles with links to the companies."""
        return [{"company": link("companies", role["company"]), "role": role["role"]} for role in stored]

    def references(self, stored: Any, _company: str | None) -> Iterable[Reference]:
        """Return the companies."""
        return [Reference("companies", role["company"]) for role in stored]

    def schema(self) -> Json:
        """Return the JSON schema."""
        properties = {"company": LINK_SCHEMA, "role": _ROLE.schema()}
        one = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
        return {"type": "array", "items": one, "maxItems": _MAX_ROLES}

    def _read_one(self, value: Json, known: Iterable[str], place: Place) -> Json:
        if set(value) != {"company", "role"}:
            raise BrokenValueError("field.wrong.type", "{{field}} must be a list of objects of company, role")
        company = read_id(value["company"])
        if company not in known and place.state.resolve(Reference("companies", company)) is None:
            raise DanglingError(("companies",), company)
        return {"company": company, "role": _ROLE.read(value["role"], place)}


def _companies(roles: Any) -> set[str]:
    return {role["company"] for role in roles or ()}


def _partners(fields: Mapping[str, Any], _state: RegistryState) -> Iterable[str]:
    return _companies(fields.get("roles"))


def _warnings(stored: StoredObject, _state: RegistryState) -> Iterable[Message]:
    if not stored.fields.get("roles"):
        yield warning("user.without.roles", "User {{id}} has no role in any company", id=stored.id)
    if "passwordHash" not in stored.fields:
        yield warning("user.without.password", "User {{id}} has no password", id=stored.id)


USERS = ResourceType(
    name="users",
    label="User",
    says="The people who configure.",
    in_company=False,
    name_required=False,
    fields=(
        Field(name="username", kind=Username(), says="The e-mail address that they log in with.", required=True),
        Field(
            name="password",
            kind=Password(12, 1_024),
            says="What they log in with.",
            write_only=True,
            stored_as="passwordHash",
        ),
        Field(name="roles", kind=Roles(), says="What they are in which companies.", required=True, empty=()),
        Field(
            name="twoFactor",
            kind=Flag(),
            says="Whether they log in with a code too.",
            read_only=True,
            empty=False,
        ),
    ),
    unique=(("username",),),
    partners=_partners,
    warnings=_warnings,
)
