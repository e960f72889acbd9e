"""What it costs to look who calls, whether that is too often, and what is signed: of the same GET, all of it."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

from bench.figures import Figure
from bench.load import Requests
from bench.nodes import Node
from bench.pairs import Target, paired
from bench.sizes import Sizes
from bench.unchecked import PROGRAM

UNCHECKED = (sys.executable, "-m", PROGRAM)
"""The program that can be told to leave it out."""


async def cost_of_checks(node: Node, requests: Requests, sizes: Sizes, what: str) -> Figure:
    """Load *node*, which runs `UNCHECKED`, with the same signed requests, checked and not; return the part by CPU."""
    on, off = [partial(os.kill, node.pid, number) for number in (signal.SIGUSR2, signal.SIGUSR1)]
    with_checks = Target(node.port, node.pid, requests, on)
    pair = await paired(with_checks, with_checks._replace(begin=off), sizes)
    part = 1 - pair.theirs.cpu_us / pair.ours.cpu_us
    beside = f"the same, of the same process, with nothing checked or counted, {pair.theirs}"
    return Figure(f"authentication, signature and limit, of {what}", str(pair.ours), beside, part, at_most=0.1)
