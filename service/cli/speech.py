"""What `upnext serve` says of how far it is: sentences for people, or events for whoever collects logs."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, assert_never

import click
import structlog

from service.stages import Listening, Ready, Recovering, Stage, Starting, Stopped, Stopping


def say(stage: Stage) -> None:
    """Print a stage for people."""
    click.echo(sentence(stage))


def sentence(stage: Stage) -> str:
    """Return what people are told of a stage."""
    match stage:
        case Starting():
            return _introduction(stage)
        case Listening(url=url):
            return f"  API          {url}  (what it can do: {url}/openapi.json)"
        case Recovering(awaited=awaited, rows=rows):
            return f"waiting for {'; '.join(awaited)}{f' ({rows:,} rows so far)' if rows else ''}"
        case Ready(after_s=after_s):
            return f"ready, {after_s:.1f} s after the start. Ctrl-C stops it."
        case Stopping():
            return "stopping: requests under way finish"
        case Stopped():
            return "stopped"
        case _:
            assert_never(stage)


def _introduction(stage: Starting) -> str:
    log = "embedded log" if stage.log == "embedded" else f"Kafka at {stage.log}"
    token = stage.token_file or "as given"
    return "\n".join(
        (
            f"UpNext {version('upnext')}: {log}, {stage.partitions} partitions",
            f"  data         {stage.data}",
            f"  admin token  {token}",
            f"  health       {stage.internal_url}/health/ready  (and /metrics)",
        )
    )


def record(stage: Stage) -> None:
    """Log a stage, as the event that bears its name."""
    fields: dict[str, Any] = stage._asdict()
    structlog.get_logger("upnext").info(f"node_{type(stage).__name__.lower()}", **fields)
