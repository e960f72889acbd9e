"""`upnext rebuild`: the next version of the views, built beside the live one, and switched to."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click

from service.cli.compare import compare_versions
from service.cli.node_calls import NodeError
from service.cli.node_options import admin_token, data_option
from service.cli.output import print_table
from service.cli.rebuild_shown import bar, row
from service.cli.serve import run
from service.cli.setting_options import with_settings
from service.setting_kinds import Role
from service.setting_sources import Loaded
from streams.domain.view_versions import view_name

Command = TypeVar("Command", bound=Callable[..., Any])

_LIMIT_S = 60.0
_EVERY_S = 1.0
_HEAD = ("VIEW", "STAGE", "SINCE", "EVENTS", "LAG", "SERVED", "RATE", "LEFT")
_URL, _LIMIT = "service.cli.rebuild.url", "service.cli.rebuild.limit"


@click.group(short_help="Build the next version of the views beside the live one, and switch to it.")
def rebuild() -> None:
    """
    Build the next version of the views beside the live one, and switch to it.

    --url is the internal listener of any node. What changes something needs the super user's token.
    """


def _kept(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        context.meta[name] = value

    return keep


def _with_url(command: Command) -> Command:
    return click.option(
        "--url", default="http://127.0.0.1:8081", show_default=True, help="Where the internal listener of any node is."
    )(command)


@rebuild.command(short_help="Begin, or go on; on Kafka, run a node that does it.")
@click.option(
    "--url",
    default="http://127.0.0.1:8081",
    show_default=True,
    expose_value=False,
    callback=_kept(_URL),
    help="Where the internal listener of a node that runs is.",
)
@click.option(
    "--max-events-per-second",
    type=click.IntRange(0),
    default=0,
    expose_value=False,
    callback=_kept(_LIMIT),
    help="How fast each node may fold it; 0: as fast as it can, while the live version keeps up.",
)
@with_settings
def start(loaded: Loaded) -> None:
    """
    Fold the next version of the views from the first event on, beside the live one, which goes on.

    Where one is being built already, it goes on, at the rate that is given now. On the embedded log the node does it
    that has the log. With --kafka this command then is a node that folds the new version and nothing else, in the
    directory --data, until it is told to stop; started again, it goes on. Start as many as it takes.
    """
    meta, settings = click.get_current_context().meta, loaded.settings
    token = admin_token(settings.data)
    done = asyncio.run(_post(meta[_URL], token, "start", maxEventsPerSecond=meta[_LIMIT]))
    view = done["view"]
    click.echo(f"{view} is built beside the live version: `upnext rebuild status --watch` shows how far it is.")
    if settings.kafka is not None:
        run(dataclasses.replace(settings, view=view, roles=frozenset({Role.STREAMS})))


@rebuild.command(short_help="Say how far it is.")
@click.option("--watch", is_flag=True, help="Go on until it has caught up.")
@click.option("--json", "as_json", is_flag=True, help="Print what the node says, as JSON.")
@_with_url
def status(watch: bool, as_json: bool, url: str) -> None:
    """Say of each version how many events it has folded, how fast, and how far it is behind."""
    if as_json and not watch:
        click.echo(json.dumps(asyncio.run(_get(url)), indent=2))
        return
    asyncio.run(_watched(url, as_json=as_json) if watch else _shown(url))


async def _shown(url: str) -> None:
    before, began = await _get(url), time.monotonic()
    await asyncio.sleep(_EVERY_S)
    now, after_s = await _get(url), time.monotonic() - began
    was = {view["name"]: view for view in before["views"]}
    print_table(_HEAD, [row(view, was.get(view["name"]), after_s) for view in now["views"]])
    for view in now["views"]:
        for place in view["waitsFor"]:
            click.echo(f"{view['name']} waits for a decision about {place}: `upnext dead-letters show {place}`")


async def _watched(url: str, *, as_json: bool) -> None:
    first: dict[str, Any] | None = None
    began = time.monotonic()
    while True:
        said = await _get(url)
        view = next((one for one in said["views"] if one["stage"] == "building"), None)
        if view is None:
            raise NodeError("No version of the views is being built: `upnext rebuild start` begins one.")
        first = first or view
        line = json.dumps(view) if as_json else bar(view, first, time.monotonic() - began)
        in_place = not as_json and click.get_text_stream("stdout").isatty()
        click.echo(f"\r\x1b[K{line}" if in_place else line, nl=not in_place)
        if view["isWhole"] and view["lag"] == 0:
            words = f"{view['name']} has caught up: `upnext rebuild switch` has clients read it."
            click.echo(f"\n{words}" if in_place else words, err=as_json)
            return
        await asyncio.sleep(_EVERY_S)


@rebuild.command(short_help="Have the new version read.")
@_with_url
@data_option
def switch(url: str, data: Path) -> None:
    """
    Have clients read the version that was built, or was left by `rollback`, which is the way back. Nothing fails.

    Refused unless it has folded all that there was, is served whole, and has caught up. Compare it first.
    """
    done = asyncio.run(_post(url, admin_token(data), "switch"))
    click.echo(f"{done['view']} is live. The version before is kept: `upnext rebuild rollback` goes back to it.")


@rebuild.command(short_help="Compare its lists with those of the live version.")
@click.option("--view", metavar="NAME", help="The version to compare; the one that is built, or was read before.")
@click.option(
    "--rate", type=click.FloatRange(0.1), default=500.0, show_default=True, help="Lists of each a second, at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole of it, as JSON.")
@_with_url
@data_option
def compare(view: str | None, rate: float, as_json: bool, url: str, data: Path) -> None:
    """
    Compare every list of the live version with that of another one, while writes and reads go on.

    The digests of contexts, and who is attached to sessions, are compared as of the same offsets of their events; what
    a session has of a context, with that context as of the same event. What differs is printed with its items and the
    events that made them, and the exit status is 1.
    """
    said = asyncio.run(_get(url))["views"]
    live = next(one["name"] for one in said if one["stage"] == "live")
    compare_versions(url, data, (live, _beside(said, view)), rate=rate, as_json=as_json)


def _beside(said: Sequence[Mapping[str, Any]], view: str | None) -> str:
    """Return the version to compare with the live one; raise `NodeError` where there is none, or it is not whole."""
    name = None if view is None else view_name(view) or view
    # Of several that were read before, the last one.
    others = sorted((one for one in said if one["stage"] != "live"), key=lambda one: one["since"] or "")
    found = [one for one in others if name in (None, one["name"])]
    building = [one for one in found if one["stage"] == "building"]
    if not found:
        raise NodeError("There is no such version beside the live one: `upnext rebuild start` begins the next one.")
    chosen = (building or found)[-1]
    if not chosen["isWhole"] or chosen["unserved"]:
        raise NodeError(f"{chosen['name']} is not folded yet, or not served whole: see `upnext rebuild status`.")
    return str(chosen["name"])


@rebuild.command(short_help="Have the version read that was live before.")
@_with_url
@data_option
def rollback(url: str, data: Path) -> None:
    """Have clients read the version that was live before, which is kept and folded until it is dropped."""
    done = asyncio.run(_post(url, admin_token(data), "rollback"))
    click.echo(f"{done['view']} is live again.")


@rebuild.command(short_help="Remove a version that is not live.")
@click.argument("view")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_url
@data_option
def drop(view: str, yes: bool, url: str, data: Path) -> None:
    """
    Remove a version of the views, as upnext-v1: its topics, its group, its stores. Never the live one.

    Stop the nodes that fold it, or start them without --view, first. Each node removes its own stores at its start.
    """
    if not yes:
        click.confirm(f"The topics and tables of {view} are removed for good. Go on?", abort=True)
    asyncio.run(_post(url, admin_token(data), "drop", view=view))
    click.echo(f"{view} is gone.")


async def _get(url: str) -> Any:
    return await _call("GET", url, "", None, None)


async def _post(url: str, token: str, action: str, **asked: object) -> Any:
    return await _call("POST", url, f"/{action}", asked, token)


async def _call(method: str, url: str, path: str, asked: object, token: str | None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    at = f"{url.rstrip('/')}/views{path}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_LIMIT_S)) as http,
            http.request(method, at, json=asked, headers=headers) as answer,
        ):
            said = await answer.json()
            if answer.status != 200:
                raise NodeError(f"{said['error']} ({answer.status})")
            return said
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
        raise NodeError(f"No node answers at {url} ({error!r}): give its internal listener with --url.") from error
