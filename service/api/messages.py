"""Messages that can be shown to people, translated, and the errors that consist of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from service.http.problems import RequestError


class Message(msgspec.Struct, frozen=True):
    """
    One thing to say.

    Source:
        docs/resources.md, "Translatable Messages".
    """

    type: Literal["ErrorMessage", "ValidationErrorMessage", "ValidationWarningMessage"]
    code: str
    """What it is known by; stays the same when the words change."""
    text: str
    """In English, with `{{name}}` where a parameter goes."""
    params: dict[str, str]


class ErrorsOut(msgspec.Struct):
    """The one shape of every error of the resource API."""

    errors: Sequence[Message]


class MessagesError(RequestError):
    """The request is refused, for all that its messages say."""

    def __init__(
        self,
        status: int,
        messages: Sequence[Message],
        *,
        headers: Mapping[str, str] | None = None,
        may_be_news: bool = False,
    ) -> None:
        """
        Take what is answered.

        Args:
            status: Of the answer.
            messages: At least one.
            headers: Beyond those that every answer has.
            may_be_news: Whether another node may have just written what this one misses.
        """
        super().__init__("; ".join(message.code for message in messages))
        self.status, self.messages, self.headers, self.may_be_news = status, messages, dict(headers or {}), may_be_news


def error(code: str, text: str, **params: str) -> Message:
    """Return what is wrong with a request."""
    return Message("ErrorMessage", f"error.{code}", text, params)


def invalid(code: str, text: str, **params: str) -> Message:
    """Return what is wrong with a value."""
    return Message("ValidationErrorMessage", f"error.{code}", text, params)


def warning(code: str, text: str, **params: str) -> Message:
    """Return what keeps an object that was accepted from working."""
    return Message("ValidationWarningMessage", f"warning.{code}", text, params)


def not_found(label: str, object_id: str) -> Message:
    """Return that an object is absent, as far as the caller may know."""
    return error("object.not.found", "{{type}} {{id}} not found", type=label, id=object_id)


def reference_not_found(label: str, object_id: str, field: str) -> Message:
    """Return that a field refers to an object that is absent, HIDDEN or another company's."""
    text = "Referenced object {{type}} {{id}} not found"
    return error("referenced.object.not.found", text, type=label, id=object_id, field=field)
