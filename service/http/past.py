"""What operators ask on the internal listener: of the past, and whether lists are what their events give."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiohttp import web
from multidict import MultiMapping
from prometheus_client import CollectorRegistry, Counter

from service.http.deps import Entropy, now_ms
from service.http.explain import ExplanationsOut
from service.http.operators import OperatorCalls
from service.http.past_digests import DigestQuestions, PartitionDigests, StepsOut, TouchedOut
from service.http.past_questions import DifferencesOut, PastListOut, Questions
from service.http.positions import PositionTokens
from service.http.problems import Fault, InvalidFieldsError
from service.ports import Audit, History
from streams.domain.audits import Audited, AuditResult
from streams.domain.digests import DigestItems, Digests

MOST_AUDITED = 500
"""Lists that one call compares: all that they hold is in memory meanwhile."""
_MAX_DIGITS = 6


class AuditMetrics:
    """How many lists were compared, and how many differed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counters in *registry*."""
        self._lists = Counter(
            "upnext_audited_lists", "Lists that were compared with what their events give.", ["of"], registry=registry
        )
        self._differences = Counter(
            "upnext_audit_differences", "Lists that were not what their events give.", ["of"], registry=registry
        )
        for of in Audited:
            self._lists.labels(of.value)
            self._differences.labels(of.value)

    def compared(self, of: Audited, found: AuditResult) -> None:
        """Count what was found."""
        self._lists.labels(of.value).inc(found.lists)
        self._differences.labels(of.value).inc(len(found.differing))


class Past:
    """Answers operators, who show the super user's token: of the past any node can, for the log is asked."""

    def __init__(
        self,
        history: History,
        audit: Audit,
        digests: PartitionDigests,
        tokens: PositionTokens,
        admin_token: str,
        *,
        metrics: CollectorRegistry,
        now_ms: Callable[[], int] = now_ms,
        entropy: Entropy | None = None,
    ) -> None:
        """Take what reads the past and the tables, what reads positions, the token to be shown, and Unix time."""
        self._questions = Questions(history, tokens, now_ms)
        self._digests = DigestQuestions(digests)
        self._audit, self._calls = audit, OperatorCalls(admin_token, entropy)
        self._metrics = AuditMetrics(metrics)
        self._log = structlog.get_logger(__name__)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/past/…`: see `Questions` and `DigestQuestions`; and `/past/audit`."""
        return await self._calls.answered(request, lambda: self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> _Said:
        what = request.rel_url.raw_path.removeprefix("/past/")
        if what == "audit":
            return await self._audit_some(request.query)
        if what in self._digests.known:
            return await self._digests.answer(what, request.query)
        return await self._questions.answer(what, request.query)

    async def _audit_some(self, query: MultiMapping[str]) -> AuditResult:
        of, partition, most = query.get("of"), query.get("partition", ""), query.get("most", "100")
        kinds = {kind.value: kind for kind in Audited}
        faults = [
            Fault(name, "invalid", text)
            for name, text, is_good in (
                ("of", "This is contexts or sessions.", of in kinds),
                ("partition", "This is a number.", _is_number(partition)),
                ("most", f"This is 1 to {MOST_AUDITED}.", _is_number(most) and 1 <= int(most) <= MOST_AUDITED),
            )
            if not is_good
        ]
        if faults:
            raise InvalidFieldsError(faults)
        kind = kinds[of or ""]
        seed, beyond, view = query.get("seed", ""), query.get("beyond"), query.get("view")
        found = await self._audit.audit(kind, int(partition), most=int(most), seed=seed, beyond=beyond, view=view)
        self._metrics.compared(kind, found)
        for one in found.differing:
            self._log.error("audit_difference", of=kind.value, partition=int(partition), id=one.id, what=one.what)
        return found


_Said = PastListOut | DifferencesOut | ExplanationsOut | AuditResult | Digests | DigestItems | TouchedOut | StepsOut


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
