"""Passwords as a kind of fields: taken in clear, stored as a slow hash, shown to nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from service.api.kinds import BrokenValueError, Json, Place, Plain


class Hashed(NamedTuple):
    """A password that was hashed on its way from the body to the log. No JSON reads as one."""

    hash: str


@dataclass(frozen=True)
class Password(Plain):
    """A password of *least* to *most* characters."""

    least: int
    most: int

    def read(self, value: object, _place: Place) -> object:
        """Return the hash; refuse what nobody has hashed."""
        if isinstance(value, Hashed):
            return value.hash
        if self.takes(value):
            raise BrokenValueError("field.not.taken", "{{field}} is not taken by this deployment")
        text = "{{field}} must be a string of {{least}} to {{most}} characters"
        raise BrokenValueError("field.length", text, least=str(self.least), most=str(self.most))

    def takes(self, value: object) -> bool:
        """Say whether *value* can be a password."""
        return isinstance(value, str) and self.least <= len(value) <= self.most

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "format": "password", "minLength": self.least, "maxLength": self.most}
