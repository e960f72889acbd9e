"""What a forwarded call says of itself and of its caller, signed with the deployment's key."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from multidict import MultiMapping

from service.commands.keyed import Keyed
from service.http.versions.known import VERSIONS
from service.ports import Client
from streams.domain.errors import UpNextError
from streams.domain.ids import Kind

CALL, SIGNATURE = "UpNext-Call", "UpNext-Signature"
PASSED_ON = ("Content-Type", "If-None-Match", "Paket-Position")
"""The headers of a request that its answer depends on, beside its credentials."""
TOLERANCE_MS = 30_000
"""By so much two nodes' clocks may differ."""

_VERSION = "1"
_UNKEYED = "-"


class ForgedCallError(UpNextError):
    """A forwarded call is not one of another node's to this one, now, over its only hop; the message says why."""


class ForwardedCall(NamedTuple):
    """A client's request as one node hands it to another."""

    to: str
    """The name of the node that is asked."""
    method: str
    """The client's. What goes over the wire may be another one."""
    path: str
    """With its query, as the client sent it."""
    body: bytes
    client: Client
    """Who calls; the node that forwards has seen the credentials."""
    request_id: str
    headers: Sequence[tuple[str, str]] = ()
    """Those of `PASSED_ON`, in this order."""
    version: str = VERSIONS.first.name
    """The version of `/v1` that it is to be answered in."""
    of_copy: bool = False
    """Whether it is a read that nobody answers who has the partition, and a warm copy of it is to."""
    hop: int = 1
    """How often it was handed on. More than once is refused: what was forwarded is not forwarded again."""
    keyed: Keyed | None = None
    """What its ids derive from, where it has an idempotency key. An older version takes it for one without."""


def passed_on(headers: MultiMapping[str]) -> list[tuple[str, str]]:
    """Return the headers of a request that are passed on; what is not ASCII in them means nothing here or there."""
    return [(name, _ascii(value)) for name in PASSED_ON for value in headers.getall(name, ())]


def _ascii(text: str) -> str:
    return text if text.isascii() else text.encode("ascii", "replace").decode("ascii")


def signed(key: bytes, call: ForwardedCall, time_ms: int) -> list[tuple[str, str]]:
    """Return the headers that *call* is sent with at this Unix time."""
    client = call.client
    words = (
        _VERSION,
        call.to,
        str(time_ms),
        str(call.hop),
        call.method,
        call.request_id,
        client.client_id,
        client.tenant_kind.value,
        client.tenant.hex(),
        "live" if client.live else "test",
        "copy" if call.of_copy else "owner",
        call.version,
        _keyed_word(call.keyed),
    )
    about = " ".join(words)
    return [*call.headers, (CALL, about), (SIGNATURE, _signature(key, about, call.path, call.body, call.headers))]


def verified(key: bytes, headers: MultiMapping[str], path: str, body: bytes, *, to: str, time_ms: int) -> ForwardedCall:
    """
    Return the call that another node has signed.

    Args:
        key: The deployment's for forwarding.
        headers: As they came.
        path: With its query.
        body: Whole.
        to: This node's name.
        time_ms: Unix time now.

    Raises:
        ForgedCallError: It is none, or not to this node, or too old.
    """
    about, shown = headers.get(CALL, ""), headers.get(SIGNATURE, "")
    passed = passed_on(headers)
    if not hmac.compare_digest(_signature(key, about, path, body, passed).encode(), shown.encode("utf-8", "replace")):
        raise ForgedCallError("the signature is not of this deployment's key, or of another call")
    # From here on a node of this deployment has written it; it may be of another version.
    form, name, said_ms, hop, method, request_id, client_id, kind, tenant, mode, source, version, keyed, *_ = (
        about.split(" ") + [""] * 13
    )
    if form != _VERSION:
        raise ForgedCallError(f"calls of version {form!r} are not known here")
    if name != to:
        raise ForgedCallError("the call is for another node")
    if hop != "1":
        raise ForgedCallError("the call has been forwarded before")
    try:
        age_ms = time_ms - int(said_ms)
        client = Client(client_id, Kind(kind), bytes.fromhex(tenant), live=mode == "live")
        read_keyed = _keyed(keyed)
    except ValueError as error:
        raise ForgedCallError("the call cannot be read") from error
    if abs(age_ms) > TOLERANCE_MS:
        raise ForgedCallError("the call is too old, or the nodes' clocks differ by more than 30 s")
    return ForwardedCall(
        to,
        method,
        path,
        body,
        client,
        request_id,
        passed,
        version or VERSIONS.first.name,
        of_copy=source == "copy",
        keyed=read_keyed,
    )


def _keyed_word(keyed: Keyed | None) -> str:
    return _UNKEYED if keyed is None else ".".join((keyed.key.encode().hex(), keyed.seed.hex(), keyed.stem.hex()))


def _keyed(word: str) -> Keyed | None:
    if word in {"", _UNKEYED}:
        return None
    key, seed, stem = map(bytes.fromhex, word.split("."))
    return Keyed(key.decode(), seed, stem)


def _signature(key: bytes, about: str, path: str, body: bytes, headers: Sequence[tuple[str, str]]) -> str:
    lines = [about, path, sha256(body).hexdigest(), *(f"{name}: {value}" for name, value in headers)]
    return hmac.digest(key, "\n".join(lines).encode("utf-8", "surrogateescape"), "sha256").hex()
