"""The console script `upnext`: one file per command."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from streams.domain.errors import UpNextError

COMMANDS = (
    "apply",
    "audit",
    "config",
    "context",
    "dead-letters",
    "demo",
    "erase",
    "explain",
    "get",
    "history",
    "log",
    "nodes",
    "past",
    "rebuild",
    "serve",
    "session",
    "tables",
    "topics",
    "users",
    "webhooks",
)


class Refused(click.ClickException):
    """A command that ends with one line, which says what to do."""

    def show(self, file: Any = None) -> None:
        """Print the line as the last one on standard error."""
        click.echo(f"upnext: {' '.join(self.message.split())}", file=file, err=True)


class Program(click.Group):
    """The commands, each imported when it is asked for: `upnext --version` need not wait for Kafka's client."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Return a command, None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"service.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises on purpose is one line and exit status 1."""
        try:
            return super().invoke(ctx)
        except UpNextError as error:
            raise Refused(str(error)) from error


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="upnext", message="upnext %(version)s")
def main() -> None:
    """Run the service behind the continue-watching row of every TV."""
