"""What operators are told of contexts that were erased."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import rocksdict
from click.testing import CliRunner, Result

from service.cli import main
from streams.codec import encode_event, event_key
from streams.domain.erasure import ErasedFrom, Receipt, Requested, TablesRewritten, encode_erasure
from streams.domain.events import ContextErased, ItemRemoved
from streams.domain.ids import Kind, id_text
from streams.domain.registry_events import DeploymentDeclared
from streams.engine.fatal import die
from streams.log.embedded import EmbeddedLog
from streams.registry_codec import encode_registry_event, registry_key
from streams.topics import CONTEXT_EVENTS, ERASURES, REGISTRY_EVENTS, topic_specs
from tests.support.tables import CLIENT, context_id

PARTITIONS = 2
X, Y = context_id(1), context_id(2)
CONTEXT, OTHER = id_text(Kind.CONTEXT, X), id_text(Kind.CONTEXT, Y)
CAUSE = {"id": "0" * 32, "client": CLIENT}
RECEIPT = Receipt(
    CONTEXT, 0, 1_700_000_000_000, 1_700_000_001_000, [ErasedFrom(CONTEXT_EVENTS, 0, 3, 1, 7)], {"t": [9]}
)


async def write(data: Path, *rows: tuple[str, int, bytes, bytes]) -> None:
    log = EmbeddedLog(data / "log", die)
    await log.start()
    if await log.create_topics(topic_specs(PARTITIONS)):
        declared = DeploymentDeclared(id="1" * 32, fingerprint="f", partitions=PARTITIONS)
        await log.append(REGISTRY_EVENTS, 0, registry_key(declared), encode_registry_event(declared))
    for topic, partition, key, value in rows:
        await log.append(topic, partition, key, value)
    await log.stop()


def event(of: bytes, what: ItemRemoved | ContextErased) -> tuple[str, int, bytes, bytes]:
    return CONTEXT_EVENTS, 1, event_key(Kind.CONTEXT, of, what.id), encode_event(what)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A log in which one context was erased, and another is to be."""
    rows = [
        event(X, ContextErased(**CAUSE)),
        event(Y, ItemRemoved(**CAUSE, content_id="a")),
        event(Y, ContextErased(**CAUSE)),
        (ERASURES, 0, bytes(X), encode_erasure(Requested(CONTEXT))),
        (ERASURES, 0, b"early", encode_erasure(TablesRewritten("early", [0, 1], {"v/contexts/0": 3}, 8))),
        (ERASURES, 0, bytes(X), encode_erasure(RECEIPT)),
        (ERASURES, 0, b"node", encode_erasure(TablesRewritten("node", [1, 0], {"v/contexts/0": 4}, 9))),
        (ERASURES, 0, b"node", encode_erasure(TablesRewritten("node", [1, 1], {"v/contexts/0": 5}, 10))),
        (ERASURES, 1, bytes(Y), encode_erasure(Requested(OTHER))),
    ]
    asyncio.run(write(tmp_path, *rows))
    return tmp_path


def upnext(data: Path, *arguments: str) -> Result:
    return CliRunner(env={"UPNEXT_DATA": ""}).invoke(main, ["erase", *arguments, "--data", str(data)])


def test_list(data: Path) -> None:
    """What was erased has its receipt's times and records; what is to be, since when."""
    said = upnext(data, "list")
    assert said.exit_code == 0, said.output
    _, done, open_ = [line.split() for line in said.output.splitlines()]
    assert done == [CONTEXT, "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.000Z", "3"]
    assert [open_[0], *open_[2:]] == [OTHER, "-", "-"]


def test_receipt(data: Path) -> None:
    """
    A receipt says what was removed from where, up to where was searched, and which nodes' tables have nothing either.

    Without one, the exit status is 1.
    """
    said = upnext(data, "receipt", CONTEXT)
    assert said.exit_code == 0, said.output
    (receipt,) = json.loads(said.output)
    assert receipt["erased"] == [{"topic": CONTEXT_EVENTS, "partition": 0, "records": 3, "first": 1, "last": 7}]
    assert receipt["searched"] == {"t": [9]}
    assert receipt["tables"] == [{"node": "node", "done_ms": 9, "stores": {"v/contexts/0": 4}}]
    assert receipt["not_yet"] == ["early"]
    missing = upnext(data, "receipt", CONTEXT, OTHER)
    assert (missing.exit_code, OTHER in missing.output) == (1, True)
    assert upnext(data, "receipt", "CX1").exit_code == 2


def test_verify(data: Path) -> None:
    """Nothing but that it was erased is left of the one; of the other there is a record, and its place is said."""
    clean = upnext(data, "verify", CONTEXT)
    assert clean.exit_code == 0, clean.output
    assert "searched context-events up to 0, 3" in clean.output
    left = upnext(data, "verify", CONTEXT, OTHER)
    assert left.exit_code == 1
    assert f"context-events-1-1: {OTHER}" in left.output
    assert "1 records and rows are left." in left.output


@pytest.mark.parametrize("place", ["contexts/0", "contexts/0.failed-17", "upnext-v2/sessions/1"])
def test_tables_are_searched(data: Path, place: str) -> None:
    """Those that were set aside too, and those of other versions of the views."""
    path = data / "tables" / place
    path.mkdir(parents=True)
    store = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    store[b"m" + X] = b"erased"
    store[b"i" + Y + b"a\0"] = b"item"
    store.close()
    assert upnext(data, "verify", CONTEXT).exit_code == 0
    left = upnext(data, "verify", OTHER)
    assert left.exit_code == 1
    assert f"{path}: {OTHER}" in left.output
    assert f"searched {path}: 2 rows" in left.output


def test_lists_of_files_are_searched(data: Path) -> None:
    """They keep the keys of rows that no table has any more; that it was erased is no find there either."""
    path = data / "tables" / "contexts" / "0"
    path.mkdir(parents=True)
    store = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    for key in (b"m" + X, b"i" + Y + b"a\0"):
        store[key] = b"row"
        store.flush()
    del store[b"i" + Y + b"a\0"]
    store.close()
    assert upnext(data, "verify", CONTEXT).exit_code == 0
    left = upnext(data, "verify", OTHER)
    assert left.exit_code == 1
    assert re.search(rf"MANIFEST-\d+: {OTHER}", left.output)
