"""What the OpenAPI document shows of bodies, answers, errors and headers: one household, told throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from service.http.bulk_bodies import ItemsIn, ItemsOfContextsIn, WholeListIn
from service.http.bulks import ResultsOfContextsOut, ResultsOut
from service.http.contexts import ContextOut
from service.http.explain import ExplanationsOut
from service.http.items import ItemIn
from service.http.openapi_headers import REQUEST_ID
from service.http.openapi_schemas import Json, name_of
from service.http.problems import PROBLEMS, Fault, InvalidFieldsError, InvalidVersionError, Problem, error_detail
from service.http.schemas import (
    ContextListOut,
    ItemDifferencesOut,
    MessageOut,
    NothingIn,
    SessionContextDifferencesOut,
    SessionContextOut,
    SessionContextsOut,
    SessionItemDifferencesOut,
    SessionListOut,
)
from service.http.sessions import AttachIn, HideIn, SessionOut
from service.http.status import StatusOut
from service.http.versions.known import VERSIONS
from service.http.versions.version import Version

APP = "AP04417920000000000000000000000000000000001"
PLATFORM = "PL04417920000000000000000000000000000000002"
CONTEXT = "CX04417920000000000000000000000000000000003"
SESSION = "SN04417920000000000000000000000000000000004"
TIME = "2026-11-02T19:30:00.000Z"

_CLIENT = "1f0c3b5a79d2e684"
_MOVIE: Json = {
    "content_id": "nosferatu",
    "media_type": "movie",
    "action": "up_next_continue",
    "title": "Nosferatu",
    "description": "A clerk sells a house to a count.",
    "poster_art_uri": "https://media.example/nosferatu.png",
    "poster_art_aspect_ratio": "aspect_ratio_2_3",
    "position": 1_200,
    "duration": 5_640,
}
_EPISODE: Json = {
    "content_id": "lighthouse-1-2",
    "media_type": "tv_episode",
    "action": "up_next_next",
    "title": "The Lighthouse: Fog",
    "description": "A ship does not answer.",
    "season": 1,
    "episode": 2,
    "poster_art_uri": "https://media.example/lighthouse.png",
    "poster_art_aspect_ratio": "aspect_ratio_16_9",
    "preview_video_uri": "https://media.example/lighthouse.mp4",
    "duration": 2_580,
    "hidden": False,
}
_AS_READ: Json = {"app_id": APP, "context_id": CONTEXT, "updated_at": TIME}
_ITEM: Json = {**_MOVIE, **_AS_READ, "hidden": False}
_ITEM_OF_SESSION: Json = {
    **_ITEM,
    "platform_data": {"custom_app_id": "com.acme.play", "deep_link": "app://com.acme.play/nosferatu"},
    "app_media": {
        "icon_1x": f"https://api.example/media/{APP}/icon@1x.png",
        "tile_1x": f"https://api.example/media/{APP}/tile@1x.png",
    },
}
_ATTACHED: Json = {"session_id": SESSION, "context_id": CONTEXT, "app_id": APP, "created_at": TIME}
_PUT: Json = {
    "position": "context-events-3-1207",
    "time": TIME,
    "type": "context.item_put.v1",
    "did": "put",
    "text": "was written",
    "client_id": None,
    "request_id": None,
}
_CHANGED: Json = {"context_id": CONTEXT, "content_id": "nosferatu"}
_NEXT_TO_IT: Json = {"content_id": "lighthouse-1-2", "context_id": CONTEXT, "updated_at": TIME}
_EXPLAINED: Json = {
    "session_id": SESSION,
    "content_id": "nosferatu",
    "explanations": [
        {
            "context_id": CONTEXT,
            "reason": "listed",
            "text": "The item is in the list.",
            "place": {"index": 1, "total": 2, "newer": _NEXT_TO_IT, "older": None},
            "item": _ITEM,
            "steps": [_PUT],
            "omitted": 0,
            "elsewhere": [],
            "rules": [
                {
                    "rule": "newest_first",
                    "text": "Lists are in the order of `updated_at`, newest first, ties by `content_id`, then "
                    "`context_id`.",
                }
            ],
            "agrees": True,
        }
    ],
}
_ABSENT: Json = {
    "session_id": SESSION,
    "content_id": "nosferatu",
    "explanations": [
        {
            "context_id": CONTEXT,
            "reason": "dropped",
            "text": "The item was the one written longest ago when the context had more than 1,000.",
            "place": None,
            "item": None,
            "steps": [_PUT, {**_PUT, "did": "dropped", "text": "was dropped, as one item more than 1,000 was written"}],
            "omitted": 0,
            "elsewhere": [],
            "rules": [
                {
                    "rule": "at_most_1000",
                    "text": "A context holds at most 1,000 items: one more drops the one with the oldest `updated_at`.",
                }
            ],
            "agrees": True,
        }
    ],
}

Named = Mapping[str, object]
"""Examples of one thing, by what each is an example of."""

_BODIES: Mapping[type[msgspec.Struct], Named] = {
    NothingIn: {"nothing": {}},
    ItemIn: {"movie": _MOVIE, "episode": _EPISODE},
    ItemsIn: {"items": {"items": [_EPISODE, _MOVIE]}},
    WholeListIn: {"list": {"items": [_EPISODE, _MOVIE]}, "empty": {"items": []}},
    ItemsOfContextsIn: {"contexts": {"contexts": [{"context_id": CONTEXT, "items": [_MOVIE]}]}},
    AttachIn: {"attach": {"app_id": APP, "context_id": CONTEXT}},
    HideIn: {
        "hide": {"content_id": "nosferatu", "action": "hide"},
        "unhide": {"content_id": "nosferatu", "action": "unhide"},
    },
}
_LISTS: Mapping[type[msgspec.Struct], object] = {
    ContextListOut: _ITEM,
    SessionListOut: _ITEM_OF_SESSION,
    SessionContextsOut: _ATTACHED,
    ItemDifferencesOut: {**_CHANGED, "before": {**_ITEM, "hidden": True}, "after": _ITEM},
    SessionItemDifferencesOut: {**_CHANGED, "before": None, "after": _ITEM_OF_SESSION},
    SessionContextDifferencesOut: {"context_id": CONTEXT, "before": _ATTACHED, "after": None},
}
"""Lists, and an entry of each: what is around it is written by each version itself."""
_PAGE = "page"
_FAULTS = (Fault("position", "required", "This is required where the action is up_next_continue."),)
_SAID = {
    "invalid_signature": "The signature is not that of this request.",
    "invalid_version": str(InvalidVersionError(VERSIONS.names)),
    "invalid_json": "The body is not strict JSON: a key is there twice.",
    "history_too_long": "More than 2,000,000 records of the log would have to be read.",
    "history_gone": "The log begins at context-events-3-80: what was before is gone.",
    "history_unordered": "The log's clock was set back from 2026-11-02T19:31:05.000Z to 2026-11-02T19:31:00.000Z: what "
    "there was at a time in between is not clear. Name another time, or a position.",
    "already_decided": "The record stands for another event already.",
}
"""Of errors that have a text of their own each time, one."""


def _error(kind: type[BaseException], problem: Problem) -> Json:
    error = InvalidFieldsError(_FAULTS) if kind is InvalidFieldsError else Exception(_SAID.get(problem.code))
    return {"error": msgspec.to_builtins(error_detail(error, problem, REQUEST_ID))}


ERRORS: Mapping[str, Json] = {problem.code: _error(kind, problem) for kind, problem in PROBLEMS.items()}
"""One of each kind, by its code."""
_ANSWERS: Mapping[type[msgspec.Struct], Named] = {
    StatusOut: {
        "app": {"message": "The API is healthy!", "client_id": _CLIENT, "app_id": APP},
        "platform": {"message": "The API is healthy!", "client_id": _CLIENT, "platform_id": PLATFORM},
    },
    MessageOut: {"success": {"message": "Success"}},
    ContextOut: {"context": {"context_id": CONTEXT, "client_id": _CLIENT, "app_id": APP, "created_at": TIME}},
    SessionOut: {"session": {"session_id": SESSION, "client_id": _CLIENT, "platform_id": PLATFORM, "created_at": TIME}},
    SessionContextOut: {"attached": _ATTACHED},
    ExplanationsOut: {"listed": _EXPLAINED, "absent": _ABSENT},
    ResultsOut: {"results": {"results": [{"status": 200}, {"status": 400, **ERRORS["invalid_fields"]}]}},
    ResultsOfContextsOut: {"contexts": {"contexts": [{"results": [{"status": 200}]}]}},
}


def examples(version: Version) -> Json:
    """Return all examples by the names that they have among the components, as this version writes them."""
    shown = {
        _name(kind, name): value for kind, named in {**_BODIES, **_ANSWERS}.items() for name, value in named.items()
    }
    for kind, entry in _LISTS.items():
        shown[_name(kind, _PAGE)] = msgspec.json.decode(version.list_body(2, 1, msgspec.json.encode(entry), b"limit=1"))
    return {name: {"value": value} for name, value in {**shown, **ERRORS}.items()}


def of_struct(kind: type[msgspec.Struct]) -> Json:
    """Return the `examples` of what is taken or answered."""
    names = (_PAGE,) if kind in _LISTS else {**_BODIES, **_ANSWERS}[kind]
    return {name: _reference(_name(kind, name)) for name in names}


def of_errors(codes: Iterable[str]) -> Json:
    """Return the `examples` of errors."""
    return {code: _reference(code) for code in codes}


def _name(kind: type[msgspec.Struct], name: str) -> str:
    return f"{name_of(kind)}.{name}"


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/examples/{name}"}
