"""Bodies of requests for tokens: a form or a JSON object, whatever their `Content-Type` says."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from service.api.messages import MessagesError, invalid
from service.http.json_body import JsonReader
from service.http.problems import MalformedRequestError

MAX_BODY_BYTES = 16 * 1024
_MAX_FIELDS = 32


def read_fields(body: bytes, reader: JsonReader) -> Mapping[str, str]:
    """
    Return the fields of a body.

    Raises:
        MalformedJsonError: It begins as JSON, and is no JSON object.
        MalformedRequestError: It is no form either.
        MessagesError: 400, a field is no string, or is given twice.
    """
    fields = reader.read(body) if body.lstrip()[:1] in (b"{", b"[") else _form(body)
    for name, value in fields.items():
        if not isinstance(value, str):
            text = "{{field}} must be a string, given once"
            raise MessagesError(400, [invalid("field.wrong.type", text, field=name[:64])])
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _form(body: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("ascii").strip(), keep_blank_values=True, strict_parsing=bool(body.strip()), errors="strict",
            max_num_fields=_MAX_FIELDS,
        )  # fmt: skip
    except ValueError as error:
        raise MalformedRequestError from error
    fields: dict[str, object] = dict(pairs)
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            fields[name] = None
    return fields
