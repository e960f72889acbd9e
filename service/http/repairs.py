"""Repairs that operators ask for on the internal listener of the node that folds what is to be repaired."""

from __future__ import annotations

from collections.abc import Awaitable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from service.http.deps import Entropy
from service.http.operators import OperatorCalls
from service.http.problems import Fault, InvalidFieldsError, UnknownPathError
from service.ports import Repair
from streams.domain.errors import UnknownIdError
from streams.domain.ids import ContextId, Kind, SessionId, parse_id
from streams.domain.repairs import Repaired

PATH = "/repair/"
_KINDS = {"context": Kind.CONTEXT, "session": Kind.SESSION}
_DRY = {"true": True, "false": False}


class RepairMetrics:
    """How many contexts and sessions were folded again, and what came of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counter in *registry*."""
        self._repairs = Counter(
            "upnext_repairs",
            "Contexts and sessions that were folded again, and what came of it.",
            ["of", "outcome"],
            registry=registry,
        )
        for of in _KINDS:
            for outcome in ("repaired", "unchanged", "failed"):
                self._repairs.labels(of, outcome)

    async def counted(self, of: str, repairing: Awaitable[Repaired]) -> Repaired:
        """Return what a repair does, once it is counted."""
        try:
            repaired = await repairing
        except Exception:
            self._repairs.labels(of, "failed").inc()
            raise
        self._repairs.labels(of, "repaired" if repaired.rows else "unchanged").inc()
        return repaired


class Repairs:
    """Answers `POST /repair/context` and `POST /repair/session`, with `of`, `dry_run` and `view`."""

    def __init__(
        self, repair: Repair, admin_token: str, *, metrics: CollectorRegistry, entropy: Entropy | None = None
    ) -> None:
        """Take what repairs, and the token that callers must show."""
        self._repair, self._calls = repair, OperatorCalls(admin_token, entropy)
        self._metrics = RepairMetrics(metrics)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        return await self._calls.answered(request, lambda: self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> Repaired:
        what, query = request.rel_url.raw_path.removeprefix(PATH), request.query
        if what not in _KINDS:
            raise UnknownPathError
        dry_run = query.get("dry_run", "false")
        if dry_run not in _DRY:
            raise InvalidFieldsError([Fault("dry_run", "invalid", "This is true or false.")])
        raw = parse_id(_KINDS[what], query.get("of", ""))
        if raw is None:
            raise UnknownIdError
        repairing = self._begin(what, raw, is_dry=_DRY[dry_run], view=query.get("view"))
        return await (repairing if _DRY[dry_run] else self._metrics.counted(what, repairing))

    def _begin(self, what: str, raw: bytes, *, is_dry: bool, view: str | None) -> Awaitable[Repaired]:
        if what == "context":
            return self._repair.context(ContextId(raw), is_dry=is_dry, view=view)
        return self._repair.session(SessionId(raw), is_dry=is_dry, view=view)
