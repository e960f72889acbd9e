"""`upnext demo`: a household to look at, on a node that runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
from rich.console import Console

from service.cli.node_options import admin_token, data_option
from service.demo.remote import DemoError
from service.demo.run import Plan, run
from service.demo.screen import LiveScreen, PlainScreen, Screen


@click.command(short_help="Fill a running node with a household, and watch it watch.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the node's API is.")
@data_option
@click.option("--rate", type=click.FloatRange(0.01, 200), default=3.0, show_default=True, help="Writes a second.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="End after so many; until Ctrl-C if not given."
)
@click.option("--once", is_flag=True, help="Only fill the node, and say what to try.")
@click.option("--seed", type=int, default=1, show_default=True, help="Whose story is told.")
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=60, show_default=True, help="Seconds for the node.")
def demo(url: str, data: Path, rate: float, minutes: float | None, once: bool, seed: int, wait_s: float) -> None:
    """
    Fill a running node with a household that watches films and series, over HTTP.

    It makes three streaming services, two makers of televisions and two people, prints what to try with curl, then has
    the people watch, and shows their lists as they change. It can be run again: the people begin anew.
    """
    console = Console(highlight=False)
    services: dict[str, str] = {}
    screen: Screen = LiveScreen(console, services) if console.is_terminal else PlainScreen(console)
    plan = Plan(url.rstrip("/"), lambda: admin_token(data), seed, rate, once, minutes, wait_s)
    asyncio.run(_until_stopped(plan, screen, services))


async def _until_stopped(plan: Plan, screen: Screen, services: dict[str, str]) -> None:
    """Run the demo until it ends, or a signal ends it."""
    task = asyncio.create_task(run(plan, screen, services))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        raise DemoError("Stopped before the lists were filled.") from None
