"""Webhook deliveries over HTTP: listed, read, and sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from service.api.calls import Call
from service.api.kinds import Json
from service.api.messages import MessagesError, invalid, not_found
from service.api.params import read_listing
from service.api.ports import Registry
from service.api.webhook_deliveries import ENDPOINTS, WEBHOOK_DELIVERIES, delivery_etag, show_delivery
from service.api.webhook_deliveries_asked import read_range, read_wanted
from service.http.calls import Answer
from service.http.etags import is_known
from service.http.json_body import JsonReader
from service.webhooks.deliveries import MOST_LISTED, DeliveryId, FoundDelivery, Wanted, parse_delivery_id
from service.webhooks.deliveries_everywhere import Found
from streams.domain.times import iso_ms


class AllDeliveries(Protocol):
    """
    Every delivery of the deployment: see `service.webhooks.deliveries_everywhere`.

    Raises:
        ViewUnavailableError: Not all of them can be seen now.
        LogUnavailableError: What was to be sent again may or may not be.
    """

    async def listed(self, wanted: Wanted) -> Found:
        """Return the newest of the deliveries that are *wanted*."""

    async def find(self, ids: Sequence[DeliveryId]) -> Sequence[FoundDelivery]:
        """Return deliveries in the order of *ids*; what is unknown, or forgotten, is left out."""

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again, and return of how many that is so."""


class DeliveryCalls:
    """The handlers."""

    def __init__(self, registry: Registry, deliveries: AllDeliveries) -> None:
        """Take who has endpoints, and what is delivered."""
        self._registry, self._deliveries = registry, deliveries
        self._json = JsonReader()

    async def list(self, call: Call) -> Answer:
        """Answer a page of deliveries, newest first, and since when the list has them all."""
        listing = read_listing(call.request.query)
        since_ms: int | None = None
        if listing.ids is not None:
            seen = await self._seen(call, _ids(sorted(listing.ids)))
            ids: Sequence[DeliveryId] = _ids([one.id for one in seen])
        else:
            wanted = read_wanted(call.request.query, self._endpoints(call), with_hidden=listing.include_hidden)
            ids, since_ms = await self._deliveries.listed(wanted)
        start = listing.page * listing.page_size
        shown = await self._seen(call, ids[start : start + listing.page_size])
        body = {
            "page": listing.page,
            "pageSize": listing.page_size,
            "totalCount": len(ids),
            "since": None if since_ms is None else iso_ms(since_ms + 1),
            "results": [self._show(call, one) for one in shown],
        }
        return Answer(200, {}, msgspec.json.encode(body))

    async def read(self, call: Call) -> Answer:
        """Answer one delivery."""
        found = await self._find(call)
        headers = {"ETag": delivery_etag(found)}
        if is_known(call.request.headers, headers["ETag"]):
            return Answer(304, headers)
        return Answer(200, headers, msgspec.json.encode(self._show(call, found)))

    async def resend(self, call: Call, _body: bytes) -> Answer:
        """Have a delivery be sent again, and answer it as it is then."""
        found = await self._find(call)
        await self._deliveries.resend(_ids([found.id]))
        found = await self._find(call)
        return Answer(200, {"ETag": delivery_etag(found)}, msgspec.json.encode(self._show(call, found)))

    async def resend_all(self, call: Call, body: bytes) -> Answer:
        """Have all that was planned for an endpoint within some time be sent again, oldest first."""
        ids, since_ms = await self._deliveries.listed(read_range(self._json.read(body), self._endpoints(call)))
        if since_ms is not None:
            text = "These are more than {{most}} deliveries, or too many to look at: give a shorter time"
            raise MessagesError(400, [invalid("deliveries.too.many", text, most=str(MOST_LISTED))])
        count = await self._deliveries.resend(ids[::-1])
        return Answer(200, {}, msgspec.json.encode({"count": count}))

    async def _find(self, call: Call) -> FoundDelivery:
        object_id = call.object_id or ""
        seen = await self._seen(call, _ids([object_id]))
        if not seen:
            raise MessagesError(404, [not_found(WEBHOOK_DELIVERIES.label, object_id)])
        return seen[0]

    async def _seen(self, call: Call, ids: Sequence[DeliveryId]) -> Sequence[FoundDelivery]:
        """Return those of the deliveries that are to endpoints of the request's company."""
        found = await self._deliveries.find(ids) if ids else ()
        state = self._registry.state
        endpoints = [state.find(ENDPOINTS, one.delivery.endpoint) for one in found]
        return [
            one
            for one, endpoint in zip(found, endpoints, strict=True)
            if endpoint is not None and endpoint.is_seen_by(call.company)
        ]

    def _endpoints(self, call: Call) -> dict[str, bool]:
        """Return the endpoints of the request's company, by id: whether each is in lists."""
        every = self._registry.state.ordered(ENDPOINTS, call.company)
        return {endpoint.id: endpoint.state != "HIDDEN" for endpoint in every}

    def _show(self, call: Call, found: FoundDelivery) -> Json:
        return show_delivery(found, call.company, self._registry.state)


def _ids(texts: Sequence[str]) -> list[DeliveryId]:
    return [one for text in texts if (one := parse_delivery_id(text)) is not None]
