"""The settings as Kafka's clients take them."""

from __future__ import annotations

from service.settings import Settings
from streams.domain.erasure import tombstones_kept_s
from streams.log.kafka_config import KafkaConfig


def kafka_config(settings: Settings) -> KafkaConfig | None:
    """Return how Kafka is reached, None where the log is embedded."""
    if settings.kafka is None:
        return None
    return KafkaConfig(
        settings.kafka,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=settings.kafka_sasl_password,
        tls_ca=settings.kafka_tls_ca,
        tls_certificate=settings.kafka_tls_certificate,
        tls_key=settings.kafka_tls_key,
        append_limit_s=settings.kafka_append_limit_s,
        start_limit_s=settings.kafka_start_limit_s,
        replication=settings.kafka_replication,
        compacted_within_s=settings.erasure_within_s / 4,
        tombstones_kept_s=tombstones_kept_s(settings.erasure_within_s),
    )
