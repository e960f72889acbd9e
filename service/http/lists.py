"""Lists as JSON, joined from fragments that were encoded when they were folded, and the headers they bear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
from streams.domain.times import iso_ms


def session_context_out(entry: SessionContext) -> SessionContextOut:
    """Return *entry* as clients see it."""
    return SessionContextOut(
        id_text(Kind.SESSION, entry.session),
        id_text(Kind.CONTEXT, entry.context),
        id_text(Kind.APP, entry.app),
        iso_ms(entry.created_at_ms),
    )


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
        return _list(headers, page, _closed(page.items, b"}"), window, version)

    def of_session(
        self, request: web.BaseRequest, page: Page, extras: Mapping[AppId, Extras], window: Window, version: Version
    ) -> Answer:
        """Answer a platform with a page of a session's list: items with what belongs to their app."""
        headers = self._headers(page, page.state, [one.tag for one in extras.values()], window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        return _list(headers, page, _joined(page.items, extras), window, version)

    def of_contexts(
        self, request: web.BaseRequest, page: SessionContextsPage, window: Window, version: Version
    ) -> Answer:
        """Answer a platform with a page of a session's contexts."""
        headers = self._headers(page, ViewState.WHOLE, (), window, version)
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        entries = [msgspec.json.encode(session_context_out(entry)) for entry in page.items]
        return _list(headers, page, b",".join(entries), window, version)

    def _headers(
        self, page: Page | SessionContextsPage, state: ViewState, tags: Iterable[str], window: Window, version: Version
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


def _joined(items: Sequence[tuple[AppId, bytes]], extras: Mapping[AppId, Extras]) -> bytes:
    """Return the fragments of *items*, each closed with what belongs to its app, with commas in between."""
    ends = {app: one.end for app, one in extras.items()}
    if len(set(ends.values())) == 1 and (end := next(iter(ends.values()))) is not None:
        return _closed(items, end)
    parts: list[bytes] = []
    for app, fragment in items:
        parts += fragment, ends[app] or extras[app].closing(fragment), b","
    return b"".join(parts[:-1])


def _closed(items: Sequence[tuple[AppId, bytes]], end: bytes) -> bytes:
    """Return the fragments of *items*, all closed with *end*: at one go, for to copy each for itself takes long."""
    return (end + b",").join([fragment for _, fragment in items]) + end if items else b""


def _list(
    headers: dict[str, str], page: Page | SessionContextsPage, entries: bytes, window: Window, version: Version
) -> Answer:
    return Answer(200, headers, version.list_body(page.total, page.next_key, entries, window.limit))
