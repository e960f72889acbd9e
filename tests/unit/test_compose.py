"""The compose file: what can be known of it without an engine that runs it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.setting_sources import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def brokers(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if name.startswith("kafka")}


def nodes(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if name.startswith("node")}


def image_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets."""
    (line,) = re.findall(r"^ENV (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


def test_three_brokers_and_two_nodes(services: dict[str, dict[str, Any]]) -> None:
    """One broker, or one node, can be lost."""
    assert (len(brokers(services)), len(nodes(services))) == (3, 2)
    assert len(brokers(services)) + len(nodes(services)) == len(services)


def test_nodes_have_settings_that_a_node_takes(services: dict[str, dict[str, Any]]) -> None:
    """Every variable is a setting, every value one of its kind; both nodes are told the same but for their own URL."""
    given = {"UPNEXT_MASTER_KEY": "0f" * 32, "UPNEXT_ADMIN_TOKEN": "0f" * 32}
    urls = set()
    published = [port.rpartition(":")[0] for node in nodes(services).values() for port in node["ports"]]
    for name, node in nodes(services).items():
        environ = {**image_environment(), **node["environment"], **given}
        settings, _ = load_settings(None, environ, {})
        assert settings.kafka == ",".join(f"{broker}:9092" for broker in brokers(services))
        assert settings.kafka_replication == len(brokers(services))
        assert settings.internal_url == f"http://{name}:{settings.internal.port}"
        assert str(settings.data) == node["volumes"][0].split(":")[1]
        assert node["volumes"][1] == f"media:{settings.media_directory}"
        # Whichever node has a list, its media are where clients get through.
        assert f"{settings.public_url}".removeprefix("http://") in published
        urls.add(settings.internal_url)
    assert len(urls) == len(nodes(services))


def test_secrets_are_demanded_and_not_written(services: dict[str, dict[str, Any]]) -> None:
    """A deployment with a secret that everybody can read has none."""
    for node in nodes(services).values():
        for name in ("UPNEXT_MASTER_KEY", "UPNEXT_ADMIN_TOKEN"):
            assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", node["environment"][name])


def test_ports_are_this_machines_only(services: dict[str, dict[str, Any]]) -> None:
    """What is published is published on loopback, and on ports of its own; brokers are not published at all."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)
    assert not any("ports" in broker or "network_mode" in broker for broker in brokers(services).values())


def test_acknowledged_is_what_two_brokers_have(services: dict[str, dict[str, Any]]) -> None:
    """Three copies, two in sync, no unclean leader, no topics made on demand."""
    for broker in brokers(services).values():
        environment = broker["environment"]
        copies = {name: value for name, value in environment.items() if name.endswith("REPLICATION_FACTOR")}
        in_sync = {name: value for name, value in environment.items() if name.endswith(("_MIN_ISR", "INSYNC_REPLICAS"))}
        assert (len(copies), set(copies.values())) == (4, {"3"})
        assert (len(in_sync), set(in_sync.values())) == (3, {"2"})
        assert environment["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
        assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_brokers_are_one_cluster(services: dict[str, dict[str, Any]]) -> None:
    """The same cluster and voters, a number and an address of their own, data that outlives the container."""
    found = brokers(services)
    ids = [broker["environment"]["KAFKA_NODE_ID"] for broker in found.values()]
    assert len(set(ids)) == len(ids)
    voters = {f"{number}@{name}:9093" for name, number in zip(found, ids, strict=True)}
    for name, broker in found.items():
        environment = broker["environment"]
        assert set(environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")) == voters
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert broker["volumes"] == [f"{name}:{environment['KAFKA_LOG_DIRS']}"]
        # The formatter takes 16 bytes, and a leading dash for a flag.
        assert len(urlsafe_b64decode(environment["CLUSTER_ID"] + "==")) == 16
        assert not environment["CLUSTER_ID"].startswith("-")


def test_whoever_depends_waits_for_health(services: dict[str, dict[str, Any]]) -> None:
    """Every service says how to know that it works, and nodes start once all brokers do."""
    assert all(service["healthcheck"]["test"] for service in services.values())
    for node in nodes(services).values():
        assert node["depends_on"] == {name: {"condition": "service_healthy"} for name in brokers(services)}
        # Requests and the log may take so long to finish.
        assert int(node["stop_grace_period"].removesuffix("s")) >= 30
