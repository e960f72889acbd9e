"""The public listener's application."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from service.http.bulks import Bulks
from service.http.calls import Handler
from service.http.contexts import Contexts
from service.http.deps import Deps
from service.http.docs_page import DocsAssets, DocsPage
from service.http.document import Document
from service.http.explain import Explanations
from service.http.gate import Gate, Route
from service.http.metrics import HttpMetrics
from service.http.past_lists import PastLists
from service.http.positions import PositionTokens
from service.http.routes import Operation, Resource, UnknownPath
from service.http.sessions import Sessions
from service.http.signatures import Signatures
from service.http.status import status_handlers
from service.http.test_mode import in_test_mode

GATE = web.AppKey("gate", Gate)
"""Answers every path that no route of the application's own router has."""


def build_public_app(deps: Deps) -> web.Application:
    """Return the application that answers clients. Run it with `service.http.connections.Runner`."""
    routes: list[Route] = [*resources(deps), Document(deps.more_openapi), DocsPage(), DocsAssets()]
    deps.metrics.register(deps.limits)
    gate = Gate(routes, UnknownPath(deps), deps.entropy, HttpMetrics(deps.metrics))
    app = web.Application()
    app[GATE] = gate
    if deps.add_routes is not None:
        deps.add_routes(app)
    # aiohttp's router finds what was added to it; the gate has one of its own, for it must know a path before a method.
    app.router.add_route("*", "/{path:.*}", gate.answer, expect_handler=_bodies_see_to_it)
    return app


def resources(deps: Deps) -> list[Resource]:
    """Return one resource for each path of `/v1`."""
    tokens = PositionTokens(deps.positions_key, deps.log_id, deps.earlier_logs)
    signatures = Signatures(deps.now_ms, deps.proxies)
    of_test_keys = _resources(in_test_mode(deps), tokens, signatures, {})
    return list(_resources(deps, tokens, signatures, of_test_keys).values())


def _resources(
    deps: Deps, tokens: PositionTokens, signatures: Signatures, of_test_keys: Mapping[str, Resource]
) -> dict[str, Resource]:
    """Return them by path."""
    past = PastLists(deps, tokens)
    handlers: tuple[Mapping[Operation, Handler], ...] = (
        status_handlers(),
        past.beside(Contexts(deps, tokens).handlers()),
        Bulks(deps, tokens).handlers(),
        past.beside(Sessions(deps, tokens).handlers()),
        past.handlers(),
        Explanations(deps).handlers(),
    )
    by_path: dict[str, dict[Operation, Handler]] = {}
    for mapping in handlers:
        for operation, handle in mapping.items():
            by_path.setdefault(operation.path, {})[operation] = handle
    return {
        path: Resource(deps, tokens, signatures, operations, of_test_keys.get(path))
        for path, operations in by_path.items()
    }


async def _bodies_see_to_it(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to `service.http.bodies`, which knows whether the body is wanted."""
