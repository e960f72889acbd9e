"""A whole node on Kafka that wants a password or a certificate: the log, and Faust's consumer beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.log.kafka import KafkaConfig
from tests.service.conftest import Connect, make_pair
from tests.support.guarded import Guarded
from tests.support.nodes import NodeProcess, item


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path)
    try:
        guarded.start()
        yield guarded
    finally:
        guarded.broker.stop()


def environment(config: KafkaConfig) -> dict[str, str]:
    """Return the settings of *config* as a node takes them from its environment."""
    given = {
        "SECURITY_PROTOCOL": config.security_protocol,
        "SASL_MECHANISM": config.sasl_mechanism if config.sasl_username else None,
        "SASL_USERNAME": config.sasl_username,
        "SASL_PASSWORD": config.sasl_password,
        "TLS_CA": config.tls_ca,
        "TLS_CERTIFICATE": config.tls_certificate,
        "TLS_KEY": config.tls_key,
    }
    return {f"UPNEXT_KAFKA_{name}": value for name, value in given.items() if value is not None}


@pytest.mark.kafka
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("listener", "mechanism"), [("BOTH", "SCRAM-SHA-512"), ("TLS", "PLAIN"), ("PASSWORD", "PLAIN")]
)
async def test_a_node_logs_in(
    guarded: Guarded, tmp_path: Path, connect: Connect, listener: str, mechanism: str
) -> None:
    """A write is acknowledged, folded and read."""
    config = guarded.config(listener, sasl_mechanism=mechanism)
    async with NodeProcess(tmp_path / "node", kafka=config.bootstrap, env=environment(config)) as node:
        pair = await make_pair(connect(node))
        attached = await pair.attach()
        written = await pair.app.ok("PUT", pair.context_path, item("a"))
        page = await pair.platform.ok("GET", pair.session_path, after=f"{attached},{written.position}")
        assert [entry["content_id"] for entry in page.json["items"]] == ["a"]
        assert node.terminate() == 0, node.tail()
