"""What aiokafka does not speak of Kafka's protocol: `InitProducerId` of a producer that has an id and an epoch."""

from __future__ import annotations

from typing import ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields


class InitProducerIdResponseV3(Response):  # type: ignore[misc]
    """An id and an epoch, or why not."""

    API_KEY = 22
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerIdRequestV3(RequestStruct):  # type: ignore[misc]
    """Kafka 2.5 and later. Source: KIP-360."""

    API_KEY = 22
    API_VERSION = 3
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE = InitProducerIdResponseV3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class InitProducerId(Request[InitProducerIdRequestV3]):  # type: ignore[misc]
    """
    Asks for a producer id and its next epoch.

    Without a transactional id: any new id. With one: its id, and the next epoch, which fences earlier ones off. With
    an id and epoch as well: the same, if they are still the newest; else the answer is that they are fenced.
    """

    API_KEY = 22

    def __init__(
        self, transactional_id: str | None, timeout_ms: int, producer_id: int = -1, producer_epoch: int = -1
    ) -> None:
        self._fields = (transactional_id, timeout_ms, producer_id, producer_epoch)

    def build(self, request_struct_class: type[InitProducerIdRequestV3]) -> InitProducerIdRequestV3:
        """Return the request as it goes out."""
        return request_struct_class(*self._fields, {})
