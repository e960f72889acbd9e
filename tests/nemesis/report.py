"""What a run has done and found, as a table and as one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tests.nemesis.clients import Clients
from tests.nemesis.history import Outcome


@dataclass(frozen=True)
class Report:
    """One run."""

    seed: int
    seconds: int
    writes_acknowledged: int
    writes_failed: int
    writes_unknown: int
    reads: int
    faults: int
    faults_by_kind: Mapping[str, int]
    ended_by_themselves: int
    longest_without_reads_s: float
    longest_without_writes_s: float
    longest_without_commands_s: float
    longest_without_keyed_s: float
    wrong: list[str]

    @classmethod
    def of(
        cls, seed: int, seconds: float, clients: Clients, faults: Mapping[str, int], ends: int, wrong: list[str]
    ) -> Report:
        """Return what a run's clients, faults and checker have to tell."""
        history = clients.history
        return cls(
            seed=seed,
            seconds=round(seconds),
            writes_acknowledged=history.count(Outcome.ACKNOWLEDGED),
            writes_failed=history.count(Outcome.FAILED),
            writes_unknown=history.count(Outcome.UNKNOWN),
            reads=len(history.reads),
            faults=sum(faults.values()),
            faults_by_kind=dict(sorted(faults.items())),
            ended_by_themselves=ends,
            longest_without_reads_s=round(clients.reads.longest_s, 1),
            longest_without_writes_s=round(clients.writes.longest_s, 1),
            longest_without_commands_s=round(clients.commands.longest_s, 1),
            longest_without_keyed_s=round(clients.keyed.longest_s, 1),
            wrong=wrong,
        )

    def json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    def table(self) -> str:
        """Return it for people."""
        rows = [
            ("seed", self.seed),
            ("seconds of faults", self.seconds),
            ("writes acknowledged", self.writes_acknowledged),
            ("writes that failed for certain", self.writes_failed),
            ("writes of unknown outcome", self.writes_unknown),
            ("reads", self.reads),
            ("faults", self.faults),
            *((f"  {kind}", count) for kind, count in self.faults_by_kind.items()),
            ("nodes that ended by themselves", self.ended_by_themselves),
            ("longest without reads of a list", f"{self.longest_without_reads_s} s"),
            ("longest without writes of a client", f"{self.longest_without_writes_s} s"),
            ("longest without commands of a client", f"{self.longest_without_commands_s} s"),
            ("longest without one with a key", f"{self.longest_without_keyed_s} s"),
            ("wrong", len(self.wrong)),
        ]
        return "\n".join(f"{name:<38} {value:>12}" for name, value in rows)
