"""What the resource API needs of the world. `streams.registry` and `service.adapters` provide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streams.domain.dead_letters import Cursor, FoundLetter, LettersPage, Place
from streams.domain.registry import TooLarge, Verdict
from streams.domain.registry_events import Transaction
from streams.domain.registry_history import Past
from streams.domain.registry_state import RegistryState


class Registry(Protocol):
    """Every object of the deployment, as this node has it."""

    @property
    def state(self) -> RegistryState:
        """What was folded until now."""

    async def transact(self, transaction: Transaction) -> Verdict:
        """
        Append *transaction* and return what this node's fold made of it.

        Raises:
            LogUnavailableError: It may or may not be in the log.
        """

    def too_large(self, transaction: Transaction) -> Sequence[TooLarge]:
        """Return why *transaction* does not fit into the log; nothing where it does."""

    async def past(self, type_name: str, object_id: str, offsets: Sequence[int]) -> list[Past]:
        """
        Return the versions of an object that the transactions at *offsets*, ascending, wrote, in this order.

        Raises:
            LogUnavailableError: The log did not answer in time.
        """

    async def catch_up(self) -> None:
        """Return when all is folded that the log held at the call; raise `LogUnavailableError` where it is not soon."""

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where too much is missing to be trusted."""


class DeadLetters(Protocol):
    """
    The deployment's dead letters.

    Raises:
        AbsentError: There is no such letter.
        LogUnavailableError: The log did not answer in time; what was to be decided may or may not have been.
    """

    async def page(self, start: Cursor, limit: int, *, undecided: bool) -> LettersPage:
        """Return up to *limit* dead letters from *start* on, or fewer where many are looked at or they are large."""

    async def find(self, place: Place) -> FoundLetter:
        """Return a dead letter."""

    async def drop(self, place: Place, user: str, request: str) -> FoundLetter:
        """Decide that a dead letter is nothing; raise `AlreadyDecidedError` where something else was decided."""

    async def replace(self, place: Place, of: str, event: Mapping[str, Any], user: str, request: str) -> FoundLetter:
        """Decide that *event*, of a context or session, stands for a dead letter; see `streams.dead_letters`."""


class Vault(Protocol):
    """Keeps secrets that must be read back."""

    def seal(self, clear: str, purpose: str) -> str:
        """Return *clear* encrypted, to be opened for the same purpose alone."""


class Passwords(Protocol):
    """
    Keeps passwords as slow hashes.

    Raises:
        OverloadedError: Too many wait for theirs already.
    """

    async def hash(self, password: str) -> str:
        """Return what to store of a password."""

    async def verify(self, stored: str | None, password: str) -> bool:
        """Say whether this is the password that *stored* was made of; with None it is not, after the same work."""
