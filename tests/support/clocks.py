"""Wall clocks of nodes, which a test steps: what a process is told of the time from one moment to the next."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tests.support import stepped_clock


class SteppedClock:
    """The wall clock of one process, over its restarts; how time passes is not touched."""

    def __init__(self, path: Path) -> None:
        """Keep in a file how far it is ahead."""
        self._path = path
        self.step(0.0)

    @property
    def env(self) -> dict[str, str]:
        """What the process is started with."""
        (directory,) = stepped_clock.__path__
        paths = [directory, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(paths), "UPNEXT_TEST_CLOCK": str(self._path)}

    def step(self, ahead_s: float) -> None:
        """Have it so far ahead from now on, or behind."""
        if not self._path.exists():
            self._path.write_bytes(bytes(8))
        with self._path.open("r+b") as file:
            file.write(struct.pack("<q", round(ahead_s * 1e9)))
