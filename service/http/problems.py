"""What can be wrong with a request, and the one table from errors to statuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from streams.domain import errors


class Fault(NamedTuple):
    """One broken field or parameter."""

    name: str
    code: str
    message: str


class RequestError(errors.UpNextError):
    """The request itself is wrong; nothing was recorded."""


class UnauthorizedError(RequestError):
    """There are no credentials, or none that are good."""


class ForbiddenError(RequestError):
    """The credentials are good, but not for this: a platform reads sessions, an app writes contexts."""


class AddressError(RequestError):
    """The credentials are good, but not from this address."""


class ScopeError(RequestError):
    """The token is good, but not for this."""


class SignatureError(RequestError):
    """A signature is broken or missing; the message says what is wrong with it, and nothing of the secret."""


class UnknownPathError(RequestError):
    """No resource has this path."""


class MethodNotAllowedError(RequestError):
    """The path is there, the method is not."""

    def __init__(self, allow: str) -> None:
        """Take the methods that are allowed, as the `Allow` header lists them."""
        super().__init__(allow)
        self.allow = allow


class TooManyRequestsError(RequestError):
    """The client calls more often than it may; nothing was looked at beyond who calls what."""

    def __init__(self, retry_after_s: int) -> None:
        """Take the seconds after which it may call again."""
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class TooManyFailuresError(TooManyRequestsError):
    """Credentials or ids are not good, as too many from the same address were not."""


class TooLargeError(RequestError):
    """The body is larger than it may be."""


class UnsupportedMediaTypeError(RequestError):
    """The body is not sent as JSON in UTF-8, or is compressed."""


class MalformedRequestError(RequestError):
    """The request is no HTTP, or its body broke off."""


class InvalidVersionError(RequestError):
    """There is no version of that name; the message says which there are."""

    def __init__(self, known: Iterable[str]) -> None:
        """Take the names of those that there are."""
        super().__init__(f"There is no such version; there are {', '.join(known)}.")


class InvalidKeyError(RequestError):
    """The idempotency key is none."""


class KeyInProgressError(RequestError):
    """Another request with this idempotency key is being executed."""


class KeyReusedError(RequestError):
    """The idempotency key was used for another request."""


class MalformedJsonError(RequestError):
    """The body is no JSON object as RFC 8259 and this service's stricter rules have it; the message says why."""


class InvalidFieldsError(RequestError):
    """Fields or parameters are broken: all of them, at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Take every fault that was found."""
        super().__init__(", ".join(fault.name for fault in faults))
        self.faults = faults


class Problem(NamedTuple):
    """How a kind of error is answered. Without a *message*, the error's own text is the message."""

    status: int
    type: str
    code: str
    message: str | None = None


_UNAVAILABLE = "unavailable_error"
_INVALID = "invalid_request_error"
_RATE_LIMIT = "rate_limit_error"
_INTERNAL = Problem(500, "api_error", "internal_error", "Something went wrong on our side.")

