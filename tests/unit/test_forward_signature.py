"""The signature of forwarded calls: nothing of them can be altered, kept for later or sent elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from multidict import CIMultiDict

from service.http.forward_signature import (
    CALL,
    SIGNATURE,
    TOLERANCE_MS,
    ForgedCallError,
    ForwardedCall,
    _signature,
    passed_on,
    signed,
    verified,
)
from service.ports import Client
from streams.domain.ids import Kind

KEY = b"k" * 32
NOW_MS = 1_800_000_000_000
CLIENT = Client("0123456789abcdef", Kind.PLATFORM, b"t" * 17, live=True)
POSITIONS = [("Content-Type", "application/json"), ("Paket-Position", "one"), ("Paket-Position", "two, three")]
CALL_OF_B = ForwardedCall("b", "PUT", "/v1/x?limit=2", b'{"a":1}', CLIENT, "req_0123456789abcdef", POSITIONS)


def sent(call: ForwardedCall = CALL_OF_B, key: bytes = KEY) -> CIMultiDict[str]:
    return CIMultiDict(signed(key, call, NOW_MS))


def read(
    headers: CIMultiDict[str],
    *,
    path: str = CALL_OF_B.path,
    body: bytes = CALL_OF_B.body,
    to: str = "b",
    at_ms: int = 0,
) -> ForwardedCall:
    return verified(KEY, headers, path, body, to=to, time_ms=NOW_MS + at_ms)


def test_it_is_read_as_it_was_sent() -> None:
    """Whoever called, and with what headers."""
    assert read(sent()) == CALL_OF_B
    others = CALL_OF_B._replace(client=Client("f" * 16, Kind.APP, b"\0" * 17, live=False), headers=[], body=b"")
    assert read(sent(others), body=b"") == others
    newer = CALL_OF_B._replace(version="2026-11-01")
    assert read(sent(newer)) == newer


def test_a_call_of_a_node_that_knows_no_versions() -> None:
    """It is to be answered in the first one."""
    about = sent()[CALL].rpartition(" ")[0]
    headers = CIMultiDict([*POSITIONS, (CALL, about)])
    headers[SIGNATURE] = _signature(KEY, about, CALL_OF_B.path, CALL_OF_B.body, POSITIONS)
    assert read(headers) == CALL_OF_B


def test_only_what_the_answer_depends_on_is_passed_on() -> None:
    """Credentials stay where they were checked."""
    headers = CIMultiDict([("authorization", "Basic x"), ("if-none-match", '"e"'), ("Cookie", "c"), *POSITIONS[1:]])
    assert passed_on(headers) == [("If-None-Match", '"e"'), *POSITIONS[1:]]


def test_clocks_may_differ_by_30_s() -> None:
    """In either direction."""
    for at_ms in (-TOLERANCE_MS, TOLERANCE_MS):
        assert read(sent(), at_ms=at_ms) == CALL_OF_B
    for at_ms in (-TOLERANCE_MS - 1, TOLERANCE_MS + 1):
        with pytest.raises(ForgedCallError, match="too old"):
            read(sent(), at_ms=at_ms)


def test_another_key() -> None:
    """Of another deployment, say."""
    with pytest.raises(ForgedCallError, match="signature"):
        read(sent(key=b"x" * 32))


def test_another_path_body_or_node() -> None:
    """A call that was overheard is good for nothing else."""
    for altered in ({"path": "/v1/y?limit=2"}, {"path": "/v1/x"}, {"body": b""}, {"body": b'{"a":2}'}):
        with pytest.raises(ForgedCallError, match="signature"):
            read(sent(), **altered)
    with pytest.raises(ForgedCallError, match="another node"):
        read(sent(), to="c")


ALTERED: dict[str, Callable[[CIMultiDict[str]], object]] = {
    "time": lambda h: h.update({CALL: h[CALL].replace(str(NOW_MS), str(NOW_MS + 1))}),
    "hop": lambda h: h.update({CALL: h[CALL].replace(f"{NOW_MS} 1 ", f"{NOW_MS} 2 ")}),
    "method": lambda h: h.update({CALL: h[CALL].replace("PUT", "DELETE")}),
    "caller": lambda h: h.update({CALL: h[CALL].replace(CLIENT.client_id, "f" * 16)}),
    "tenant": lambda h: h.update({CALL: h[CALL].replace(CLIENT.tenant.hex(), "00" * 17)}),
    "node": lambda h: h.update({CALL: h[CALL].replace("1 b ", "1 c ")}),
    "a position": lambda h: h.update({"Paket-Position": "another"}),
    "one position more": lambda h: h.add("Paket-Position", "more"),
    "no type": lambda h: h.popall("Content-Type"),
    "no call": lambda h: h.popall(CALL),
    "no signature": lambda h: h.popall(SIGNATURE),
    "half a signature": lambda h: h.update({SIGNATURE: h[SIGNATURE][:32]}),
    "no ASCII": lambda h: h.update({SIGNATURE: "ü\udcff"}),
}


@pytest.mark.parametrize("what", ALTERED)
def test_nothing_can_be_altered(what: str) -> None:
    """Not the caller, not a position, not a word of the call."""
    headers = sent()
    ALTERED[what](headers)
    with pytest.raises(ForgedCallError):
        read(headers)


def test_a_second_hop() -> None:
    """It is refused, good as the signature is."""
    with pytest.raises(ForgedCallError, match="forwarded before"):
        read(sent(CALL_OF_B._replace(hop=2)))


def test_another_version() -> None:
    """What a newer node signs in another way is refused, and nothing of it is taken for something else."""
    headers = sent()
    about = headers[CALL] = f"2{headers[CALL][1:]}"
    headers[SIGNATURE] = _signature(KEY, about, CALL_OF_B.path, CALL_OF_B.body, POSITIONS)
    with pytest.raises(ForgedCallError, match="version"):
        read(headers)
