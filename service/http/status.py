"""`/v1`: is the API there, and who am I to it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from service.http.calls import Answer, Call, Handler
from service.http.routes import Operation
from streams.domain.ids import Kind, id_text


class StatusOut(msgspec.Struct, omit_defaults=True):
    """The API's status, and the caller as the API knows it."""

    message: str
    client_id: str
    app_id: str | UnsetType = UNSET
    platform_id: str | UnsetType = UNSET


STATUS = Operation(
    method="GET",
    path="/v1",
    id="retrieveStatus",
    summary="Retrieve the API's status",
    says="Says whom the credentials are of.",
    tenant=None,
    success=200,
    answer=StatusOut,
)


def status_handlers() -> Mapping[Operation, Handler]:
    """Return the handlers of the status."""
    return {STATUS: _retrieve}


async def _retrieve(call: Call) -> Answer:
    tenant = id_text(call.client.tenant_kind, call.client.tenant)
    is_app = call.client.tenant_kind is Kind.APP
    status = StatusOut(
        "The API is healthy!",
        call.client.client_id,
        app_id=tenant if is_app else UNSET,
        platform_id=UNSET if is_app else tenant,
    )
    return Answer(200, {}, msgspec.json.encode(status))
