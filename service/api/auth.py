"""Who calls the resource API, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from service.api.messages import MessagesError, error, not_found
from service.scopes import READ, WRITE, Scopes, has_scope

SUPER_USER = "superuser"
"""The id of the user whom the deployment's own token stands for."""


class Role(IntEnum):
    """What a user is in a company; each may do what those before it may."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


_EDITED = frozenset(
    {
        "apps",
        "licenses",
        "platforms",
        "platformattributes",
        "platformvalues",
        "availabilities",
        "assets",
        "webhookendpoints",
        "webhookdeliveries",
    }
)
"""What editors write; whatever is not named here is written by admins alone, a type that comes later too."""

_LETS_IN = frozenset({"users", "apikeys"})
"""What those who write it can log in with."""

_NO_ROLES: Mapping[str, Role] = {}


class Caller(NamedTuple):
    """A user who makes a request."""

    user: str
    is_super: bool
    roles: Mapping[str, Role] = _NO_ROLES
    """By company."""
    scopes: Scopes | None = None
    """What the token or key is for; None: all that the user may."""
    is_key: bool = False
    """Whether an API key was shown: it is not the user in person, who may be more elsewhere."""

    def may_use(self, company: str) -> bool:
        """Say whether the caller may work in a company's context."""
        return self.is_super or company in self.roles

    def is_admin(self, company: str) -> bool:
        """Say whether the caller administers a company."""
        return self.is_super or self.roles.get(company) is Role.ADMIN

    def has_scope(self, type_name: str, verb: str) -> bool:
        """Say whether the caller's token is for this; what writes also reads."""
        return has_scope(self.scopes, type_name, verb)


def least_role(type_name: str, *, writes: bool) -> Role:
    """Return the least of the roles that may read, or write, objects of a type."""
    if not writes:
        return Role.VIEWER
    return Role.EDITOR if type_name in _EDITED else Role.ADMIN


def check_role(caller: Caller, type_name: str, company: str | None, *, writes: bool) -> None:
    """
    Raise `MessagesError` (403) where the caller may not do this in a company, which is known to be the caller's.

    What is allowed of a type without a company depends on the object (`service.api.auth_objects`).
    """
    if not caller.has_scope(type_name, WRITE if writes else READ):
        raise forbidden()
    # With another user or key, a caller could go beyond the scopes of this one.
    if writes and type_name in _LETS_IN and caller.scopes is not None and WRITE not in caller.scopes:
        raise forbidden()
    if caller.is_super or company is None:
        return
    if caller.roles[company] < least_role(type_name, writes=writes):
        raise forbidden()


def forbidden() -> MessagesError:
    """Return the refusal of what the caller's role does not allow."""
    return MessagesError(403, [error("role.forbidden", "Your role does not allow this")])


def hidden(label: str, object_id: str) -> MessagesError:
    """Return the refusal that says no more than that an object is absent."""
    return MessagesError(404, [not_found(label, object_id)], may_be_news=True)


def unauthorized(*, is_bearer: bool, may_be_news: bool = False) -> MessagesError:
    """
    Return the refusal of a request without a good token.

    Source:
        RFC 6750, 3.
    """
    challenge = 'Bearer realm="upnext"'
    if is_bearer:
        challenge += ', error="invalid_token"'
    message = error("unauthorized", "A valid token is required: Authorization: Bearer <token>")
    return MessagesError(401, [message], headers={"WWW-Authenticate": challenge}, may_be_news=may_be_news)
