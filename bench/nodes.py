"""The node that is measured: a process of its own, as in production, and what its metrics and its log say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from streams.topics import CONTEXT_EVENTS, view_topics
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

How = Callable[[Sequence[str]], list[str]]
START_LIMIT_S = FOLD_LIMIT_S = 300.0


class Node(NodeProcess):
    """`upnext serve`; *how* is how its process is run, as `bench.cores.on_one_core`."""

    def __init__(self, directory: Path, *flags: str, kafka: str | None = None, how: How = list) -> None:
        super().__init__(directory, "--log-format", "json", *flags, kafka=kafka)
        self._how = how
        self.program: Sequence[str] = ()
        """What is run in place of `upnext`, from the next start on."""

    def command(self) -> list[str]:
        upnext, *flags = super().command()
        return self._how([*(self.program or [upnext]), *flags])

    async def start(self) -> Self:
        """Start the process and return once it is ready, however much it has to recover."""
        process = self.spawn()
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(START_LIMIT_S):
                while not await _is_ready(http, f"{self.internal_url}/health/ready"):
                    assert process.poll() is None, self.tail()
                    await asyncio.sleep(0.05)
        except BaseException:
            self.kill()  # nobody else would: the node has not been entered yet
            raise
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """Stop in order, and insist that it is."""
        status = self.terminate()
        assert status == 0, f"the node ended with {status}:\n{self.tail()}"

    async def metrics(self) -> dict[str, float]:
        """Return every sample of the metrics, by its name with its labels; none while the node does not answer."""
        assert self.process is not None
        assert self.process.poll() is None, self.tail()
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.internal_url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
        except aiohttp.ClientError:
            return {}
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def lag(self) -> float:
        """Return how many records are in the log and not folded, over both processors."""
        return total(await self.metrics(), "upnext_fold_lag_events")

    async def folded(self, at_least: Mapping[str, int], limit_s: float = FOLD_LIMIT_S) -> None:
        """
        Return once so many records of each topic are folded since the start, and no more are known of.

        The lag alone says nothing of records that the node has not heard of yet.
        """
        async with asyncio.timeout(limit_s):
            while not folded_all(await self.metrics(), at_least):
                await asyncio.sleep(0.1)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what the node has logged of *event*, over all its starts."""
        lines = self.output.read_text(errors="replace").splitlines()
        spoken = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in spoken if line.get("event") == event]


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def folded_all(metrics: Mapping[str, float], at_least: Mapping[str, int]) -> bool:
    """Say whether so many records of each topic are folded, and nothing is left that is known of."""
    counts = (metrics.get(folded_name(topic), -1) >= count for topic, count in at_least.items())
    return bool(metrics) and all(counts) and total(metrics, "upnext_fold_lag_events") == 0


def folded_name(topic: str) -> str:
    """Return the sample that counts the records of an input topic."""
    processor = "contexts" if topic in {CONTEXT_EVENTS, view_topics().subscriptions} else "sessions"
    return f'upnext_folded_events_total{{processor="{processor}",topic="{topic}"}}'


def total(metrics: Mapping[str, float], name: str) -> float:
    """Return the sum of the samples of one metric, whose name may begin with labels."""
    return sum(value for sample, value in metrics.items() if sample.startswith(name))


@asynccontextmanager
async def broker(directory: Path) -> AsyncIterator[Broker]:
    """A Kafka broker of the benchmark's own."""
    made = Broker(directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def log_of(directory: Path, log: str) -> AsyncIterator[str | None]:
    """The address of a broker, or None for the embedded log."""
    if log == "embedded":
        yield None
        return
    async with broker(directory / "broker") as made:
        yield made.bootstrap
