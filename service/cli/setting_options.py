"""A flag for every setting, for the commands that need them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from service.setting_sources import CONFIG_VARIABLE, Loaded, load_settings
from service.settings import SETTINGS, Setting


def with_settings(command: Callable[[Loaded], None]) -> Callable[..., None]:
    """Give a command the flags of all settings, and hand it the settings in force."""

    @wraps(command)
    def run(config: Path | None, **flags: str | None) -> None:
        command(load_settings(config, os.environ, flags))

    decorated: Callable[..., Any] = run
    for setting in reversed(SETTINGS):
        if setting.flag is not None:
            decorated = click.option(
                setting.flag, setting.name, metavar=setting.kind.shape, default=None, help=_help(setting)
            )(decorated)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"Read settings from this TOML file.  [{CONFIG_VARIABLE}]",
    )(decorated)


def _help(setting: Setting) -> str:
    default = "" if setting.default is None else f"  [default: {setting.default}]"
    return f"{setting.description.replace('`', '')}{default}"
