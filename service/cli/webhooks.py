"""`upnext webhooks`: what is sent to publishers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
from aiohttp import web

from service.cli.node_calls import NodeError
from service.cli.node_options import token_in
from service.cli.output import printable
from service.cli.process import signals_set
from service.cli.webhooks_deliveries import deliveries, resend, show
from service.listeners import bound, where
from service.setting_kinds import Address, read_address
from service.webhooks.listener import Received, Receiver
from service.webhooks.signing import is_secret
from streams.domain.times import iso_ms

_STOP_LIMIT_S = 1.0


@click.group(short_help="Look at what is sent to webhook endpoints, send it again, or receive it here.")
def webhooks() -> None:
    """Look at what is sent to webhook endpoints, send it again, or receive it on this machine."""


for _command in (deliveries, show, resend):
    webhooks.add_command(_command)


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> Address:
    address = read_address(text)
    if address is None:
        raise click.BadParameter(f"{text!r} is not HOST:PORT.")
    return address


@webhooks.command(short_help="Receive events, verify them, and show them.")
@click.option(
    "--listen",
    "address",
    default="127.0.0.1:9000",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Where; port 0 is a free one.",
)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Read the endpoint's secret, whsec_…, from this file.",
)
@click.option(
    "--status", type=click.IntRange(200, 599), default=200, show_default=True, help="Answer what is good with this."
)
@click.option("--delay", "delay_s", type=click.FloatRange(0), default=0.0, help="Answer after so many seconds.")
@click.option("--body", "with_body", is_flag=True, help="Show the whole events too.")
def listen(address: Address, secret_file: Path, status: int, delay_s: float, with_body: bool) -> None:
    """
    Receive events at any path, verify both signatures, and print a line for each, until Ctrl-C.

    The line has when it came, the event's id, type and time, and "good", or what is wrong with it; then it is answered
    400. --status and --delay are for trying what a sender makes of it: 500, 410, 429, or no answer in time.
    """

    def tell(received: Received) -> None:
        created = "-" if received.created_ms is None else iso_ms(received.created_ms)
        now = iso_ms(time.time_ns() // 1_000_000)
        verdict = "good" if received.fault is None else f"bad: {received.fault}"
        click.echo(printable(f"{now}  {received.event_id or '-'}  {received.event_type or '-'}  {created}  {verdict}"))
        if with_body:
            click.echo(printable(received.body.decode(errors="replace")))

    receiver = Receiver(_secret(secret_file), tell, status, delay_s)
    asyncio.run(_receive(receiver, address))


async def _receive(receiver: Receiver, address: Address) -> None:
    stop = asyncio.Event()
    with bound(address, "listen") as sockets, signals_set(stop):
        runner = web.AppRunner(receiver.app(), access_log=None, shutdown_timeout=_STOP_LIMIT_S)
        await runner.setup()
        try:
            for each in sockets:
                await web.SockSite(runner, each).start()
            click.echo(f"Receiving at http://{where(sockets)}/. Ctrl-C ends it.", err=True)
            await stop.wait()
        finally:
            await runner.cleanup()


def _secret(file: Path) -> str:
    otherwise = "it was shown when the endpoint was made, or its secret rolled"
    secret = token_in(file, "endpoint's secret", otherwise)
    if not is_secret(secret):
        raise NodeError(f"There is no endpoint's secret in {file}: {otherwise}.")
    return secret
