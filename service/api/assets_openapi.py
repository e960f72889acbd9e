"""The upload of assets, and where they are served, in the OpenAPI document."""

from __future__ import annotations

from service.api.assets import ASSETS, FILES, MAX_BYTES, MediaFile
from service.api.assets_forms import FIELDS
from service.api.assets_uploads import UPLOAD
from service.api.kinds import Json
from service.api.openapi_examples import content
from service.api.openapi_paths import path_id, posting
from service.http.media import MAX_AGE_S, TEMPLATE
from service.http.openapi_examples import APP, of_errors

_HEADERS = "#/components/headers/"


def uploads() -> Json:
    """Return the paths, by template."""
    file = {"type": "string", "contentMediaType": "image/png", "description": f"At most {MAX_BYTES >> 20} MiB."}
    form = {
        "type": "object",
        "description": "A file, as one of these. " + " ".join(map(_says, FILES)),
        "properties": dict.fromkeys(FIELDS, file),
        "anyOf": [{"required": [name]} for name in FIELDS],
    }
    body = {
        "required": True,
        "content": {"multipart/form-data": content(form, icon={FIELDS[0]: "(the bytes of a PNG)"})},
    }
    says = "Its size and format are checked. What was there before is replaced; its bytes are kept for the history."
    upload = posting(ASSETS, "AssetUpload", "Upload a file of an app", says, body, [_app("id"), _name()], 415)
    return {UPLOAD: upload, TEMPLATE: {"get": _served(), "head": _head(_served())}}


def _says(file: MediaFile) -> str:
    return f"`{file.name}`: {file.width}x{file.height}{', transparent in parts' if file.is_transparent else ''}."


def _app(name: str) -> Json:
    return path_id(APP, name, "The app's id.")


def _name() -> Json:
    names = [name for file in FILES for name in (file.name, file.key)]
    says = "Which file it is; either of its two names."
    return _file(says, names)


def _file(says: str, names: list[str]) -> Json:
    described = {"name": "file", "in": "path", "required": True, "description": says}
    return {**described, "schema": {"enum": names}, "example": names[0]}


def _served() -> Json:
    names = [f"{file.name}.png" for file in FILES]
    file = _file("Which file.", names)
    return {
        "operationId": "readMedia",
        "summary": "Retrieve a file of an app",
        "description": f"For everyone. It may be kept for {MAX_AGE_S} s. What is HIDDEN or INACTIVE is 404, and so is "
        "every other path and method.",
        "tags": ["Media"],
        "security": [],
        "parameters": [_app("app_id"), file, {"$ref": "#/components/parameters/If-None-Match"}],
        "responses": {
            "200": _answer("The file", "ETag", kind="image/png"),
            "304": _answer("The reader has this file", "ETag"),
            "404": _answer("Absent", code="not_found"),
            "503": _answer("Not available now", "Retry-After", code="unavailable"),
        },
    }


def _head(get: Json) -> Json:
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    return {**get, "operationId": f"{get['operationId']}Head", "responses": responses}


def _answer(says: str, *headers: str, kind: str = "", code: str = "") -> Json:
    answer: Json = {
        "description": says,
        "headers": {name: {"$ref": f"{_HEADERS}{name}"} for name in ("Paket-Request-Id", *headers)},
    }
    if kind:
        answer["content"] = {kind: {}}
    if code:
        error = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": of_errors([code])}
        answer["content"] = {"application/json": error}
    return answer
