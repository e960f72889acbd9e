"""The resource API, `/api/v1`: how companies, apps, platforms and clients are configured."""

from service.api.openapi import api_openapi
from service.api.routes import build_api_routes

__all__ = ["api_openapi", "build_api_routes"]
