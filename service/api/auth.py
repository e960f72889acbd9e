"""Who calls the resource API."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from service.api.messages import MessagesError, error

SUPER_USER = "superuser"
"""The id of the user whom the deployment's own token stands for."""


class Caller(NamedTuple):
    """A user. Those whom the registry knows will bear their roles here."""

    user: str
    is_super: bool

    def may_use(self, _company: str) -> bool:
        """Say whether the caller may work in a company's context."""
        return self.is_super


def authenticate(admin_token: str, authorization: str | None) -> Caller:
    """
    Return the caller whose token *authorization* bears, in constant time.

    Raises:
        MessagesError: 401, there is no good token.

    Source:
        RFC 6750.
    """
    scheme, _, token = (authorization or "").partition(" ")
    # Users' tokens and API keys plug in here.
    shown = token.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "bearer" and hmac.compare_digest(shown, admin_token.encode()):
        return Caller(SUPER_USER, is_super=True)
    challenge = 'Bearer realm="upnext"'
    if scheme.lower() == "bearer":
        challenge += ', error="invalid_token"'
    message = error("unauthorized", "A valid token is required: Authorization: Bearer <token>")
    raise MessagesError(401, [message], headers={"WWW-Authenticate": challenge})
