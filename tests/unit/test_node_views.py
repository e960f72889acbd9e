"""Which version of the views a node is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.domain.errors import RefusedStartError
from streams.engine.fatal import die
from streams.folding import tables_directory
from streams.hosting import remove_tables
from streams.keys import load_master_key
from streams.node import Node, NodeConfig


async def test_the_embedded_log_has_one_node_for_all(tmp_path: Path) -> None:
    """To name one is refused, whether it is there or not."""
    key = load_master_key(tmp_path, None)
    config = NodeConfig(
        data=tmp_path, kafka=None, partitions=1, key=key, url="http://127.0.0.1:1", view="upnext-v1", folds=False
    )
    node = Node(config, die)
    try:
        with pytest.raises(RefusedStartError, match="without --view"):
            await node.start()
    finally:
        await node.stop()


@pytest.mark.parametrize(("gone", "left"), [("upnext-v1", "upnext-v2"), ("upnext-v2", "upnext-v1")])
def test_the_tables_of_one_version_are_removed(tmp_path: Path, gone: str, left: str) -> None:
    """Whole, and those of another stay, though they stand within the same directory; again it changes nothing."""
    for view in (gone, left):
        (tables_directory(tmp_path, view) / "contexts" / "0").mkdir(parents=True)
    for _ in range(2):
        remove_tables(tmp_path, gone)
        assert not (tables_directory(tmp_path, gone) / "contexts").exists()
        assert (tables_directory(tmp_path, left) / "contexts" / "0").exists()
