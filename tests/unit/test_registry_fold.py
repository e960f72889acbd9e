"""The registry's fold: transactions judged as a whole, at their place in the log."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from streams.codec import MAX_EVENT_BYTES
from streams.domain.errors import NewerEventError, PoisonError
from streams.domain.registry import Applied, Dangling, Declared, NotUnique, Refused, Stale, Verdict, fold, judge
from streams.domain.registry_events import (
    AnyRegistryEvent,
    DeploymentDeclared,
    DeploymentMoved,
    ObjectState,
    ObjectWrite,
    Reference,
    Transaction,
    UniqueValue,
)
from streams.domain.registry_state import Deployment, RegistryState
from streams.registry_codec import decode_registry_event, encode_registry_event, registry_key

NOW_MS = 1_700_000_000_000


class Folded:
    """A state, and the log that it was folded from."""

    def __init__(self) -> None:
        self.state = RegistryState()
        self.log: list[AnyRegistryEvent] = []

    def __call__(self, event: AnyRegistryEvent) -> Verdict:
        self.log.append(event)
        offset = len(self.log) - 1
        return fold(self.state, event, offset, NOW_MS + offset)

    def write(self, *objects: ObjectWrite, user: str = "u") -> Verdict:
        return self(transaction(*objects, user=user, number=len(self.log)))


def transaction(*objects: ObjectWrite, user: str = "u", number: int = 0) -> Transaction:
    return Transaction(id=f"{number:032x}", user=user, request="req_1", objects=objects)


def company(object_id: str = "c", version: int = 0, *, state: ObjectState = "ACTIVE", name: str = "C") -> ObjectWrite:
    return ObjectWrite(type="companies", id=object_id, version=version, name=name, state=state, fields={})


def app(object_id: str = "a", version: int = 0, *, of: str = "c", **more: Any) -> ObjectWrite:
    references = (Reference("companies", of),)
    return ObjectWrite(
        type="apps", id=object_id, version=version, company=of, fields=more, name="A", references=references
    )


def client(object_id: str, *, app_id: str = "a", of: str = "c", number: str = "1", version: int = 0) -> ObjectWrite:
    return ObjectWrite(
        type="clients",
        id=object_id,
        version=version,
        company=of,
        name="K",
        fields={"tenant": app_id},
        references=(Reference("apps", app_id, of),),
        unique=(UniqueValue("clientId", number),),
    )


@pytest.fixture
def folded() -> Folded:
    folded = Folded()
    assert isinstance(folded.write(company()), Applied)
    assert isinstance(folded.write(app()), Applied)
    return folded


def test_versions_times_and_users() -> None:
    """An object's version goes up by one with each write; who made it and when stays."""
    folded = Folded()
    first = folded.write(company(name="One"), user="ann")
    second = folded.write(company(version=1, name="Two"), user="bob")
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    stored = folded.state.find("companies", "c")
    assert second.objects == (stored,)
    assert stored is not None
    assert (stored.version, stored.name) == (2, "Two")
    assert (stored.created_ms, stored.created_by) == (NOW_MS, "ann")
    assert (stored.updated_ms, stored.updated_by) == (NOW_MS + 1, "bob")
    assert folded.state.revision == 2
    assert folded.state.count == 1


def shared(object_id: str, *partners: str, version: int = 0) -> ObjectWrite:
    """Return an availability of company c, shared with others."""
    return ObjectWrite(
        type="availabilities", id=object_id, version=version, company="c", name=object_id, partners=partners, fields={}
    )


def test_what_is_shared_is_seen_by_each(folded: Folded) -> None:
    """An object is among those of its own company and of the ones that it is shared with, for as long as it is."""

    def seen(company: str) -> list[str]:
        return [stored.id for stored in folded.state.ordered("availabilities", company)]

    assert isinstance(folded.write(shared("x", "d", "e"), shared("y", "d")), Applied)
    assert (seen("c"), seen("d"), seen("e"), seen("f")) == (["x", "y"], ["x", "y"], ["x"], [])
    stored = folded.state.find("availabilities", "x")
    assert stored is not None
    assert [company for company in ("c", "d", "e", "f", None) if stored.is_seen_by(company)] == ["c", "d", "e"]
    assert isinstance(folded.write(shared("x", "f", version=1)), Applied)
    assert (seen("c"), seen("d"), seen("e"), seen("f")) == (["x", "y"], ["y"], [], ["x"])
    assert [stored.id for stored in folded.state.ordered("availabilities", None)] == ["x", "y"]


