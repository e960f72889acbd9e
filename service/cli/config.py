"""`upnext config`: what is in force, and where each value comes from."""

from __future__ import annotations

import json

import click

from service.cli.setting_options import with_settings
from service.setting_sources import Loaded
from service.settings import SETTINGS, Setting, text_of

_COMMENT_COLUMN = 44


@click.command(short_help="Print the settings in force.")
@with_settings
def config(loaded: Loaded) -> None:
    """Print the settings in force, as a file that `--config` reads, with where each comes from. Secrets are masked."""
    for setting in SETTINGS:
        click.echo(line(setting, loaded))


def line(setting: Setting, loaded: Loaded) -> str:
    """Return one setting as a line of TOML; those that are not set, and secrets, are comments."""
    value = getattr(loaded.settings, setting.name)
    origin = loaded.origins[setting.name]
    if value is None:
        return f"# {setting.name} is not set"
    if setting.secret:
        return f"{f'# {setting.name} = ********':{_COMMENT_COLUMN}}# {origin}"
    text = text_of(setting, loaded.settings)
    shown = text if isinstance(value, int | float) else json.dumps(text)
    return f"{f'{setting.name} = {shown}':{_COMMENT_COLUMN}}# {origin}"
