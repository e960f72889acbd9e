"""What brokers answer about groups."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaError

from streams.log.kafka_topics import members_of

MEMBER = ("id", "somebody", "/127.0.0.1", b"", b"")


def test_members_of_a_group_are_known_by_their_names() -> None:
    """Also where the group is unknown: then it has none."""
    assert members_of([(0, "view", "Stable", "consumer", "range", [MEMBER, MEMBER])]) == ["somebody", "somebody"]
    assert members_of([(0, "view", "Dead", "", "", [], 0)]) == []


@pytest.mark.parametrize(("code", "again"), [(14, True), (15, True), (16, True), (30, False)])
def test_who_cannot_describe_a_group_does_not_say_that_it_is_empty(code: int, *, again: bool) -> None:
    """A broker that is loading the group, or does not coordinate it, is asked again; one that forbids it is not."""
    with pytest.raises(KafkaError) as raised:
        members_of([(code, "view", "", "", "", [])])
    assert raised.value.retriable is again
