"""Lists as JSON, joined from fragments that were encoded when they were folded, and the headers they bear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from aiohttp import web

from service.http.calls import Answer
from service.http.etags import is_known, list_etag
from service.http.params import Window
from service.http.positions import PositionTokens
from service.http.schemas import SessionContextOut
from service.http.versions.version import Version
from service.ports import Extras
from streams.domain.ids import AppId, Kind, id_text
from streams.domain.pages import Page, SessionContext, SessionContextsPage, ViewState
from streams.domain.positions import ContextPosition, ListPosition
from streams.domain.times import iso_ms


def session_context_out(entry: SessionContext) -> SessionContextOut:
    """Return *entry* as clients see it."""
    return SessionContextOut(
        id_text(Kind.SESSION, entry.session),
        id_text(Kind.CONTEXT, entry.context),
        id_text(Kind.APP, entry.app),
        iso_ms(entry.created_at_ms),
    )


class DifferencesPage(NamedTuple):
    """Some of what is different between two lists, each as JSON; the rest is as of pages of lists."""

    entries: Sequence[bytes]
    total: int
    next_key: int | None
    revision: str
    position: ContextPosition | ListPosition
    """Of the later list."""
    age_s: int | None = None


_AnyPage = Page | SessionContextsPage | DifferencesPage


class ListAnswers:
    """Answers lists: 304 where the reader knows the page, else the page."""

    def __init__(self, tokens: PositionTokens) -> None:
        """Take what writes the positions that lists bear."""
        self._tokens = tokens

    def of_context(self, request: web.BaseRequest, page: Page, window: Window, version: Version) -> Answer:
        """Answer a publisher with a page of its context's list: items as they were written."""
        headers = self._headers(page, page.state, (), window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        body = page.items.joined(headers["ETag"], lambda _app, _fragment: b"}", _framing(page, window, version))
        return Answer(200, headers, body)

    def of_session(
        self, request: web.BaseRequest, page: Page, extras: Mapping[AppId, Extras], window: Window, version: Version
    ) -> Answer:
        """Answer a platform with a page of a session's list: items with what belongs to their app."""
        headers = self._headers(page, page.state, [one.tag for one in extras.values()], window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        framing = _framing(page, window, version)
        body = page.items.joined(headers["ETag"], lambda app, fragment: extras[app].closing(fragment), framing)
        return Answer(200, headers, body)

    def of_contexts(
        self, request: web.BaseRequest, page: SessionContextsPage, window: Window, version: Version
    ) -> Answer:
        """Answer a platform with a page of a session's contexts."""
        headers = self._headers(page, ViewState.WHOLE, (), window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        entries = [msgspec.json.encode(session_context_out(entry)) for entry in page.items]
        return Answer(200, headers, _framing(page, window, version)(b",".join(entries)))

    def of_differences(
        self, request: web.BaseRequest, page: DifferencesPage, tags: Iterable[str], window: Window, version: Version
    ) -> Answer:
        """Answer with a page of differences, of which those of platforms have what belongs to their app."""
        headers = self._headers(page, ViewState.WHOLE, tags, window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        return Answer(200, headers, _framing(page, window, version)(b",".join(page.entries)))

    def _headers(
        self, page: _AnyPage, state: ViewState, tags: Iterable[str], window: Window, version: Version
    ) -> dict[str, str]:
        headers = {
            "ETag": list_etag(page.revision + version.tag, state.value, tags, window),
            "Paket-Position": self._tokens.write(page.position),
        }
        if state is not ViewState.WHOLE:
            headers["Paket-View"] = state.value
        if page.age_s is not None:
            headers["Age"] = str(page.age_s)
        return headers


def _framing(page: _AnyPage, window: Window, version: Version) -> Callable[[bytes], bytes]:
    """Return what makes the list of its entries."""
    query = f"limit={window.limit}{window.beside}".encode()
    return lambda entries: version.list_body(page.total, page.next_key, entries, query)
