"""Lies to one process about the time: found by Python itself where this directory is in `PYTHONPATH`."""

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["UPNEXT_TEST_CLOCK"]).open("r+b") as _file:
    _ahead = mmap.mmap(_file.fileno(), 8)

_time_ns = time.time_ns


def _stepped_ns() -> int:
    ahead_ns: int = struct.unpack("<q", _ahead[:8])[0]
    return _time_ns() + ahead_ns


time.time_ns = _stepped_ns
time.time = lambda: _stepped_ns() / 1e9
