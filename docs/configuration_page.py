"""`configuration.md`: every setting."""

from __future__ import annotations

from collections.abc import Iterator

from service.setting_sources import CONFIG_VARIABLE, TEST_PREFIX
from service.settings import SETTINGS, Setting

_INTRODUCTION = f"""# Configuration

Generated from the code by `make docs`: a test compares them.

A setting comes from its flag, else from its variable, else from the file that `--config` or `{CONFIG_VARIABLE}`
names, else it has its default. Variables that are empty count as not there. The file is TOML, one key for each
setting, no tables. With a key or an `UPNEXT_…` variable that is no setting (`{TEST_PREFIX}…` aside), or a value that is
none, nothing starts; all that is wrong is named at once. Secrets have no flags, for every user of a machine sees a
process's flags.

`upnext config`, with the same flags, variables and file, prints what is in force and where each value comes from.
"""


def configuration_page() -> str:
    """Return the page."""
    of_kafka = [setting for setting in SETTINGS if setting.name.startswith("kafka_")]
    of_media = [setting for setting in SETTINGS if setting.name.startswith("media_")]
    others = [setting for setting in SETTINGS if setting not in (*of_kafka, *of_media)]
    tables = (("The node", others), ("Where the files of apps are kept", of_media), ("How Kafka is reached", of_kafka))
    return "\n".join([_INTRODUCTION, *(line for title, settings in tables for line in _table(title, settings))])


def _table(title: str, settings: list[Setting]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| key | flag | variable | default | must be | what it is |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for setting in settings:
        flag = "a secret" if setting.flag is None else f"`{setting.flag}`"
        default = "none" if setting.default is None else f"`{setting.default}`"
        cells = (f"`{setting.name}`", flag, f"`{setting.variable}`", default, setting.kind.must_be, setting.description)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""
