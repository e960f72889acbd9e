"""What the resource API needs of the world. `streams.registry` provides it."""

from __future__ import annotations

from typing import Protocol

from streams.domain.registry import Verdict
from streams.domain.registry_events import Transaction
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

    async def catch_up(self) -> None:
        """Return when all is folded that the log held at the call; raise `LogUnavailableError` where it is not soon."""

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where too much is missing to be trusted."""
