"""Every type of resources. A new one is declared in a file of its own and named here."""

from __future__ import annotations

from service.api.apps import APPS
from service.api.clients import CLIENTS
from service.api.companies import COMPANIES
from service.api.platforms import PLATFORMS

TYPES = (COMPANIES, APPS, PLATFORMS, CLIENTS)

_LABELS = {resource.name: resource.label for resource in TYPES}


def label_of(*type_names: str) -> str:
    """Return what people call an object of one of these types."""
    return " or ".join(_LABELS.get(name, name) for name in type_names)
