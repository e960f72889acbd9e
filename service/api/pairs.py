"""Objects of which there is one for each pair of an app and a platform."""

from __future__ import annotations

from streams.domain.registry_events import UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject

PAIR = ("app", "platform")
"""The fields that name both, unique together."""


def of_pair(state: RegistryState, type_name: str, app: str, platform: str) -> StoredObject | None:
    """Return the ACTIVE object of a type for a pair, None where there is none."""
    found = state.holder(type_name, UniqueValue(",".join(PAIR), f"{app},{platform}"))
    return found if found is not None and found.state == "ACTIVE" else None
