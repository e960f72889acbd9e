"""Real Kafka brokers for tests: KRaft mode, combined broker and controller, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.kafka_start import FEATURES, java, made_once
from tests.support.ports import free_ports

READY_S = 60.0
_META = "meta.properties"


class Broker:
    """One broker in a directory of its own, on ports that stay the same over restarts."""

    def __init__(
        self,
        directory: Path,
        *,
        node_id: int = 1,
        ports: tuple[int, int] | None = None,
        voters: str | None = None,
        replication: int = 1,
        cluster_id: str | None = None,
        listeners: Mapping[str, str] | None = None,
        advertised: Mapping[str, int] | None = None,
        settings: Mapping[str, object] | None = None,
        format_flags: Sequence[str] = (),
        java_flags: Sequence[str] = (),
    ) -> None:
        """
        Describe a broker.

        *listeners* are more of them, name → security protocol, *advertised* the ports by which clients are told to
        come to them, where it is not their own; *settings* win over the usual ones. With flags for the formatter or
        for Java, Kafka's own formatter runs.
        """
        self.directory = directory
        self.port, self.controller_port = ports or tuple(free_ports(2))
        self.node_id = node_id
        self._voters = voters or f"{node_id}@127.0.0.1:{self.controller_port}"
        self._replication = replication
        self._protocols = dict(listeners or {})
        self.ports = dict(zip(self._protocols, free_ports(len(self._protocols)), strict=True))
        self.advertised = dict(advertised or {})
        self._more_settings, self._format_flags = settings or {}, format_flags
        self._java_flags = java_flags
        self._cluster_id = cluster_id or _new_id()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the broker, formatting its directory at first; return once it answers as a member of a cluster."""
        self.spawn()
        self.wait_ready()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def spawn(self) -> None:
        """Start the process and do not wait for it."""
        if not (self._metadata / _META).exists():
            self._format()
        with (self.directory / "broker.log").open("ab") as output:
            command = [*java(self._java_flags), "kafka.Kafka", str(self._properties)]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.directory)

    def wait_ready(self) -> None:
        """Return once a metadata answer names a broker: an open port alone says nothing."""
        end = time.monotonic() + READY_S
        while not _is_member(self.port):
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > end:
                tail = (self.directory / "broker.log").read_text(errors="replace")[-2_000:]
                msg = f"the broker did not become ready:\n{tail}"
                raise AssertionError(msg)
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop the broker in order, or kill it where that takes too long."""
        if self.process is None or not self.is_running:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the broker with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        """Freeze the broker, and return when it is: until its last thread stands still, it may answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _metadata(self) -> Path:
        """Where the controllers' own log is: apart from the data, where the settings say so."""
        return Path(str(self._more_settings.get("metadata.log.dir", self._data)))

    def _format(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        if self._format_flags or self._java_flags:
            self._let_kafka_format()
            return
        features = made_once(_run_once)
        for directory in {self._data, self._metadata}:
            self._write_meta(directory)
        shutil.copyfile(features, self._metadata / features.name)

    def _write_meta(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        ids = {"cluster.id": self._cluster_id, "node.id": self.node_id, "directory.id": _new_id()}
        (directory / _META).write_text("version=1\n" + "".join(f"{name}={value}\n" for name, value in ids.items()))

    def wipe(self) -> None:
        """
        Lose all records of a broker that does not run, as with a disk that is replaced.

        The controllers' log must be on another one: a voter that has forgotten how it voted is no voter any more.
        """
        assert not self.is_running
        assert self._metadata != self._data
        shutil.rmtree(self._data)
        self._write_meta(self._data)

    def _let_kafka_format(self) -> None:
        words = ["format", "-t", self._cluster_id, "-c", str(self._properties), *self._format_flags]
        command = [*java(), "kafka.tools.StorageTool", *words]
        subprocess.run(command, check=True, capture_output=True, cwd=self.directory)

    def _settings(self) -> dict[str, object]:
        internal = {
            f"{topic}.{name}": value
            for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
            for name, value in (("replication.factor", self._replication), ("num.partitions", 1))
        }
        ports = {"PLAINTEXT": self.port, **self.ports}
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **self._protocols}
        return {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            "controller.quorum.voters": self._voters,
            "listeners": ",".join([f"CONTROLLER://127.0.0.1:{self.controller_port}", *listeners]),
            "advertised.listeners": ",".join(f"{n}://127.0.0.1:{self.advertised.get(n, p)}" for n, p in ports.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "log.dirs": self.directory / "data",
            **internal,
            "transaction.state.log.min.isr": min(2, self._replication),
            "share.coordinator.state.topic.min.isr": min(2, self._replication),
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            "log.cleaner.dedupe.buffer.size": 2_097_152,
            "auto.create.topics.enable": "false",
            # A killed broker is back in seconds.
            "broker.session.timeout.ms": 1_000,
            "broker.heartbeat.interval.ms": 250,
            "controller.quorum.election.timeout.ms": 200,
            "controller.quorum.fetch.timeout.ms": 1_000,
            "controller.quorum.election.backoff.max.ms": 200,
            **self._more_settings,
        }


class Cluster:
    """Three brokers: replication 3, two of them in sync."""

    def __init__(
        self,
        directory: Path,
        *,
        listeners: Mapping[str, str] | None = None,
        advertised: Sequence[Mapping[str, int]] = ({}, {}, {}),
        metadata_apart: bool = False,
    ) -> None:
        """
        Describe the cluster.

        *listeners* and *advertised*, broker by broker, are as with `Broker`; with *metadata_apart* a broker's data can
        be wiped.
        """
        ports = free_ports(6)
        pairs = [(ports[2 * n], ports[2 * n + 1]) for n in range(3)]
        voters = ",".join(f"{n + 1}@127.0.0.1:{controller}" for n, (_, controller) in enumerate(pairs))
        self.id = _new_id()
        places = [directory / f"broker-{n + 1}" for n in range(3)]
        self.brokers = [
            Broker(
                places[n],
                node_id=n + 1,
                ports=pair,
                voters=voters,
                replication=3,
                cluster_id=self.id,
                listeners=listeners,
                advertised=advertised[n],
                settings={"metadata.log.dir": places[n] / "metadata"} if metadata_apart else None,
            )
            for n, pair in enumerate(pairs)
        ]

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> None:
        for broker in self.brokers:
            broker.spawn()
        for broker in self.brokers:
            broker.wait_ready()

    def stop(self) -> None:
        """Kill them: in order, each would wait for the others."""
        for broker in self.brokers:
            if broker.is_running:
                broker.kill()


def _new_id() -> str:
    # The formatter takes a leading dash for a flag.
    return "A" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _run_once(directory: Path, java_flags: Sequence[str]) -> Path:
    """Run a broker that Kafka has formatted, to its orderly end, and return where its features stand."""
    broker = Broker(directory, java_flags=java_flags)
    broker.start()
    assert broker.process is not None
    broker.process.terminate()
    broker.process.wait(READY_S)
    return directory / "data" / FEATURES


def _is_member(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(2)
            # Metadata, version 0, correlation 1, client "test", no topics named.
            request = b"\x00\x03\x00\x00\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00"
            connection.sendall(len(request).to_bytes(4, "big") + request)
            head = connection.recv(12)
            return len(head) == 12 and int.from_bytes(head[8:12], "big") > 0
    except OSError:
        return False
