"""Bodies as JSON, more strictly than parsers are by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable

from service.http.problems import MalformedJsonError

MAX_NESTING = 8
"""Objects and arrays within each other, the outermost counted."""

_CONTAINERS = (dict, list)
_INT_DIGITS = 20
_HUGE = 10_000_000_000_000_000_000_000


class JsonReader:
    """
    Reads one JSON object, or any JSON value.

    Beyond RFC 8259: no duplicate keys, no NaN or infinity, no lone surrogates, no NUL, nesting at most 8.
    """

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_int, strict=True
        )

    def read(self, body: bytes) -> dict[str, object]:
        """
        Return the object that *body* is.

        Raises:
            MalformedJsonError: It is none; the message says why.
        """
        value = self.read_any(body)
        if not isinstance(value, dict):
            msg = "The body must be a JSON object."
            raise MalformedJsonError(msg)
        return value

    def read_any(self, body: bytes) -> object:
        """
        Return the JSON value that *body* is.

        Raises:
            MalformedJsonError: It is none; the message says why.
        """
        try:
            text = body.decode()
            value: object = self._decoder.decode(text)
        except UnicodeDecodeError as error:
            msg = "The body is not UTF-8."
            raise MalformedJsonError(msg) from error
        except RecursionError as error:
            raise _too_deep() from error
        except json.JSONDecodeError as error:
            msg = f"The body is not JSON: {error.msg} at character {error.pos}."
            raise MalformedJsonError(msg) from error
        if any(isinstance(inner, _CONTAINERS) for inner in _members(value)):
            _check_nesting(value)
        if "\\u" in text:  # without an escape, neither can have come through UTF-8 and the decoder
            _check_strings(value)
        return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        msg = "The body is not strict JSON: an object has the same key twice."
        raise MalformedJsonError(msg)
    return fields


def _refuse_constant(_name: str) -> object:
    msg = "The body is not JSON: numbers are finite."
    raise MalformedJsonError(msg)


def _int(digits: str) -> int:
    # No field takes so many digits; reading them would cost the square of their number.
    if len(digits) <= _INT_DIGITS:
        return int(digits)
    return -_HUGE if digits.startswith("-") else _HUGE


def _too_deep() -> MalformedJsonError:
    return MalformedJsonError(f"The body is nested more than {MAX_NESTING} deep.")


def _check_nesting(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_NESTING):
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, _CONTAINERS)]
        if not level:
            return
    raise _too_deep()


def _members(value: object) -> Iterable[object]:
    # No generator: it would take three times as long, and a body may have hundreds of thousands of objects.
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_strings(value: object) -> None:
    """Refuse lone surrogates and NUL anywhere in *value*, whose nesting has been checked."""
    match value:
        case str():
            if "\0" in value:
                msg = "The body is not strict JSON: a string has a NUL character."
                raise MalformedJsonError(msg)
            try:
                value.encode()
            except UnicodeEncodeError as error:
                msg = "The body is not strict JSON: a string has half of a surrogate pair."
                raise MalformedJsonError(msg) from error
        case dict():
            for key, field in value.items():
                _check_strings(key)
                _check_strings(field)
        case list():
            for element in value:
                _check_strings(element)
