"""Kafka that wants a password or a certificate, encrypts, and asks who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.log.kafka import KafkaLog
from streams.topics import Kept
from tests.contract.appending import records
from tests.contract.conftest import unique
from tests.support.guarded import GUEST, Guarded

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    try:
        guarded.start()
        yield guarded
    finally:
        guarded.broker.stop()


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [("PASSWORD", "PLAIN"), ("TLS", "PLAIN"), ("BOTH", "SCRAM-SHA-256"), ("BOTH", "SCRAM-SHA-512")],
)
async def test_everything_works_once_logged_in(guarded: Guarded, listener: str, mechanism: str) -> None:
    """Topics, appends, claims, reads and questions all log in: with a password, a certificate, or encrypted."""
    log = KafkaLog(guarded.config(listener, sasl_mechanism=mechanism))
    await log.start()
    try:
        source, changelog = unique(), unique(Kept.COMPACTED)
        await log.create_topics([source, changelog])
        assert await log.check_topics([source, changelog]) == []
        await log.append(source.name, 0, b"k", b"v")
        await (await log.claim(changelog.name, 0)).append([(b"k", b"w")])
        assert [r.value for r in await records(log, source.name)] == [b"v"]
        assert [r.value for r in await records(log, changelog.name)] == [b"w"]
        await log.delete_before(source.name, 0, 1)
        assert await log.start_offset(source.name, 0) == 1
        await log.ping()
    finally:
        await log.stop()


@pytest.mark.parametrize(
    ("listener", "changed", "told"),
    [
        ("PASSWORD", {"sasl_password": "wrong"}, "cannot be logged in to.*[Aa]uthentication"),
        ("PASSWORD", {"sasl_mechanism": "SCRAM-SHA-256"}, "cannot be (reached|logged in to)"),
        ("BOTH", {"sasl_mechanism": "SCRAM-SHA-512", "sasl_password": "wrong"}, "cannot be logged in to"),
        ("BOTH", {"tls_ca": "stranger.crt"}, "cannot be logged in to.*certificate"),
        ("BOTH", {"tls_ca": "absent.crt"}, "TLS files of Kafka cannot be read: .*absent.crt"),
        ("TLS", {"tls_certificate": "intruder.crt", "tls_key": "intruder.key"}, "cannot be (reached|logged in to)"),
        ("TLS", {"tls_certificate": None, "tls_key": None}, "cannot be (reached|logged in to)"),
        ("TLS", {"security_protocol": "PLAINTEXT"}, "cannot be reached at .* by PLAINTEXT"),
        ("PASSWORD", {"security_protocol": "SSL"}, "cannot be reached at .* by SSL: [A-Z]"),
    ],
)
async def test_who_may_not_log_in_is_told_why(guarded: Guarded, listener: str, changed: Any, told: str) -> None:
    """A start that can never work is refused, and the sentence names the cause."""
    changed = {
        name: guarded.file(value) if name.startswith("tls_") and value else value for name, value in changed.items()
    }
    with pytest.raises(RefusedStartError, match=told) as refused:
        await KafkaLog(guarded.config(listener, **changed)).start()
    print(refused.value)


async def test_who_may_do_nothing_is_told_at_once(guarded: Guarded) -> None:
    """Whoever has logged in, and has no right, does not wait for one."""
    config = guarded.config("PASSWORD", sasl_username=GUEST, start_limit_s=600)
    with pytest.raises(
        RefusedStartError, match=r"lets this node in and not do .*: ClusterAuthorization.*operations\.md"
    ):
        async with asyncio.timeout(60):
            await KafkaLog(config).start()


async def test_a_right_that_is_missing_is_told(guarded: Guarded) -> None:
    """A claim that is not allowed says so: to whoever waits for it, and in the log, for it is tried again."""
    log = KafkaLog(guarded.config("PASSWORD", claim_limit_s=5))
    await log.start()
    try:
        with structlog.testing.capture_logs() as told, pytest.raises(LogUnavailableError, match="Authorization"):
            await log.claim("somebody-elses", 0)
        assert [(line["event"], line["about"]) for line in told] == [("kafka_refuses", "somebody-elses-0")]
    finally:
        await log.stop()