def test_what_is_shared_may_be_referred_to(folded: Folded) -> None:
    """A reference that names a company holds where the object is that company's or is shared with it."""

    def refers(object_id: str, company: str | None, target: str = "x") -> Verdict:
        references = (Reference("availabilities", target, company),)
        return folded.write(ObjectWrite(type="notes", id=object_id, version=0, fields={}, references=references))

    folded.write(shared("x", "d"))
    for number, company in enumerate(("c", "d", None)):
        assert isinstance(refers(f"n{number}", company), Applied)
    dangling = Dangling("notes", "z", Reference("availabilities", "x", "e"))
    assert refers("z", "e") == Refused((dangling,))
    note = ObjectWrite(type="notes", id="z", version=0, fields={}, references=(Reference("availabilities", "w", "d"),))
    assert isinstance(folded.write(shared("w", "d"), note), Applied)


def test_where_each_version_was_written(folded: Folded) -> None:
    """The offset of each version is known, in their order; what was refused has none."""
    for version in range(1, 6):
        assert isinstance(folded.write(app(version=version)), Applied)
        assert isinstance(folded.write(app(version=version)), Refused)
    stored = folded.state.find("apps", "a")
    assert stored is not None
    assert folded.state.offsets(stored, 1, 6) == [1, 2, 4, 6, 8, 10]
    assert folded.state.offsets(stored, 6, 6) == [10]
    assert folded.state.offsets(stored, 2, 4) == [2, 4, 6]
    assert folded.state.offsets(stored, 5, 9) == [8, 10]


def test_stale_is_refused_and_changes_nothing(folded: Folded) -> None:
    """Of two transactions made from the same version, the first in the log is applied, the second refused."""
    revision = folded.state.revision
    assert isinstance(folded.write(app(version=1, description="first")), Applied)
    assert folded.write(app(version=1, description="second")) == Refused((Stale("apps", "a"),))
    assert folded.write(app(version=0)) == Refused((Stale("apps", "a"),))
    assert folded.write(app("absent", version=1)) == Refused((Stale("apps", "absent"),))
    stored = folded.state.find("apps", "a")
    assert stored is not None
    assert (stored.fields, stored.version) == ({"description": "first"}, 2)
    assert folded.state.revision == revision + 1


def test_one_object_twice_is_refused(folded: Folded) -> None:
    """A transaction writes each object once."""
    twice = app(version=1), app(version=1, description="again")
    assert folded.write(*twice) == Refused((Stale("apps", "a"),))


def test_an_object_stays_with_its_company(folded: Folded) -> None:
    """Another company cannot write over an object, nor take it."""
    assert isinstance(folded.write(company("d")), Applied)
    assert folded.write(app(version=1, of="d")) == Refused((Stale("apps", "a"),))


def test_a_transaction_is_whole(folded: Folded) -> None:
    """One broken object and nothing is stored; every reason is told."""
    verdict = folded.write(app("b"), app("a", version=7), client("k", app_id="nowhere"))
    assert verdict == Refused((Stale("apps", "a"), Dangling("clients", "k", Reference("apps", "nowhere", "c"))))
    assert folded.state.find("apps", "b") is None
    assert folded.state.find("clients", "k") is None


def test_not_unique_is_refused(folded: Folded) -> None:
    """Two objects of a type never share a unique value, not even within one transaction."""
    assert isinstance(folded.write(client("k")), Applied)
    refused = Refused((NotUnique("clients", "l", "clientId", "1"),))
    assert folded.write(client("l")) == refused
    assert folded.write(client("m", number="2"), client("l", number="2")) == Refused(
        (NotUnique("clients", "l", "clientId", "2"),)
    )
    holder = folded.state.holder("clients", UniqueValue("clientId", "1"))
    assert holder is not None
    assert holder.id == "k"


