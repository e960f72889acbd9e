"""The short way to verify signatures lets in nothing that the library does not."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from service.http.problems import SignatureError
from service.http.signatures_messages import read_any
from service.http.signatures_plain import Message, Signed, read_plain
from service.macs import Mac
from tests.support.signing import over_message

CLIENT_ID, SECRET = "00000000000000cc", "sk_signs"
MAC = Mac(SECRET.encode())
NOW_S = 1_700_000_000
URL = "http://api.example:8080/v1/sessions/upnext/SN1?limit=50&next_key=0"

COMPONENTS = ("@method", "@target-uri", "@authority", "@path", "@query")


def signed_message(method: str, url: str, body: bytes, covers: Sequence[str], nonce: str | None, label: str) -> Message:
    made = over_message(
        CLIENT_ID,
        SECRET,
        method,
        url,
        body,
        covers=covers,
        nonce=nonce,
        label=label,
        created_s=NOW_S,
        include_alg=False,
    )
    return Message(method, url, CIMultiDict(made), body)


def plainly(message: Message, now_s: int = NOW_S) -> Signed | None:
    return read_plain(message, CLIENT_ID, MAC, now_s)


def by_the_library(message: Message, now_s: int = NOW_S) -> Signed | None:
    with suppress(SignatureError):
        return read_any(message, CLIENT_ID, MAC, now_s)
    return None


messages = st.builds(
    signed_message,
    st.sampled_from(["GET", "PUT", "HEAD"]),
    st.sampled_from([URL, "https://api.example/v1/contexts", "http://127.0.0.1:1/v1/x/a%2Fb", "http://h/v1?"]),
    st.sampled_from([b"", b"{}", b'{"a":1}']),
    st.permutations(COMPONENTS).flatmap(lambda names: st.integers(1, 5).map(lambda count: names[:count])),
    st.none() | st.text("abc XYZ!~", min_size=1, max_size=8),
    st.sampled_from(["a", "sig1", "x-y_z.w*"]),
)


def agree(message: Message, now_s: int = NOW_S) -> Signed | None:
    """Check that what is let in plainly is what the library says of it, which always says something; return it."""
    plain, library = plainly(message, now_s), by_the_library(message, now_s)
    if plain is not None:
        assert library is not None
        assert (plain.created_s, plain.nonce) == (library.created_s, library.nonce)
        assert {*plain.covered, '"@signature-params"'} == {*library.covered}
    return plain


@given(message=messages)
def test_plain_signatures_are_known_plainly(message: Message) -> None:
    """Whatever of the usual is covered, in whatever order; and they say what the library says."""
    assert agree(message) is not None
    assert plainly(message, NOW_S + 301) is None


@pytest.mark.long
@given(message=messages, data=st.data())
def test_what_is_altered(message: Message, data: st.DataObject) -> None:
    """Where a character anywhere is another one, or gone, or there twice, the library has the word."""
    part = data.draw(st.sampled_from(["Signature-Input", "Signature", "Content-Digest", "url", "method", "body"]))
    if part == "url":
        message = message._replace(url=altered(message.url, data))
    elif part == "method":
        message = message._replace(method=altered(message.method, data))
    elif part == "body":
        message = message._replace(body=altered(message.body.decode(), data).encode())
    else:
        headers = CIMultiDict(message.headers)
        value = altered(headers.get(part, ""), data)
        headers[part] = value
        if data.draw(st.booleans()):
            headers.add(part, value)
        message = message._replace(headers=headers)
    agree(message)


def altered(text: str, data: st.DataObject) -> str:
    at: int = data.draw(st.integers(0, len(text)))
    to: str = data.draw(st.sampled_from(["", *'"=;:() ,@-?/%0aZé\t\\']))
    gone: int = data.draw(st.integers(0, 1))
    return text[:at] + to + text[at + gone :]


@pytest.mark.parametrize(
    ("covers", "parameters"),
    [
        ('("@method" "@target-uri")', f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method" "@target-uri")', f';keyid="{CLIENT_ID}";created={NOW_S};alg="hmac-sha256";tag="t"'),
        ('("@method" "@method")', f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method" "host")', f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ('( "@method")', f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method";sf)', f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ("()", f';created={NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method")', f';created={NOW_S};created={NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method")', f';created=0{NOW_S};keyid="{CLIENT_ID}"'),
        ('("@method")', f';created="{NOW_S}";keyid="{CLIENT_ID}"'),
        ('("@method")', f';created={NOW_S};keyid="{CLIENT_ID}";more="x"'),
        ('("@method")', f';created={NOW_S};keyid="{CLIENT_ID}";nonce=1'),
        ('("@method")', f';created={NOW_S};keyid="other"'),
        ('("@method")', f';created={NOW_S};keyid="{CLIENT_ID}";alg="rsa-v1_5-sha256"'),
        ('("@method")', f';created={NOW_S};keyid="{CLIENT_ID}";expires={NOW_S - 1}'),
        ('("@method")', f';keyid="{CLIENT_ID}"'),
    ],
)
def test_with_a_good_mac(covers: str, parameters: str) -> None:
    """Also where somebody who has the secret signs what is not to be signed so."""
    values = {'"@method"': "GET", '"@target-uri"': URL, '"host"': "api.example:8080"}
    names = [name for name in covers.strip("()").strip().split(" ") if name]
    lines = [f"{name}: {values.get(name.partition(';')[0], '')}" for name in names]
    agree(Message("GET", URL, with_mac(lines, covers + parameters), b""))


def with_mac(lines: Sequence[str], said: str) -> CIMultiDict[str]:
    """Return the headers of a request that is signed so by whoever has the secret."""
    base = "\n".join([*lines, f'"@signature-params": {said}'])
    mac = base64.b64encode(hmac.digest(SECRET.encode(), base.encode(), "sha256")).decode()
    return CIMultiDict({"Signature-Input": f"s={said}", "Signature": f"s=:{mac}:", "Host": "api.example:8080"})


@pytest.mark.parametrize(
    ("method", "url", "authority"),
    [
        ("get", "http://api.example/v1", "api.example"),
        ("GET", "http://api.example:80/v1", "api.example:80"),
        ("GET", "https://api.example:443/v1", "api.example:443"),
        ("GET", "http://API.example/v1", "API.example"),
        ("GET", "http://api.example/v1#x", "api.example"),
    ],
)
def test_what_is_written_in_two_ways(method: str, url: str, authority: str) -> None:
    """What is signed is the one that RFC 9421 has."""
    lines = [f'"@method": {method}', f'"@authority": {authority}', '"@path": /v1']
    said = f'("@method" "@authority" "@path");created={NOW_S};keyid="{CLIENT_ID}"'
    agree(Message(method, url, with_mac(lines, said), b""))


@given(key=st.binary(max_size=140), message=st.binary(max_size=200) | st.binary(min_size=1_000, max_size=1_050))
def test_the_mac_is_the_standard_one(key: bytes, message: bytes) -> None:
    """Whatever the lengths, keys longer than a block of the hash too."""
    assert Mac(key).of(message) == hmac.digest(key, message, "sha256")
