"""What nodes say of themselves, folded: who is asked for which partition."""

from __future__ import annotations

import msgspec
import pytest

from streams.domain.nodes import FORGOTTEN_MS, SILENT_MS, NodeSaid, NodesState, TableName
from streams.nodes import decode_said, encode_said

VIEW = "view"


def said(name: str, contexts: tuple[int, ...] = (), sessions: tuple[int, ...] = (), **more: object) -> NodeSaid:
    fields = {"url": f"http://{name}", "roles": ("api", "streams"), "view": VIEW, **more}
    return msgspec.convert({"name": name, **fields, "contexts": contexts, "sessions": sessions}, NodeSaid)


class Told:
    """A fold, and the topic that it is told of record by record."""

    def __init__(self) -> None:
        self.state = NodesState()
        self.offset = -1
        self.time_ms = 1_000_000

    def say(self, what: NodeSaid | str, *, after_ms: int = 0) -> None:
        """Have a node say something, or, by its name, that it is gone."""
        self.offset += 1
        self.time_ms += after_ms
        name, value = (what, None) if isinstance(what, str) else (what.name, what)
        self.state.fold(name, value, self.offset, self.time_ms)

    def owner(self, table: TableName, partition: int, *but: str) -> str | None:
        found = self.state.answering(table, partition, VIEW, but)
        return None if found is None else found.name


def test_who_serves_what() -> None:
    """Contexts and sessions are told apart, and so are the versions of the views."""
    told = Told()
    told.say(said("a", contexts=(0, 1), sessions=(2,)))
    told.say(said("b", contexts=(2,), sessions=(0, 1)))
    told.say(said("c", contexts=(7,), view="another"))
    assert [told.owner(TableName.CONTEXTS, n) for n in range(3)] == ["a", "a", "b"]
    assert [told.owner(TableName.SESSIONS, n) for n in range(3)] == ["b", "b", "a"]
    assert told.owner(TableName.CONTEXTS, 7) is None
    assert told.owner(TableName.CONTEXTS, 0, "a") is None


def test_who_has_a_copy() -> None:
    """Of contexts and sessions apart, whoever is left; a copy is no owner."""
    told = Told()
    told.say(said("a", contexts=(0,), session_copies=(1,)))
    told.say(said("b", sessions=(1,), context_copies=(0,)))
    told.say(said("c", context_copies=(0,), view="another"))

    def copying(table: TableName, partition: int, *but: str) -> str | None:
        found = told.state.copying(table, partition, VIEW, but)
        return None if found is None else found.name

    assert (copying(TableName.CONTEXTS, 0), copying(TableName.SESSIONS, 1)) == ("b", "a")
    assert (copying(TableName.CONTEXTS, 1), copying(TableName.SESSIONS, 0)) == (None, None)
    assert copying(TableName.CONTEXTS, 0, "b") is None
    assert told.owner(TableName.CONTEXTS, 0, "a") is None
    told.state.doubt("b")
    assert copying(TableName.CONTEXTS, 0) is None


def test_what_is_said_last_counts_as_a_whole() -> None:
    """A partition that is not named any more is not served any more."""
    told = Told()
    told.say(said("a", contexts=(0, 1)))
    told.say(said("a", contexts=(1,)))
    assert told.owner(TableName.CONTEXTS, 0) is None
    assert told.owner(TableName.CONTEXTS, 1) == "a"


def test_of_two_who_began_last_is_right() -> None:
    """One that was frozen repeats, once it wakes up, what it had: that makes it no owner again."""
    told = Told()
    told.say(said("old", sessions=(3,)))
    told.say(said("new", sessions=(3,)))
    told.say(said("old", sessions=(3,)))
    assert told.owner(TableName.SESSIONS, 3) == "new"
    assert told.owner(TableName.SESSIONS, 3, "new") == "old"
    told.say(said("old", sessions=()))
    told.say(said("old", sessions=(3,)))
    assert told.owner(TableName.SESSIONS, 3) == "old"


def test_a_process_that_was_started_again_begins_anew() -> None:
    """What its predecessor served has nothing to say about when it began."""
    told = Told()
    told.say(said("a", sessions=(3,), started_ms=1))
    told.say(said("b", sessions=(3,)))
    told.say(said("a", sessions=(3,), started_ms=2))
    assert told.owner(TableName.SESSIONS, 3) == "a"


def test_who_is_silent_is_not_asked_and_later_forgotten() -> None:
    """Silence is measured by what others say meanwhile."""
    told = Told()
    told.say(said("a", contexts=(0,)))
    told.say(said("b"), after_ms=SILENT_MS)
    assert told.owner(TableName.CONTEXTS, 0) == "a"
    told.say(said("b"), after_ms=1)
    assert told.owner(TableName.CONTEXTS, 0) is None
    assert [(node.said.name, node.silent_ms) for node in told.state.known()] == [("a", SILENT_MS + 1), ("b", 0)]
    told.say(said("b"), after_ms=FORGOTTEN_MS)
    assert [node.said.name for node in told.state.known()] == ["b"]


def test_while_nobody_can_say_anything_nobody_is_silent() -> None:
    """The log is away, or its clock was set back: who was asked before is asked still."""
    told = Told()
    told.say(said("a", contexts=(0,)))
    told.say(said("b", contexts=(1,)), after_ms=-3_600_000)
    assert told.owner(TableName.CONTEXTS, 0) == "a"
    assert told.state.known()[0].silent_ms == 0


def test_who_could_not_be_reached_is_asked_again_once_it_says_something() -> None:
    """A doubt lasts for as long as the node is silent."""
    told = Told()
    told.say(said("a", contexts=(0,)))
    told.state.doubt("a")
    assert told.owner(TableName.CONTEXTS, 0) is None
    told.say(said("b"))
    assert told.owner(TableName.CONTEXTS, 0) is None
    told.say(said("a", contexts=(0,)))
    assert told.owner(TableName.CONTEXTS, 0) == "a"


def test_goodbye() -> None:
    """A node that has stopped is gone at once."""
    told = Told()
    told.say(said("a", contexts=(0,)))
    told.say("a")
    assert told.owner(TableName.CONTEXTS, 0) is None
    assert told.state.known() == []


def test_on_the_wire() -> None:
    """It is read as it was written; what a newer version adds is left out, and what is no such thing is refused."""
    node = said("a", contexts=(0, 5), sessions=(1,), lag_events=3, started_ms=4)
    assert decode_said(encode_said(node)) == node
    newer = msgspec.json.encode({**msgspec.to_builtins(node), "copies": [1]})
    assert decode_said(newer) == node
    for value in (b"", b"{}", b"[]", b'{"name":1}', b"\xff"):
        with pytest.raises(ValueError, match=r".+"):
            decode_said(value)


def test_what_is_asked_of_the_others() -> None:
    """By each node that answers clients, as it last said; not by one that is silent, gone, or this one."""
    told = Told()
    told.say(said("a", asked={"c1": [10.5, 2]}))
    told.say(said("b"))
    told.say(said("folds", roles=("streams",), asked={"c1": [7, 7]}))
    told.say(said("c", asked={"c1": [1, 0], "c2": [0, 3]}))
    assert told.state.asked("a") == [{}, {"c1": (1, 0), "c2": (0, 3)}]
    told.say(said("a", asked={"c1": [4, 2]}), after_ms=SILENT_MS)
    told.say("b")
    assert told.state.asked("") == [{"c1": (1, 0), "c2": (0, 3)}, {"c1": (4, 2)}]
    told.say(said("b"), after_ms=1)
    assert told.state.asked("") == [{"c1": (4, 2)}, {}]
