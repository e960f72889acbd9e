"""
Signatures in the form that nearly all have, verified in a twentieth of the time that the library takes for any form.

What is not certain to be good is left to the library: nothing is refused here.

Source:
    RFC 9421, 2.5 (the signature base) and 3.2.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

from multidict import MultiMapping, istr

from service.macs import Mac

INPUT, SIGNATURE, DIGEST = istr("Signature-Input"), istr("Signature"), istr("Content-Digest")
TOLERANCE_S = 300
"""By so much what a client says of the time may differ from the node's clock."""

# Only what is written as it would be written again, so that the text itself is what was signed.
_INPUT = re.compile(
    r'([a-z*][a-z0-9_.*-]*)=(\(("[a-z@-]+"(?: "[a-z@-]+")*)\)((?:;[a-z]+=(?:0|[1-9][0-9]{0,14}|"[ !#-\[\]-~]*"))+))'
)
_PARAMETER = re.compile(r';([a-z]+)=(?:([0-9]+)|"([^"]*)")')
_URL = re.compile(
    r"https?://([a-z0-9.-]+(?::[1-9][0-9]{0,4})?)"
    r"(/[A-Za-z0-9._~/-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~/-]*)*)"
    r"(\?[A-Za-z0-9._~=&-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~=&-]*)*)?"
)
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
_ALGORITHM = "hmac-sha256"
_DEFAULT_PORTS = (":80", ":443")
_INTEGERS, _STRINGS = frozenset({"created", "expires"}), frozenset({"keyid", "alg", "nonce", "tag"})


class Message(NamedTuple):
    """A request as its client has signed it."""

    method: str
    url: str
    """Absolute, with its query."""
    headers: MultiMapping[str]
    body: bytes


_DIGEST = '"content-digest"'
_COMPONENTS = ('"@method"', '"@target-uri"', '"@authority"', '"@path"', '"@query"', _DIGEST)
"""In the order in which `_values` has them."""


class _Covered(NamedTuple):
    """Which components are signed, as clients name them, who hardly ever name others than the last time."""

    names: frozenset[str]
    template: str
    """What was signed, with `%s` where a value goes, and the parameters in the end."""
    places: tuple[int, ...]
    """Which of `_COMPONENTS` go there."""


class Signed(NamedTuple):
    """What a good signature says."""

    covered: Collection[str]
    """Names of components in quotation marks."""
    created_s: int
    nonce: str | None


def is_now(created_s: int | None, expires_s: int | None, now_s: int) -> bool:
    """Say whether a signature with these parameters is of this time."""
    if created_s is None or abs(now_s - created_s) > TOLERANCE_S:
        return False
    return expires_s is None or expires_s >= now_s


def read_plain(message: Message, client_id: str, mac: Mac, now_s: int) -> Signed | None:
    """Return what the signature of *message* says; None where it is not plain, or not good."""
    inputs, signatures = message.headers.getall(INPUT, []), message.headers.getall(SIGNATURE, [])
    said = _INPUT.fullmatch(inputs[0]) if len(inputs) == 1 and len(signatures) == 1 else None
    if said is None:
        return None
    label, signed, components, rest = said.groups()
    covered, parameters = _covered(components), _parameters(rest)
    if covered is None or parameters is None or parameters.get("keyid") != client_id:
        return None
    created_s, expires_s = _integer(parameters.get("created")), _integer(parameters.get("expires"))
    base = _base(message, covered, signed)
    if base is None or created_s is None or not is_now(created_s, expires_s, now_s):
        return None
    expected = binascii.b2a_base64(mac.of(base), newline=False).decode("ascii")
    if not (signatures[0].isascii() and compare_digest(f"{label}=:{expected}:", signatures[0])):
        return None
    return Signed(covered.names, created_s, parameters.get("nonce"))


@lru_cache(maxsize=256)
def _covered(components: str) -> _Covered | None:
    """Return which they are; None where one is there twice, or is not plain."""
    names = components.split(" ")
    if len(set(names)) != len(names) or not set(names).issubset(_COMPONENTS):
        return None
    template = "".join(f"{name}: %s\n" for name in names) + '"@signature-params": %s'
    return _Covered(frozenset(names), template, tuple(map(_COMPONENTS.index, names)))


def _parameters(text: str) -> Mapping[str, str] | None:
    """Return the parameters by name; None where one is there twice, is of another kind, or is not known."""
    found = {}
    for name, integer, string in _PARAMETER.findall(text):
        if name in found or name not in (_INTEGERS if integer else _STRINGS):
            return None
        found[name] = integer or string
    return found if found.get("alg", _ALGORITHM) == _ALGORITHM else None


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _base(message: Message, covered: _Covered, signed: str) -> bytes | None:
    """Return what was signed; None where a component is not plain or not there, or the body is not covered."""
    values = _values(message)
    if values is None or (values[-1] is None) == (_DIGEST in covered.names):
        return None
    return (covered.template % (*[values[place] for place in covered.places], signed)).encode("ascii")


def _values(message: Message) -> tuple[str | None, ...] | None:
    """Return those of `_COMPONENTS`: the last one is None where there is no body."""
    url = _URL.fullmatch(message.url)
    if url is None or url[1].endswith(_DEFAULT_PORTS) or message.method not in _METHODS:
        return None
    digest = None
    if message.body or DIGEST in message.headers:
        digest = f"sha-256=:{binascii.b2a_base64(sha256(message.body).digest(), newline=False).decode('ascii')}:"
        if message.headers.getall(DIGEST, ()) != [digest]:
            return None
    return message.method, message.url, url[1], url[2], url[3] or "?", digest
