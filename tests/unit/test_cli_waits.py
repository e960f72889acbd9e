"""Commands that a node asks to wait do, and say so; those that it cannot answer are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.api import RateLimits, Rates
from service.api.rate_limits import BURST_S
from service.cli.node_calls import NodeCalls, NodeError
from streams.domain.errors import LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.port import Appended
from tests.support.api_listener import Clock, api_node, embedded_log
from tests.support.nodes import ADMIN_TOKEN


async def test_a_node_that_is_asked_too_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command waits as long as it is told, then does what it was to do."""
    clock, slept_s = Clock(), list[float]()

    async def sleep(for_s: float) -> None:
        slept_s.append(for_s)
        clock.ahead_s += for_s

    limits = RateLimits(Rates(per_address=0, per_token=1), (), clock.monotonic_s)
    async with (
        embedded_log(tmp_path) as log,
        api_node(log, clock, limits=limits) as node,
        NodeCalls(node.url, ADMIN_TOKEN, sleep=sleep) as calls,
    ):
        for number in range(int(BURST_S) + 3):
            await calls.write("companies", {"id": f"c{number}", "name": "C"})
        assert (await calls.read("companies"))["totalCount"] == BURST_S + 3
    assert slept_s
    assert set(slept_s) == {1.0}
    assert capsys.readouterr().err.startswith("upnext: the node says 429: waiting for 1 s\n")


class Away(EmbeddedLog):
    """The embedded log, which a test can make refuse what is appended, and which counts that."""

    is_away = False
    refused = 0

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        if self.is_away:
            self.refused += 1
            raise LogUnavailableError
        return await super().append(topic, partition, key, value)


async def test_a_write_that_may_have_happened(tmp_path: Path) -> None:
    """It is not tried again, and the command says that it is not known."""
    async with embedded_log(tmp_path, Away) as log, api_node(log) as node, NodeCalls(node.url, ADMIN_TOKEN) as calls:
        assert isinstance(log, Away)
        log.is_away = True
        with pytest.raises(NodeError, match=r"503: .* Whether it was done is not known\."):
            await calls.write("transactions", [{"type": "companies", "name": "C"}])
        assert log.refused == 1
