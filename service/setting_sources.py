"""Where settings come from: a TOML file, `UPNEXT_*` variables and flags, the later ones before the earlier ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from service.settings import PREFIX, SETTINGS, Setting, Settings
from streams.domain.errors import RefusedStartError

CONFIG_VARIABLE = "UPNEXT_CONFIG"
"""Names the file where no flag does."""
TEST_PREFIX = "UPNEXT_TEST_"
"""Variables of the tests, which no node heeds."""
DEFAULT = "default"

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


class SettingsError(RefusedStartError):
    """Settings that a node must not start with: a sentence for each that is broken."""

    def __init__(self, faults: Iterable[str]) -> None:
        """Take the sentences."""
        self.faults = tuple(faults)
        super().__init__(" ".join(self.faults))


class Given(NamedTuple):
    """A setting's text, and where it stands."""

    text: str
    origin: str
    """As a person would name it: `--kafka`, `UPNEXT_KAFKA`, `kafka in upnext.toml`."""


class Loaded(NamedTuple):
    """The settings in force."""

    settings: Settings
    origins: Mapping[str, str]
    """Where each comes from; `default` where nobody gave it."""


def load_settings(config: Path | None, environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Loaded:
    """
    Return the settings in force.

    Args:
        config: The TOML file, if there is one; else the variable `UPNEXT_CONFIG` may name it.
        environ: Variables; those that are empty count as not there.
        flags: Name of the setting → what its flag says, None where it was not given.

    Raises:
        SettingsError: Something is unknown or broken; the message names all of it.
    """
    faults: list[str] = []
    given: dict[str, Given] = {}
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    if config is not None:
        given |= _from_file(config, faults)
    given |= _from_variables(environ, faults)
    given |= {name: Given(text, str(_BY_NAME[name].flag)) for name, text in flags.items() if text is not None}
    values = {name: value for name, (text, origin) in given.items() for value in _read(name, text, origin, faults)}
    origins = {setting.name: given[setting.name].origin if setting.name in given else DEFAULT for setting in SETTINGS}
    settings = Settings(**values)
    settings = replace(settings, partitions=settings.partition_count)
    if not faults:
        faults += _contradictions(settings, origins)
    if faults:
        raise SettingsError(faults)
    return Loaded(settings, origins)


def _from_file(path: Path, faults: list[str]) -> dict[str, Given]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"The file {path} cannot be read ({error.strerror}): give another."]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"The file {path} is not TOML: {error}."]) from error
    given = {}
    for key, value in table.items():
        origin = f"{key} in {path}"
        text = _text(value)
        if key not in _BY_NAME:
            faults.append(_unknown(origin, key, _BY_NAME))
        elif text is None:
            faults.append(f"{origin} must be {_BY_NAME[key].kind.must_be}.")
        else:
            given[key] = Given(text, origin)
    return given


def _text(value: Any) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(part, str) for part in value):
            return ",".join(value)
        case _:
            return None


def _from_variables(environ: Mapping[str, str], faults: list[str]) -> dict[str, Given]:
    given = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable.startswith(TEST_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in _BY_VARIABLE:
            faults.append(_unknown(variable, variable, _BY_VARIABLE))
        elif text:
            given[_BY_VARIABLE[variable].name] = Given(text, variable)
    return given


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f"{what} is no setting{f' (did you mean {close[0]}?)' if close else ''}: remove it."


def _read(name: str, text: str, origin: str, faults: list[str]) -> Iterator[Any]:
    """Yield the value, or nothing where it is broken, which is then among the faults."""
    setting = _BY_NAME[name]
    value = setting.kind.read(text) if text else None
    if value is None:
        faults.append(_broken(setting, text, origin))
    else:
        yield value


def _broken(setting: Setting, text: str, origin: str) -> str:
    shown = "" if setting.secret else f", not {text[:80]!r}"
    return f"{origin} must be {setting.kind.must_be}{shown}."


def _contradictions(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each setting that does not go with another."""
    usual = Settings()
    # What says what is so anyway contradicts nothing: `upnext config` prints every setting.
    given = {name: origins[name] for name in origins if getattr(settings, name) != getattr(usual, name)}
    if settings.kafka is None:
        if not (settings.answers and settings.folds):
            yield f"{origins['roles']} must be api,streams on the embedded log, which one process uses: give kafka."
        of_kafka = [given[name] for name in given if name.startswith("kafka_")]
        if of_kafka:
            yield f"{', '.join(of_kafka)} says how to reach Kafka, and nothing says where: give kafka."
    elif settings.internal.is_wildcard and settings.internal_url is None:
        yield f"{origins['internal']} is every address of this machine: say in internal_url which one nodes should use."
    if settings.answers and settings.listen == settings.internal and settings.listen.port:
        yield f"listen and internal are both {settings.listen}: give one of them another port."
    yield from _kafka_contradictions(settings, given)


def _kafka_contradictions(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    protocol = settings.kafka_security_protocol
    logs_in, encrypts = protocol.startswith("SASL_"), protocol.endswith("SSL")
    if logs_in and not (settings.kafka_sasl_username and settings.kafka_sasl_password):
        yield f"{protocol} needs both kafka_sasl_username and kafka_sasl_password."
    # Taken without a word, these would leave a connection open that somebody believes is guarded.
    unused = [given[n] for n in given if n.startswith("kafka_sasl_") and not logs_in]
    unused += [given[n] for n in given if n.startswith("kafka_tls_") and not encrypts]
    if unused:
        yield f"{', '.join(unused)} is of no use with {protocol}: give another kafka_security_protocol."
    if settings.kafka_tls_key and not settings.kafka_tls_certificate:
        yield f"{given['kafka_tls_key']} needs kafka_tls_certificate."
