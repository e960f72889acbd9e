"""Which version of the views a node is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from streams.domain.errors import RefusedStartError
from streams.domain.view_versions import FIRST, dropped, live, switched
from streams.engine.fatal import die
from streams.folding import Folding, tables_directory
from streams.hosting import Hosting, remove_tables
from streams.keys import load_master_key
from streams.node import Node, NodeConfig
from tests.unit.test_view_versions import V2, V3, World


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


class _Tables:
    """Stands for what a node folds of one version."""

    stores: Mapping[str, int] | None = {"upnext-v2/contexts/0": 7}

    async def forget(self, since_s: float) -> Mapping[str, int] | None:
        del since_s
        return self.stores


async def test_what_is_left_of_other_versions_forgets_nothing(tmp_path: Path) -> None:
    """So it is removed when something is erased, whether the version is kept or not: nobody folds it here any more."""
    world = World()
    for view in (V2, V3):
        assert world.apply(switched(world.state, world.begin()))
        assert live(world.state) == view
    assert world.apply(dropped(world.state, V2))
    assert world.apply(switched(world.state, FIRST))
    for view in (FIRST, V2, V3):
        (tables_directory(tmp_path, view) / "contexts" / "0").mkdir(parents=True)
    tables = _Tables()
    hosting = Hosting(lambda _view: cast("Folding", tables), lambda: world.state, tmp_path, die)
    await hosting.start_one(V3, folds=False)
    assert await hosting.forget(0.0) == tables.stores
    assert [one.name for one in (tmp_path / "tables").iterdir()] == [V3]
    tables.stores = None
    assert await hosting.forget(0.0) is None


@pytest.mark.parametrize(("gone", "left"), [("upnext-v1", "upnext-v2"), ("upnext-v2", "upnext-v1")])
def test_the_tables_of_one_version_are_removed(tmp_path: Path, gone: str, left: str) -> None:
    """Whole, and those of another stay, though they stand within the same directory; again it changes nothing."""
    for view in (gone, left):
        (tables_directory(tmp_path, view) / "contexts" / "0").mkdir(parents=True)
    for _ in range(2):
        remove_tables(tmp_path, gone)
        assert not (tables_directory(tmp_path, gone) / "contexts").exists()
        assert (tables_directory(tmp_path, left) / "contexts" / "0").exists()
