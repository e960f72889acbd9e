"""One core for what is measured, the others for whatever loads it: so that both sides of a pair run alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ALL = sorted(os.sched_getaffinity(0))
CORE = _ALL[-1]
"""What is measured on one core runs on this one."""
_PINNED = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"
_YIELDING = "import os, sys; os.nice(19); os.execv(sys.argv[1], sys.argv[1:])"
_TICKS = os.sysconf("SC_CLK_TCK")


def on_one_core(command: Sequence[str]) -> list[str]:
    """Return *command* such that its process is on `CORE` from its first thread to its last."""
    return [sys.executable, "-c", _PINNED, str(CORE), *command]


def yielding(command: Sequence[str]) -> list[str]:
    """Return *command* such that its process has what CPU the others leave."""
    return [sys.executable, "-c", _YIELDING, *command]


@contextmanager
def elsewhere() -> Iterator[None]:
    """Keep this process, and what it starts within and does not pin, off `CORE`, where there are others."""
    os.sched_setaffinity(0, set(_ALL[:-1]) or {CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(_ALL))


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that the process's threads have had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    """Return how much memory the process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
