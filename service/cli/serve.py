"""`upnext serve`: a node, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys

import click
import structlog
import uvloop
from prometheus_client import disable_created_metrics

from service import app
from service.cli.logs import set_up_logs
from service.cli.process import bugs_fatal, signals_set
from service.cli.setting_options import with_settings
from service.cli.speech import record, say
from service.setting_sources import Loaded
from service.settings import Settings
from service.stages import Tell
from streams.domain.errors import UpNextError
from streams.engine.fatal import die


@click.command(short_help="Run a node.")
@with_settings
def serve(loaded: Loaded) -> None:
    """
    Run a node: answer clients, fold the log, until SIGTERM or Ctrl-C.

    Every setting can be given as a flag, as a variable (--log-level is UPNEXT_LOG_LEVEL) or in a file. Secrets have no
    flags: UPNEXT_MASTER_KEY, UPNEXT_ADMIN_TOKEN and UPNEXT_KAFKA_SASL_PASSWORD.
    """
    run(loaded.settings)


def run(settings: Settings) -> None:
    """Run a node until it is told to stop."""
    as_json = (settings.log_format or ("text" if sys.stderr.isatty() else "json")) == "json"
    # A series for the moment at which each other one was made is of no use to anybody.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's own lack
    set_up_logs(settings.log_level, as_json=as_json, stream=sys.stderr)
    uvloop.run(_serve(settings, record if as_json else say))


async def _serve(settings: Settings, tell: Tell) -> None:
    stop = asyncio.Event()
    with signals_set(stop), bugs_fatal(die):
        try:
            await app.serve(settings, stop, tell, die)
        except UpNextError:
            # Refused, or the log was lost on the way: one line says it.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, half a node must not go on
            structlog.get_logger(__name__).exception("node_failed")
            die(f"{type(error).__name__}: {error}")