def test_a_unique_value_that_is_given_up_may_be_taken(folded: Folded) -> None:
    """Two objects can change their values over in one transaction; a value given up is free."""
    assert isinstance(folded.write(client("k"), client("l", number="2")), Applied)
    swapped = client("k", number="2", version=1), client("l", number="1", version=1)
    assert isinstance(folded.write(*swapped), Applied)
    for number, holder in (("1", "l"), ("2", "k")):
        found = folded.state.holder("clients", UniqueValue("clientId", number))
        assert found is not None
        assert found.id == holder
    assert isinstance(folded.write(client("l", number="3", version=2)), Applied)
    assert isinstance(folded.write(client("m", number="1")), Applied)


@pytest.mark.parametrize("state", ["ACTIVE", "INACTIVE", "HIDDEN"])
def test_dangling_is_refused(folded: Folded, state: ObjectState) -> None:
    """A new object refers to what is there, not HIDDEN, and its own company's."""
    assert isinstance(folded.write(company("d")), Applied)
    hidden = msgspec.structs.replace(app(version=1), state=state)
    assert isinstance(folded.write(hidden), Applied)
    verdict = folded.write(client("k"))
    if state == "HIDDEN":
        assert verdict == Refused((Dangling("clients", "k", Reference("apps", "a", "c")),))
    else:
        assert isinstance(verdict, Applied)
    foreign = client("f", of="d", number="9")
    assert folded.write(foreign) == Refused((Dangling("clients", "f", Reference("apps", "a", "d")),))
    assert folded.write(client("n", app_id="absent", number="8")) == Refused(
        (Dangling("clients", "n", Reference("apps", "absent", "c")),)
    )


def test_a_transaction_may_refer_to_itself(folded: Folded) -> None:
    """What a transaction makes, its other objects may refer to; what it hides, they may not."""
    assert isinstance(folded.write(client("k", app_id="b"), app("b")), Applied)
    hidden = msgspec.structs.replace(app("b", version=1), state="HIDDEN")
    assert isinstance(folded.write(client("l", app_id="b", number="2"), hidden), Refused)


def test_the_first_declaration_counts() -> None:
    """Two nodes that begin a deployment at once agree on what the log says first."""
    folded = Folded()
    first = Deployment("f", 8)
    assert folded(DeploymentDeclared(id="0" * 32, fingerprint="f", partitions=8)) == Declared(first)
    assert folded(DeploymentDeclared(id="1" * 32, fingerprint="g", partitions=16)) == Declared(first)
    assert folded.state.deployment == first


def test_a_deployment_moves_once_from_each_log() -> None:
    """It keeps its master key, has as many partitions as the new log, and remembers where it comes from."""
    folded = Folded()
    early = DeploymentMoved(id="0" * 32, log="one", partitions=4)
    assert folded(early) == Refused(())
    assert folded.state.deployment is None
    folded(DeploymentDeclared(id="1" * 32, fingerprint="f", partitions=8))
    assert folded(early) == Declared(Deployment("f", 4, ("one",)))
    assert folded(DeploymentMoved(id="2" * 32, log="two", partitions=2)) == Declared(Deployment("f", 2, ("one", "two")))
    assert folded(early) == Declared(Deployment("f", 2, ("one", "two")))


def test_order_is_by_name_then_id(folded: Folded) -> None:
    """Lists are by name, ties by id, of one company or of all, and follow every change."""
    folded.write(company("d"), company("b"), company("e", name="A"))
    assert [found.id for found in folded.state.ordered("companies", None)] == ["e", "b", "c", "d"]
    folded.write(company("d", version=1, name="0"))
    assert [found.id for found in folded.state.ordered("companies", None)] == ["d", "e", "b", "c"]
    assert [found.id for found in folded.state.ordered("apps", "c")] == ["a"]
    assert list(folded.state.ordered("apps", "d")) == []
    folded.write(app("0", of="d"))
    assert [found.id for found in folded.state.ordered("apps", "d")] == ["0"]
    assert [found.id for found in folded.state.ordered("apps", None)] == ["0", "a"]


