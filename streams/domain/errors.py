"""What can go wrong, as callers tell it apart. `service.http.problems` gives each leaf its status."""

from __future__ import annotations


class UpNextError(Exception):
    """Everything the service raises on purpose."""


class UnavailableError(UpNextError):
    """The outcome is unknown, or the answer is not to be had now; worth another try after *retry_after_s*."""

    retry_after_s = 1


class LogUnavailableError(UnavailableError):
    """The log did not acknowledge an append in time: it may or may not have happened."""


class ViewUnavailableError(UnavailableError):
    """The view's partition is being recovered, or is not on this node."""


class ViewBehindError(UnavailableError):
    """The view did not reach the position that the reader asked for in time."""


class RegistryBehindError(UnavailableError):
    """The node's registry lags too far behind its log to be trusted."""


class OverloadedError(UnavailableError):
    """As many requests of this kind wait already as may."""


class AbsentError(UpNextError):
    """There is no such thing, or none that the caller may know of."""


class UnknownIdError(AbsentError):
    """An id is malformed, forged, or of something that is another's."""


class SessionDeletedError(AbsentError):
    """The session was deleted."""


class ContextErasedError(AbsentError):
    """The context was erased."""


class NotAttachedError(AbsentError):
    """The context is not attached to the session."""


class AppNotAvailableError(UpNextError):
    """The app is not available on the platform: its contexts cannot be attached there."""


class TooManyContextsError(UpNextError):
    """The session holds as many contexts as it may."""


class AlreadyDecidedError(UpNextError):
    """Something else was decided about the dead letter."""


class HistoryTooLongError(UpNextError):
    """More of the log would have to be read than one call may; the message says how much that is."""


class HistoryGoneError(UpNextError):
    """The log does not have any more what would have to be read."""


class HistoryUnorderedError(UpNextError):
    """The log's clock was set back over the time that is asked for; the message says from when to when."""


class InvalidPositionError(UpNextError):
    """A position token cannot be read, or is of another deployment."""


class PoisonError(UpNextError):
    """A record is no event of ours, or breaks the rules of its type: a dead letter, with this reason."""


class NewerEventError(UpNextError):
    """A record is an event of ours of a type this version does not know: the node must stop."""


class FencedError(UpNextError):
    """Another node has claimed the partition: this one must stop."""


class RefusedStartError(UpNextError):
    """The node must not start; the message says what to do about it."""
