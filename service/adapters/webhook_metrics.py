"""What was done about webhooks, as Prometheus counts it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.webhooks.deliverer import Counts
from service.webhooks.lanes import Lanes


class WebhookCollector(Collector):
    """Reads what the deliverer has counted whenever somebody asks for the metrics."""

    def __init__(self, counts: Counts, lanes: Lanes) -> None:
        """Take what was done, and what is on its way."""
        self._counts, self._lanes = counts, lanes

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of webhooks."""
        counts, lanes = self._counts, self._lanes
        yield CounterMetricFamily("upnext_webhook_attempts", "Attempts to send an event.", value=counts.attempts)
        ended = CounterMetricFamily("upnext_webhook_deliveries", "Deliveries that have ended.", labels=["outcome"])
        ended.add_metric(["delivered"], counts.delivered)
        ended.add_metric(["failed"], counts.failed)
        yield ended
        yield CounterMetricFamily(
            "upnext_webhook_unwritable",
            "Attempts that have come to what cannot be written down.",
            value=counts.unwritable,
        )
        yield GaugeMetricFamily(
            "upnext_webhook_pending", "Deliveries that wait, or are on their way.", value=counts.pending
        )
        yield GaugeMetricFamily(
            "upnext_webhook_oldest_due_seconds",
            "For how long the delivery has been due that waits longest.",
            value=counts.oldest_due_ms / 1_000,
        )
        yield GaugeMetricFamily("upnext_webhook_on_their_way", "Events that are being sent.", value=lanes.running)
        yield GaugeMetricFamily("upnext_webhook_endpoints_ill", "Endpoints that fail or are slow.", value=lanes.ill)