def contents(state: RegistryState) -> bytes:
    names = ("companies", "apps", "clients")
    return msgspec.json.encode([list(state.ordered(name, None)) for name in names] + [state.revision, state.count])


@pytest.mark.parametrize("seed", range(20))
def test_a_replay_gives_the_same_state(seed: int) -> None:
    """Any log, folded again from its bytes, gives the same verdicts and the same state."""
    chance = random.Random(seed)
    folded = Folded()
    verdicts = [folded.write(*some_objects(chance, folded.state)) for _ in range(200)]
    again = Folded()
    for event, verdict in zip(folded.log, verdicts, strict=True):
        assert again(decode_registry_event(registry_key(event), encode_registry_event(event))) == verdict
    assert contents(again.state) == contents(folded.state)
    refused = sum(isinstance(verdict, Refused) for verdict in verdicts)
    assert 0 < refused < len(verdicts), f"seed {seed}"


def some_objects(chance: random.Random, state: RegistryState) -> list[ObjectWrite]:
    """Return a transaction that is often good and often not."""
    writes = []
    for _ in range(chance.randint(1, 3)):
        made = chance.choice(
            [
                company(chance.choice("cd"), state=chance.choice(["ACTIVE", "ACTIVE", "HIDDEN"])),
                app(chance.choice("ab"), of=chance.choice("cd")),
                client(
                    chance.choice("klm"), app_id=chance.choice("ab"), of=chance.choice("cd"), number=chance.choice("12")
                ),
            ]
        )
        before = state.find(made.type, made.id)
        version = 0 if before is None or chance.random() < 0.1 else before.version
        writes.append(msgspec.structs.replace(made, version=version))
    return writes


def test_judging_changes_nothing(folded: Folded) -> None:
    """A transaction can be judged beforehand."""
    before = contents(folded.state)
    assert judge(folded.state, transaction(app(version=1))) == ()
    assert judge(folded.state, transaction(app(version=2))) == (Stale("apps", "a"),)
    assert contents(folded.state) == before


ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"no json",
        b"[]",
        b'{"type":"other.thing.v1"}',
        b'{"type":"context.item_put.v1"}',
        b'{"type":"registry.transaction.v1","id":"%s"}' % ID.encode(),
        b'{"type":"registry.transaction.v1","id":"%s","user":"u","objects":[{"type":"a","id":"x/y","version":0,"fields":{}}]}'
        % ID.encode(),
        b'{"type":"registry.deployment_declared.v1","id":"%s","fingerprint":"f","partitions":0}' % ID.encode(),
        b'{"type":"registry.deployment_declared.v1","id":"%s","fingerprint":"f","partitions":8}' % (b"0" * 32),
        b'{"type":"registry.transaction.v1","id":"%s","user":"u","objects":[]%s}'
        % (ID.encode(), b" " * MAX_EVENT_BYTES),
        b"[" * 100_000,
    ],
)
def test_poison(value: bytes | None) -> None:
    """A record that is no event of the registry, or breaks the rules of its type, is told apart."""
    with pytest.raises(PoisonError):
        decode_registry_event(ID.encode(), value)


def test_a_newer_event() -> None:
    """An event of ours that this version does not know must not be skipped."""
    with pytest.raises(NewerEventError, match=r"registry\.transaction\.v2, written by a newer version"):
        decode_registry_event(ID.encode(), b'{"type":"registry.transaction.v2","id":"%s"}' % ID.encode())


def test_events_decode_for_ever() -> None:
    """What the first version wrote is read with the defaults of what was added since."""
    value = (
        b'{"type":"registry.transaction.v1","id":"%s","user":"u","request":"req_1","later":1,"objects":[{"type":"clients",'
        b'"id":"k","version":0,"company":"c","name":"K","fields":{"tenant":"a"},"references":[{"type":"apps","id":"a",'
        b'"company":"c"}],"unique":[{"field":"clientId","value":"1"}]}]}' % ID.encode()
    )
    expected = msgspec.structs.replace(transaction(client("k")), id=ID)
    assert decode_registry_event(ID.encode(), value) == expected
