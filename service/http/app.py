"""The public listener's application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from aiohttp import web

from service.http.contexts import Contexts
from service.http.deps import Deps
from service.http.document import Document
from service.http.gate import Gate, Route
from service.http.metrics import HttpMetrics
from service.http.positions import PositionTokens
from service.http.routes import Handler, Operation, Resource, UnknownPath
from service.http.sessions import Sessions
from service.http.status import status_handlers


def build_public_app(deps: Deps) -> web.Application:
    """Return the application that answers clients. Run it with `service.http.connections.Runner`."""
    tokens = PositionTokens(deps.positions_key, deps.log_id)
    gate = Gate(deps.entropy, HttpMetrics(deps.metrics))
    app = web.Application()
    for resource in _resources(deps, tokens):
        _add(app, gate, resource, _pattern(resource.path))
    document = Document(deps.more_openapi)
    _add(app, gate, document, document.path)
    if deps.add_routes is not None:
        deps.add_routes(app)
    _add(app, gate, UnknownPath(deps), "/{unknown:.*}")
    return app


def _resources(deps: Deps, tokens: PositionTokens) -> list[Resource]:
    """Return one resource for each path, in the order of their first operations."""
    handlers: Iterable[Mapping[Operation, Handler]] = (
        status_handlers(),
        Contexts(deps, tokens).handlers(),
        Sessions(deps, tokens).handlers(),
    )
    by_path: dict[str, dict[Operation, Handler]] = {}
    for mapping in handlers:
        for operation, handle in mapping.items():
            by_path.setdefault(operation.path, {})[operation] = handle
    return [Resource(deps, tokens, operations) for operations in by_path.values()]


def _add(app: web.Application, gate: Gate, route: Route, pattern: str) -> None:
    # Every method goes to the route, which knows in which order a wrong one counts.
    app.router.add_route("*", pattern, partial(gate.answer, route=route), expect_handler=_continue)


def _pattern(path: str) -> str:
    # Without a pattern of their own, parameters would not match braces, which content ids may have.
    return path.replace("}", ":[^/]+}")


async def _continue(request: web.Request) -> None:
    """Have clients that wait to be told so send their bodies; other expectations are not ours to meet."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
