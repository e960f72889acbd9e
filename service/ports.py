"""What the service needs of the world. `streams.node` provides it; tests hand in fakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from service.macs import Mac
from service.networks import AllowList
from streams.domain.audits import Audited, AuditResult
from streams.domain.errors import UnavailableError
from streams.domain.events import ContextEvent, SessionEvent
from streams.domain.explain import Explanation
from streams.domain.feed import Verdict
from streams.domain.idempotency import Admission
from streams.domain.idempotency_events import KeyBegun, KeyFinished, KeyReleased
from streams.domain.ids import AppId, ContextId, Kind, SessionId
from streams.domain.pages import Page, SessionContextsPage, SubscribedSession
from streams.domain.past_lists import Moment, PastList
from streams.domain.positions import After, SessionsPosition, Written
from streams.domain.repairs import Repaired

__all__ = [
    "Audit",
    "BlobStore",
    "Client",
    "ContextViews",
    "EventWriter",
    "Explainer",
    "Extras",
    "History",
    "IdempotencyKeys",
    "Media",
    "MediaUnavailableError",
    "Pair",
    "Pairs",
    "PastReader",
    "SessionCommands",
    "SessionViews",
    "Tenants",
    "Written",
]


class EventWriter(Protocol):
    """Appends events. All raise `LogUnavailableError` where the outcome is unknown."""

    async def write_context(self, context: ContextId, event: ContextEvent) -> Written:
        """Append one event of a context."""

    async def write_session(self, session: SessionId, event: SessionEvent) -> Written:
        """Append one event of a session, without waiting for its fold."""

    async def write_sessions(self, events: Sequence[tuple[SessionId, SessionEvent]]) -> SessionsPosition:
        """Append one event to each of many sessions; the position covers them all."""


class SessionCommands(Protocol):
    """Commands that the sessions' fold judges."""

    async def execute(self, session: SessionId, event: SessionEvent, after: After) -> tuple[Verdict, Written]:
        """
        Append *event* on its owner, wait until it is folded, return what the fold made of it.

        Raises:
            LogUnavailableError: It may or may not be in the log, or its fold was not seen in time.
            ViewUnavailableError: This node does not own the session; nothing was written.
            ViewBehindError: *after* was not reached; nothing was written.
        """


class IdempotencyKeys(Protocol):
    """What is known of requests' idempotency keys, each by 17 bytes that derive from client and key."""

    async def begin(self, client: Client, request_id: str, key: bytes, event: KeyBegun) -> Admission:
        """
        Say whether a client's request is to be executed.

        Raises:
            LogUnavailableError: It may or may not have been admitted.
            ViewUnavailableError, OverloadedError: It was not, and nobody says now what is known of the key.
        """

    async def end(self, key: bytes, event: KeyFinished | KeyReleased) -> None:
        """Note how a request ended that was admitted; raise `LogUnavailableError` where that may not be noted."""


class ContextViews(Protocol):
    """
    Contexts' lists. All wait at most 2 s for *after*.

    Raises:
        ViewBehindError, ViewUnavailableError, OverloadedError
    """

    async def page(self, context: ContextId, *, start: int, limit: int, after: After, client: str) -> Page:
        """Return a page of a context's list; of one that was never written, an empty one. *client* bounds its waits."""

    async def subscriptions(self, context: ContextId, *, after: After, client: str) -> list[SubscribedSession]:
        """Return the sessions that the context feeds now."""


class SessionViews(Protocol):
    """
    Sessions' lists. All wait at most 2 s for *after*.

    Raises:
        SessionDeletedError, NotAttachedError, ViewBehindError, ViewUnavailableError, OverloadedError
    """

    async def page(self, session: SessionId, *, start: int, limit: int, after: After, client: str) -> Page:
        """Return a page of the merged list of all of a session's contexts."""

    async def context_page(
        self, session: SessionId, context: ContextId, *, start: int, limit: int, after: After, client: str
    ) -> Page:
        """Return a page of one attached context's list."""

    async def contexts(
        self, session: SessionId, *, start: int, limit: int, after: After, client: str
    ) -> SessionContextsPage:
        """Return a page of a session's contexts."""

    async def holds(
        self, session: SessionId, context: ContextId, content_id: str, *, after: After, client: str
    ) -> bool:
        """Say whether the item is in the list of that attached context."""


class Client(NamedTuple):
    """An API consumer, as authentication found it."""

    client_id: str
    """16 hexadecimal digits."""
    tenant_kind: Kind
    """APP or PLATFORM."""
    tenant: bytes
    """The tenant's raw id."""
    live: bool
    """Whether a live key was shown."""
    allowed: AllowList | None = None
    """From where it may call; None: from everywhere."""
    must_sign: bool = False
    """Whether all its calls must be signed."""
    reads_per_s: int = 0
    """How often it may read; 0: as often as any other."""
    writes_per_s: int = 0
    """How often it may write; 0: as often as any other."""
    version: str = ""
    """The version of `/v1` that it gets where it names none; empty: the first one."""
    may_read: bool = True
    """Whether the token that was shown is for reading; keys are for everything."""
    may_write: bool = True
    """Whether it is for writing; what writes also reads."""
    mac: Mac | None = None
    """Of the secret that was shown; None where that was a token."""


