"""What clients can ask of the past beside each list: what is different between two moments."""

from __future__ import annotations

from dataclasses import replace

from service.http.params import MAX_CONTEXTS_PAGE, MAX_ITEMS_PAGE
from service.http.problems import InvalidFieldsError
from service.http.routes import PAST_PROBLEMS, Operation, Parameter
from service.http.schemas import ItemDifferencesOut, SessionContextDifferencesOut, SessionItemDifferencesOut
from streams.domain.errors import (
    AbsentError,
    LogUnavailableError,
    OverloadedError,
    ViewBehindError,
    ViewUnavailableError,
)
from streams.domain.ids import Kind

_BETWEEN = (
    Parameter("from", "The earlier moment: a time, or the `Paket-Position` of a list of the same id.", required=True),
    Parameter("to", "The later moment, likewise; now where it is left out."),
)
_SAYS = (
    "What was put, changed or gone between two moments, in the order of the later list, then of the earlier; null "
    "where it was not there. Paged as lists are; its `Paket-Position` is that of the later list. Where the deployment "
    "allows it."
)
_PROBLEMS = (
    AbsentError,
    InvalidFieldsError,
    OverloadedError,
    ViewBehindError,
    ViewUnavailableError,
    *PAST_PROBLEMS,
)

DIFF_SESSION = Operation(
    method="GET",
    path="/v1/sessions/upnext/{session_id}/diff",
    id="diffSessionList",
    summary="Retrieve what differs between two moments of a session's merged list",
    says=_SAYS,
    tenant=Kind.PLATFORM,
    place=Kind.SESSION,
    success=200,
    answer=SessionItemDifferencesOut,
    largest_page=MAX_ITEMS_PAGE,
    query=_BETWEEN,
    hedged=False,
    problems=_PROBLEMS,
)
DIFF_SESSION_CONTEXT = replace(
    DIFF_SESSION,
    path="/v1/sessions/upnext/{session_id}/{context_id}/diff",
    id="diffSessionContextList",
    summary="Retrieve what differs between two moments of the list of one context of a session",
    says=f"{_SAYS} A context that was attached at neither moment is 404.",
)
DIFF_SESSION_CONTEXTS = replace(
    DIFF_SESSION,
    path="/v1/sessions/upnext/{session_id}/contexts/diff",
    id="diffSessionContexts",
    summary="Retrieve what differs between two moments of the contexts of a session",
    answer=SessionContextDifferencesOut,
    largest_page=MAX_CONTEXTS_PAGE,
)
DIFF_CONTEXT = replace(
    DIFF_SESSION,
    path="/v1/contexts/upnext/{context_id}/diff",
    id="diffContextList",
    summary="Retrieve what differs between two moments of a context's list",
    tenant=Kind.APP,
    place=Kind.CONTEXT,
    answer=ItemDifferencesOut,
)
REMOVE_DIFF = Operation(
    method="DELETE",
    path="/v1/contexts/upnext/{context_id}/diff",
    id="removeItemCalledDiff",
    summary="Remove the item whose content_id is `diff`, as any other",
    says="The path of differences is also that of this item.",
    tenant=Kind.APP,
    writes=True,
    success=204,
    problems=(AbsentError, LogUnavailableError),
)

OPERATIONS = (DIFF_CONTEXT, REMOVE_DIFF, DIFF_SESSION, DIFF_SESSION_CONTEXT, DIFF_SESSION_CONTEXTS)
