"""What users, clients and their tokens are known by, put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.api.auth_callers import Callers
from service.api.auth_keys import ApiKeys
from service.api.auth_routes import Ways
from service.api.auth_throttle import Throttle
from service.api.people import People
from service.api.people_factors import FactorCalls
from service.api.people_totp import SecondFactors, SecretVault
from service.api.ports import Passwords, Registry
from service.api.rate_limits import RateLimits
from service.api.resource import Entropy
from service.api.tokens import Tokens
from service.api.tokens_grants import ClientKeys, Grants
from service.api.tokens_revoked import RevokedTokens, Revoker
from service.networks import Network


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the node knows people and clients by."""

    admin_token: str
    """The super user's."""
    tokens: Tokens
    revoked: RevokedTokens
    client_keys: ClientKeys
    passwords: Passwords
    vault: SecretVault
    proxies: Sequence[Network] = ()
    """Whose word on where requests come from is taken."""
    clock_s: Callable[[], float] = time.monotonic
    """Measures how long those who guess must wait."""


class Doors(NamedTuple):
    """Who calls, and how they came to be known."""

    callers: Callers
    ways: Ways


def build_doors(
    registry: Registry, identity: Identity, limits: RateLimits, entropy: Entropy, body_limit_s: float
) -> Doors:
    """Return what requests are told apart by."""
    tokens = identity.tokens
    people = People(registry, entropy)
    keys = ApiKeys(registry, people, tokens.now_s, entropy)
    callers = Callers(identity.admin_token, registry, people, tokens, keys, limits)
    factors = SecondFactors(identity.vault, tokens.now_s, entropy)
    # A code has six digits, and who guesses at it knows the password: it is held up from the first guess on, wherever
    # the next one comes from.
    guesses, codes = Throttle(identity.clock_s), Throttle(identity.clock_s, free=1, strict=True)
    grants = Grants(
        registry, people, callers, tokens, identity.client_keys, identity.passwords, factors, guesses, codes
    )
    revoker = Revoker(registry, tokens, identity.revoked, limits, entropy)
    of_factors = FactorCalls(people, factors, codes)
    return Doors(
        callers,
        Ways(grants, callers, of_factors, revoker, limits, entropy, identity.proxies, body_limit_s),
    )