PROBLEMS: dict[type[BaseException], Problem] = {
    UnauthorizedError: Problem(
        401, "authentication_error", "invalid_credentials", "Credentials are missing or not valid."
    ),
    SignatureError: Problem(401, "authentication_error", "invalid_signature"),
    ForbiddenError: Problem(
        403, "permission_error", "wrong_tenant", "Platforms call /v1/sessions, apps call /v1/contexts."
    ),
    ScopeError: Problem(403, "permission_error", "insufficient_scope", "The token's scope does not allow this."),
    AddressError: Problem(403, "permission_error", "address_not_allowed", "The client may not call from this address."),
    errors.AppNotAvailableError: Problem(
        403,
        "permission_error",
        "app_not_available",
        "The platform has not approved the app, or shares no country with it.",
    ),
    UnknownPathError: Problem(404, "not_found_error", "unknown_path", "There is no such path."),
    errors.AbsentError: Problem(404, "not_found_error", "not_found", "There is no such resource."),
    MethodNotAllowedError: Problem(
        405, _INVALID, "method_not_allowed", "The method is not allowed here; see the Allow header."
    ),
    errors.TooManyContextsError: Problem(
        409, "conflict_error", "too_many_contexts", "The session has 200 contexts, which is as many as it may have."
    ),
    errors.AlreadyDecidedError: Problem(409, "conflict_error", "already_decided"),
    errors.HistoryTooLongError: Problem(409, "conflict_error", "history_too_long"),
    errors.HistoryGoneError: Problem(409, "conflict_error", "history_gone"),
    errors.HistoryUnorderedError: Problem(409, "conflict_error", "history_unordered"),
    TooManyRequestsError: Problem(
        429, _RATE_LIMIT, "too_many_requests", "The client calls too often; see Retry-After."
    ),
    TooManyFailuresError: Problem(
        429,
        _RATE_LIMIT,
        "too_many_failures",
        "The credentials or the ids are not good, and were not too often from this address; see Retry-After.",
    ),
    TooLargeError: Problem(413, _INVALID, "body_too_large", "The body is larger than it may be."),
    UnsupportedMediaTypeError: Problem(
        415, _INVALID, "unsupported_media_type", "Bodies are sent as application/json in UTF-8, not compressed."
    ),
    MalformedRequestError: Problem(400, _INVALID, "malformed_request", "The request is malformed or broke off."),
    errors.InvalidPositionError: Problem(
        400, _INVALID, "invalid_position", "Paket-Position cannot be read, or is of another deployment."
    ),
    InvalidVersionError: Problem(400, _INVALID, "invalid_version"),
    InvalidKeyError: Problem(
        400, _INVALID, "invalid_idempotency_key", "Idempotency-Key must be one of 1 to 255 printable ASCII characters."
    ),
    KeyInProgressError: Problem(
        409,
        "idempotency_error",
        "idempotency_in_progress",
        "A request with this Idempotency-Key is being executed; try again in a moment.",
    ),
    KeyReusedError: Problem(
        409,
        "idempotency_error",
        "idempotency_key_reused",
        "This Idempotency-Key was used with another method, path or body.",
    ),
    MalformedJsonError: Problem(400, _INVALID, "invalid_json"),
    InvalidFieldsError: Problem(400, _INVALID, "invalid_fields", "Some fields or parameters are not valid."),
    errors.LogUnavailableError: Problem(
        503, _UNAVAILABLE, "log_unavailable", "The log did not answer in time: the write may or may not have happened."
    ),
    errors.ViewUnavailableError: Problem(503, _UNAVAILABLE, "view_unavailable", "The list cannot be read right now."),
    errors.ViewBehindError: Problem(
        503, _UNAVAILABLE, "view_behind", "The list has not reached the position that was asked for."
    ),
    errors.RegistryBehindError: Problem(
        503, _UNAVAILABLE, "registry_behind", "Credentials cannot be checked right now."
    ),
    errors.OverloadedError: Problem(503, _UNAVAILABLE, "overloaded", "Too many requests are waiting already."),
    errors.UnavailableError: Problem(503, _UNAVAILABLE, "unavailable", "The service is not available right now."),
    Exception: _INTERNAL,
}
"""Every error a request can meet; what is not named itself is answered as the nearest of its bases."""

MAX_FAULTS = 100
"""Faults in one answer: a body of nothing but unknown fields must not be answered with many times its size."""


def problem_of(error: BaseException) -> Problem:
    """Return how *error* is answered."""
    for kind in type(error).__mro__:
        problem = PROBLEMS.get(kind)
        if problem is not None:
            return problem
    return _INTERNAL


class ErrorDetail(msgspec.Struct):
    """What went wrong; `params` names every broken field or parameter."""

    type: str
    code: str
    message: str
    params: list[ParamDetail]
    request_id: str


class ParamDetail(msgspec.Struct):
    """One broken field or parameter."""

    name: str
    code: str
    message: str


class ErrorOut(msgspec.Struct):
    """The one shape of every error."""

    error: ErrorDetail


def error_body(error: BaseException, problem: Problem, request_id: str) -> bytes:
    """Return the JSON that a client is told about *error*: never its traceback, its type or its arguments."""
    return msgspec.json.encode(ErrorOut(error_detail(error, problem, request_id)))


def error_detail(error: BaseException, problem: Problem, request_id: str, most_faults: int = MAX_FAULTS) -> ErrorDetail:
    """Return what a client is told about *error*."""
    faults = error.faults[:most_faults] if isinstance(error, InvalidFieldsError) else ()
    message = str(error) if problem.message is None else problem.message
    return ErrorDetail(problem.type, problem.code, message, [ParamDetail(*fault) for fault in faults], request_id)


def error_headers(error: BaseException, problem: Problem) -> dict[str, str]:
    """Return the headers that an answer to *error* bears beside those of every answer."""
    headers = {"Content-Type": "application/json"}
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allow
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="paket", charset="UTF-8"'
    if isinstance(error, TooManyRequestsError):
        headers["Retry-After"] = str(error.retry_after_s)
    if problem.status == 503:
        retry_after_s = error.retry_after_s if isinstance(error, errors.UnavailableError) else 1
        headers["Retry-After"] = str(retry_after_s)
    return headers
