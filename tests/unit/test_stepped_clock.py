"""The wall clock of a process is what a test says, at once; how time passes is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support.clocks import SteppedClock

_CHILD = """
import time
began_s = time.monotonic()
for line in iter(input, "end"):
    print(time.time(), time.time_ns(), time.monotonic() - began_s, flush=True)
"""


def test_a_process_is_told_another_time_from_one_moment_to_the_next(tmp_path: Path) -> None:
    """Ahead, behind, and again as it is, over its restarts."""
    clock = SteppedClock(tmp_path / "clock")
    for _ in range(2):
        env = {**os.environ, **clock.env}
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for ahead_s in (0.0, 600.0, -14.5, 0.0):
                clock.step(ahead_s)
                child.stdin.write("\n")
                told_s, told_ns, passed_s = map(float, child.stdout.readline().split())
                assert abs(told_s - time.time() - ahead_s) < 5
                assert abs(told_ns / 1e9 - told_s) < 5
                assert 0 <= passed_s < 60
            child.stdin.write("end\n")
        assert child.returncode == 0
