"""What `upnext nodes` prints."""

from __future__ import annotations

import pytest

from service.cli.nodes import ranges, table
from service.http.internal import NodeOut


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), "-"), ((3,), "3"), ((0, 1), "0-1"), ((0, 1, 2, 5, 7, 8), "0-2, 5, 7-8"), (tuple(range(1_024)), "0-1023")],
)
def test_partitions_as_people_write_them(numbers: tuple[int, ...], text: str) -> None:
    """Neighbours as one."""
    assert ranges(numbers) == text


def test_a_table() -> None:
    """A heading and a line for each node, in columns."""
    node = NodeOut(
        name="n1",
        url="http://10.0.0.1:8081",
        roles=("api", "streams"),
        view="upnext-v1",
        contexts=(0, 1),
        sessions=(1, 2),
        context_copies=(7,),
        lag_events=12_345,
        silent_ms=1_234,
    )
    heading, one, other = table([node, NodeOut(name="node-2", url="http://b", roles=("api",), view="v", silent_ms=0)])
    assert heading.split("  ")[0].strip() == "node"
    assert one.split() == [
        "n1",
        node.url,
        "api,streams",
        "upnext-v1",
        "0-1",
        "1-2",
        *("-", "-"),  # nothing of webhooks and keys
        "7",
        *("-", "-", "-"),
        "12,345",
        "1.2",
        "s",
        "ago",
    ]
    assert {line.index(word) for line, word in ((heading, "internal"), (one, node.url), (other, "http://b"))} == {8}