class Tenants(Protocol):
    """What `/v1` needs of the registry."""

    def recall(self, mark: bytes) -> Client | None:
        """Return the client of credentials that were good under *mark* and still are, None where that is not known."""

    def authenticate(self, client_id: str, secret: str, mark: bytes | None = None) -> Client | None:
        """
        Return the ACTIVE client of an ACTIVE tenant whose key this is, with its `Mac`, else None.

        Constant time in the secret, which is not kept. *mark* is what the same credentials may be recalled by.
        """

    def authenticate_token(self, token: str) -> Client | None:
        """Return the ACTIVE client of an ACTIVE tenant whose access token this is, else None."""

    def tenant_of(self, client_id: str) -> bytes:
        """Return the raw id of the tenant of a client that has been authenticated."""

    def is_app(self, app: AppId) -> bool:
        """Say whether an app is there and ACTIVE."""

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""


class Explainer(Protocol):
    """Says why an item is where it is."""

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, *, after: After, client: str
    ) -> Sequence[Explanation]:
        """
        Explain the item of one context; without one, of each whose list has it, else of each that ever had it.

        Where no context ever had it, that is one explanation without a context.

        Raises:
            SessionDeletedError, ViewBehindError, ViewUnavailableError, OverloadedError
            NotAttachedError: The context never was attached.
            HistoryTooLongError: More of the log would have to be read than one call may.
            HistoryGoneError: The log has lost what would have to be read.
            LogUnavailableError: The log did not answer.
        """


class PastReader(Protocol):
    """
    Reads lists as they were, from the log.

    All raise `HistoryTooLongError`, `HistoryGoneError`, `HistoryUnorderedError`, `LogUnavailableError`,
    `OverloadedError`; those of sessions `SessionDeletedError`, where that was so by then, those of contexts
    `ContextErasedError`, where that is so now.
    """

    async def context_lists(self, context: ContextId, moments: Sequence[Moment], *, client: str) -> Sequence[PastList]:
        """Return a context's list as it was at each of some moments. *client* is who asks."""

    async def session_lists(
        self, session: SessionId, moments: Sequence[Moment], *, client: str, context: ContextId | None = None
    ) -> Sequence[PastList]:
        """
        Return a session's merged list as it was at each of some moments, or the part of it that is of one *context*.

        Raises:
            NotAttachedError: The context was attached at none of them.
        """


class History(PastReader, Protocol):
    """Reads the past; raises what `PastReader` raises."""

    async def explain(
        self, session: SessionId, content_id: str, context: ContextId | None, at: Moment
    ) -> Sequence[Explanation]:
        """Explain an item as it was; raise `NotAttachedError` where the context was not attached up to then."""


class Audit(Protocol):
    """Compares lists that are served here with what their events give."""

    async def audit(
        self, of: Audited, partition: int, *, most: int, seed: str, beyond: str | None, view: str | None
    ) -> AuditResult:
        """
        Compare up to *most* lists of a partition, chosen by *seed*; those after the mark *beyond*, where there is one.

        They are those of a version of the views; None: of the one that clients read here.

        Raises:
            AbsentError: There is no such version here, or no such partition.
            ViewUnavailableError: The partition is not served here.
            HistoryTooLongError, HistoryGoneError, LogUnavailableError, OverloadedError
        """


class Repair(Protocol):
    """
    Folds what is folded here again, each from its own events, and replaces what differs.

    They are of a version of the views; None: of the one that clients read here. All raise:
        AbsentError: There is no such version here.
        ViewUnavailableError: The partition is not folded here.
        LogUnavailableError: The log did not answer, or whether all was replaced is not known.
        HistoryTooLongError, HistoryGoneError, OverloadedError
    """

    async def context(self, context: ContextId, *, is_dry: bool, view: str | None) -> Repaired:
        """Repair a context; where it *is_dry*, only say what differs."""

    async def session(self, session: SessionId, *, is_dry: bool, view: str | None) -> Repaired:
        """Repair a session: who is attached, and what it has of each as of the event that it names itself."""


class Extras(Protocol):
    """What a platform is shown with each item of an app: `platform_data` and `app_media`."""

    @property
    def tag(self) -> str:
        """What it is made from, in short: it changes with whatever readers see of it."""

    @property
    def end(self) -> bytes | None:
        """What the fragment of any item is closed with; None where it is not the same for all."""

    def closing(self, fragment: bytes) -> bytes:
        """Return what the fragment of this item is closed with."""


class Pair(NamedTuple):
    """What is configured between an app and a platform."""

    is_available: bool
    """Whether contexts of the app may be attached to sessions of the platform."""
    extras: Extras


class Pairs(Protocol):
    """What the registry says of apps on platforms."""

    def of(self, platform: bytes, app: AppId) -> Pair:
        """Return what holds now between a platform's raw id and an app."""


class MediaUnavailableError(UnavailableError):
    """Media cannot be kept or read now."""

    retry_after_s = 5


class BlobStore(Protocol):
    """
    Keeps the bytes of media, each file under its SHA-256 in hexadecimal digits.

    Raises:
        MediaUnavailableError: The store does not answer as it should, or not in time.
    """

    async def put(self, digest: str, content: bytes) -> None:
        """Keep *content*, whose hash *digest* is, and return once it would outlast a crash."""

    async def get(self, digest: str) -> bytes | None:
        """Return what was kept, None where it never was."""


class Media(Protocol):
    """What the registry says of apps' media."""

    def digest(self, app: str, file: str) -> str | None:
        """Return the hash of a file that is served for an app, `icon@1x`; None where there is none."""

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where the registry lags more than 5 s behind its log."""
