"""Every type of resources. A new one is declared in a file of its own and named here."""

from __future__ import annotations

from service.api.apikeys import API_KEYS
from service.api.apps import APPS
from service.api.assets import ASSETS
from service.api.availabilities import AVAILABILITIES
from service.api.clients import CLIENTS
from service.api.companies import COMPANIES
from service.api.licenses import LICENSES
from service.api.platform_attributes import PLATFORM_ATTRIBUTES
from service.api.platform_values import PLATFORM_VALUES
from service.api.platforms import PLATFORMS
from service.api.users import USERS
from service.api.webhook_endpoints import WEBHOOK_ENDPOINTS

TYPES = (
    COMPANIES,
    USERS,
    APPS,
    LICENSES,
    PLATFORMS,
    CLIENTS,
    API_KEYS,
    WEBHOOK_ENDPOINTS,
    PLATFORM_ATTRIBUTES,
    PLATFORM_VALUES,
    AVAILABILITIES,
    ASSETS,
)

_LABELS = {resource.name: resource.label for resource in TYPES}


def label_of(*type_names: str) -> str:
    """Return what people call an object of one of these types."""
    return " or ".join(_LABELS.get(name, name) for name in type_names)
