"""Ids of deliveries: they say where a delivery is, so that nobody has to search for it."""

from __future__ import annotations

import re
from typing import NamedTuple

from streams.domain.webhook_rows import endpoint_hash

_ID = re.compile("([0-9a-f]{4})([0-9a-f]{32})([0-9a-f]{16})")


class DeliveryPlace(NamedTuple):
    """Where a delivery is."""

    partition: int
    event: str
    """32 hexadecimal digits."""
    endpoint: str
    """The beginning of a hash of the endpoint's id, 16 hexadecimal digits."""


def delivery_id(partition: int, event: str, endpoint: str) -> str:
    """Return the id of the delivery of an event to an endpoint: 52 hexadecimal digits."""
    return f"{partition:04x}{event}{endpoint_digits(endpoint)}"


def endpoint_digits(endpoint: str) -> str:
    """Return what stands for an endpoint in the ids of its deliveries."""
    return endpoint_hash(endpoint)[:8].hex()


def parse_delivery_id(text: str) -> DeliveryPlace | None:
    """Return where the delivery of an id is, None where it is none."""
    found = _ID.fullmatch(text)
    return None if found is None else DeliveryPlace(int(found[1], 16), found[2], found[3])
