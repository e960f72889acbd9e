"""
Damage done to rows in the tables of a node that is off, as a fold with a bug, or a bad disk, would.

`python -m tests.support.harm DATA ID` damages the rows of a context or of a session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import rocksdict

from streams.domain import context_rows, session_rows
from streams.domain.ids import ContextId, Kind, SessionId, known_id, parse_id
from streams.engine.storage import IDENTITY_KEY, Identity, Storage
from streams.engine.store import PartitionStore
from streams.topics import VIEW, partition_of

Rows = dict[bytes, bytes | None]
GHOST = b"ghost"
_ANY = Identity("", 0, "")


@contextmanager
def opened(data: Path, table: str, raw: bytes, view: str = VIEW) -> Iterator[PartitionStore]:
    """Give the store that has the rows of an id."""
    directory = data / "tables" if view == VIEW else data / "tables" / view
    some = next(path for path in sorted((directory / table).iterdir()) if path.name.isdigit())
    database = rocksdict.Rdict(str(some), options=Storage(directory, _ANY).options())
    identity = msgspec.json.decode(database.get(IDENTITY_KEY), type=Identity)
    database.close()
    partition = partition_of(raw, identity.partitions)
    store = PartitionStore(Storage(directory, identity), directory / table / str(partition))
    try:
        yield store
    finally:
        store.close()


def harm_context(data: Path, context: ContextId) -> None:
    """Of a context's items the newest is gone, the next one elsewhere, the oldest another; and there is a ghost."""
    with opened(data, "contexts", context) as store:
        places = [key for key, _ in store.range(context_rows.ORDER + context)]
        newest, moved, *_, oldest = places
        gone, other = (context_rows.item_key(context, context_rows.order_content_id(key)) for key in (newest, oldest))
        whole = store.get(other) or b""
        rows: Rows = {
            newest: None,
            gone: None,
            moved: None,
            context_rows.order_key(context, 5, context_rows.order_content_id(moved)): b"",
            other: whole.replace(b"Title", b"Tidal"),
            context_rows.item_key(context, GHOST): whole.replace(context_rows.order_content_id(oldest), GHOST),
            context_rows.order_key(context, 2**41, GHOST): b"",
        }
        store.write(rows, store.offset)


def harm_session(data: Path, session: SessionId) -> None:
    """Of a session's list the newest is gone, the next one elsewhere; there is a ghost, and a member that is none."""
    with opened(data, "sessions", session) as store:
        (newest, _), (moved, fragment), *_ = store.range(session_rows.LIST + session)
        context, load = session_rows.context_in(newest), session_rows.list_entry(newest, b"").load
        elsewhere = session_rows.list_key(session, 5, session_rows.list_content_id(moved), context, load)
        stray = ContextId(bytes(17))
        member = session_rows.Member(0, bytes(17), 0, sequence=0, load=0, count=1)
        rows: Rows = {
            newest: None,
            moved: None,
            elsewhere: fragment,
            session_rows.list_key(session, 2**41, GHOST, context, load): fragment.replace(
                session_rows.list_content_id(moved), GHOST
            ),
            session_rows.member_key(session, stray): session_rows.encode_member(member),
        }
        store.write(rows, store.offset)


if __name__ == "__main__":
    where, of = Path(sys.argv[1]), sys.argv[2]
    if parse_id(Kind.CONTEXT, of) is not None:
        harm_context(where, ContextId(known_id(Kind.CONTEXT, of)))
    else:
        harm_session(where, SessionId(known_id(Kind.SESSION, of)))
