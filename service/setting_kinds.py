"""What a setting can be: how its text is read, what it must be like, and how it is written."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from streams.domain.view_versions import view_name

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_INTEGER = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\s:\[\]/,]+):(?P<port>[0-9]{1,5})")
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"[\x21-\x7e]{16,512}")
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, never a default


class Role(enum.Enum):
    """What a node does."""

    API = "api"
    STREAMS = "streams"


class Address(NamedTuple):
    """Where a listener listens."""

    host: str
    port: int
    """0: a free one."""

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Say whether this is every address of the machine, which says to nobody where it is."""
        return self.host in _WILDCARDS


@dataclass(frozen=True)
class SettingKind(Generic[T]):
    """A kind of settings."""

    shape: str
    """What stands for a value in a usage line."""
    must_be: str
    """Ends the sentence "… must be …"."""
    read: Callable[[str], T | None]
    """Returns the value of a text, None where it is none."""
    write: Callable[[T], str] = str


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda text: text if pattern.fullmatch(text) else None


def read_address(text: str) -> Address | None:
    """Return the address that `HOST:PORT` or `[IPV6]:PORT` names, None where it names none."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        return None
    return Address(found["host"].strip("[]"), int(found["port"]))


def _servers(text: str) -> str | None:
    servers = [read_address(server.strip()) for server in text.split(",")]
    return ",".join(map(str, servers)) if all(server is not None and server.port for server in servers) else None


def _roles(text: str) -> frozenset[Role] | None:
    try:
        return frozenset(Role(role.strip()) for role in text.split(","))
    except ValueError:
        return None


def _url(text: str) -> str | None:
    try:
        url = urlsplit(text)
        there = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return text.rstrip("/") if there and not url.query and not url.fragment and url.path in {"", "/"} else None


def _networks(text: str) -> tuple[Network, ...] | None:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        return None


def integer(low: int, high: int) -> SettingKind[int]:
    """Return the kind of the integers from *low* to *high*."""

    def read(text: str) -> int | None:
        return int(text) if _INTEGER.fullmatch(text) and low <= int(text) <= high else None

    return SettingKind("N", f"an integer from {low} to {high}", read)


def seconds(low: float, high: float) -> SettingKind[float]:
    """Return the kind of the numbers of seconds from *low* to *high*."""

    def read(text: str) -> float | None:
        return float(text) if _NUMBER.fullmatch(text) and low <= float(text) <= high else None

    return SettingKind("SECONDS", f"a number from {low:g} to {high:g}", read, lambda value: f"{value:g}")


def one_of(*choices: str) -> SettingKind[str]:
    """Return the kind of these words, whatever their case."""
    by_text = {choice.casefold(): choice for choice in choices}
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return SettingKind("|".join(choices), listed, lambda text: by_text.get(text.casefold()))


DIRECTORY = SettingKind[Path]("DIR", "a directory", Path)
FILE = SettingKind[str]("FILE", "a file", str)
TEXT = SettingKind[str]("TEXT", "a text", str)
ADDRESS = SettingKind[Address]("HOST:PORT", "HOST:PORT, as 127.0.0.1:8080 or [::1]:8080", read_address)
SERVERS = SettingKind[str]("HOST:PORT,…", "HOST:PORT, several separated by commas", _servers)
URL = SettingKind[str]("URL", "an http or https URL without a path", _url)
ROLES = SettingKind[frozenset[Role]](
    "ROLES",
    "api, streams, or both separated by a comma",
    _roles,
    lambda roles: ",".join(sorted(r.value for r in roles)),
)
VIEW = SettingKind[str]("VIEW", "a version of the views, as upnext-v2 or v2", view_name)
NETWORKS = SettingKind[tuple[Network, ...]](
    "NETWORK,…",
    "addresses or networks in CIDR notation, several separated by commas",
    _networks,
    lambda networks: ",".join(map(str, networks)),
)
FLAG = SettingKind[bool](
    "true|false",
    "true or false",
    lambda text: {"true": True, "false": False}.get(text.casefold()),
    lambda is_on: str(is_on).lower(),
)
MASTER_KEY = SettingKind[str]("KEY", "64 hexadecimal digits: make one with `openssl rand -hex 32`", _matching(_KEY))
TOKEN = SettingKind[str](
    "TOKEN", "16 to 512 visible ASCII characters: make one with `openssl rand -hex 32`", _matching(_TOKEN)
)
