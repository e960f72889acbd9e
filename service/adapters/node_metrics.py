"""A node's status as Prometheus counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.status import NodeStatus, ProcessorStatus

DIGEST_DIFFERENCE = "digest_difference"


class NodeCollector(Collector):
    """Reads the node's status whenever somebody asks for the metrics; nothing is counted twice."""

    def __init__(self, status: Callable[[], NodeStatus | None]) -> None:
        """Take what returns the node's status, None where there is none yet."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the node."""
        status = self._status()
        if status is not None:
            yield from _of_node(status)
            yield from _of_processors(status.processors)


def _of_node(status: NodeStatus) -> Iterator[Metric]:
    yield _counter("upnext_writes", "Events that the log has acknowledged.", status.writes)
    yield _counter(
        "upnext_write_failures", "Events whose outcome was not known within the time limit.", status.write_failures
    )
    yield _gauge("upnext_ready", "1 where all that this node should serve can be served.", int(status.ready))
    yield _gauge("upnext_log_silent_seconds", "Seconds since the log was last heard of.", status.silent_s)
    yield _gauge("upnext_registry_objects", "Objects in the registry.", status.registry_objects)
    yield _gauge("upnext_registry_lag_seconds", "For how long the registry is behind its log.", status.registry_lag_s)
    yield _counter(
        "upnext_registry_snapshots_discarded",
        "Snapshots of the registry that could not be used at the start.",
        status.registry_snapshots_discarded,
    )
    yield _gauge(
        "upnext_tables_folding_again",
        "1 while the tables are folded again from the sources, and no list is served.",
        int(status.folds_again),
    )
    yield from _of_building(status)
    processors = status.processors
    yield _counter(
        "upnext_holes", "Offsets that the log does not have any more.", sum(processor.holes for processor in processors)
    )
    yield _counter(
        "upnext_stores_set_aside",
        "Stores that could not be trusted, and are restored from their changelogs.",
        sum(processor.stores_set_aside for processor in processors),
    )


def _of_building(status: NodeStatus) -> Iterator[Metric]:
    building = status.building
    yield _gauge(
        "upnext_rebuild_under_way", "1 where the next version of the views is built on this node.", int(bool(building))
    )
    folded = sum(count for processor in building for count in processor.folded.values())
    lag = sum(processor.lag_events for processor in building)
    yield _counter("upnext_rebuild_folded_events", "Records folded for the next version of the views.", folded)
    yield _gauge("upnext_rebuild_lag_events", "Records in the log and not yet folded for it.", lag)
    yield _gauge(
        "upnext_rebuild_stopped",
        "1 where it waits until somebody has decided about a record that cannot be folded.",
        int(bool(status.waits_for)),
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _of_processors(processors: tuple[ProcessorStatus, ...]) -> Iterator[Metric]:
    one = ["processor"]
    folded = CounterMetricFamily("upnext_folded_events", "Records folded.", labels=["processor", "topic"])
    lag = GaugeMetricFamily("upnext_fold_lag_events", "Records in the log and not yet folded.", labels=one)
    lag_ms = GaugeMetricFamily("upnext_fold_lag_ms", "Age of the oldest record that is being folded.", labels=one)
    dead = CounterMetricFamily("upnext_dead_letters", "Records that could not be decoded or folded.", labels=one)
    decided = CounterMetricFamily(
        "upnext_dead_letters_decided", "Such records about which somebody had decided before.", labels=one
    )
    noticed = CounterMetricFamily("upnext_noticed", "What the folds found worth a look.", labels=["processor", "what"])
    digests = CounterMetricFamily(
        "upnext_digest_differences", "Members whose items were not their context's, and were mended.", labels=one
    )
    rows = CounterMetricFamily("upnext_recovered_rows", "Changelog records applied by recoveries.", labels=one)
    recovery = GaugeMetricFamily("upnext_recovery_seconds", "Seconds that recoveries took.", labels=one)
    partitions = GaugeMetricFamily(
        "upnext_partitions",
        "Partitions owned or copied here, by whether they can be read.",
        labels=["processor", "state"],
    )
    for processor in processors:
        name = [processor.name]
        for topic, count in processor.folded.items():
            folded.add_metric([*name, topic], count)
        lag.add_metric(name, processor.lag_events)
        lag_ms.add_metric(name, processor.lag_ms)
        dead.add_metric(name, processor.dead_letters)
        decided.add_metric(name, processor.decided)
        for what, count in processor.noticed.items():
            noticed.add_metric([*name, what], count)
        digests.add_metric(name, processor.noticed.get(DIGEST_DIFFERENCE, 0))
        rows.add_metric(name, processor.recovered_rows)
        recovery.add_metric(name, processor.recovery_s)
        partitions.add_metric([*name, "ready"], processor.ready)
        partitions.add_metric([*name, "recovering"], processor.recovering)
        partitions.add_metric([*name, "copied"], processor.copied)
    yield from (folded, lag, lag_ms, dead, decided, noticed, digests, rows, recovery, partitions)
