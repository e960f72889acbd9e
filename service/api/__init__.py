"""The resource API, `/api/v1`: how companies, apps, platforms and clients are configured."""

from service.api.auth_setup import Identity
from service.api.openapi import api_openapi
from service.api.rate_limits import RateLimits, Rates
from service.api.routes import build_api_routes
from service.api.tokens import Tokens
from service.api.tokens_revoked import RevokedTokens

__all__ = ["Identity", "RateLimits", "Rates", "RevokedTokens", "Tokens", "api_openapi", "build_api_routes"]
