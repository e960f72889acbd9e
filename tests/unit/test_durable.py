"""Names that outlive a loss of power, and secrets that are there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.domain.errors import RefusedStartError
from streams.durable import make_directory, put_in_place
from streams.keys import FILE, keep_secret, load_master_key


def test_each_directory_that_is_made_is_in_one_that_is_synced(tmp_path: Path) -> None:
    """From the top down; where all are there nothing is synced."""
    synced: list[Path] = []
    make_directory(tmp_path / "a" / "b" / "c", synced.append)
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert (tmp_path / "a" / "b" / "c").is_dir()
    make_directory(tmp_path / "a" / "b", synced.append)
    assert len(synced) == 3


def test_a_file_is_in_its_place_before_its_directory_is_synced(tmp_path: Path) -> None:
    """Else its old name could be what is left."""
    new, path = tmp_path / "new", tmp_path / "path"
    new.write_text("n")
    path.write_text("o")
    seen: list[tuple[Path, str, bool]] = []
    put_in_place(new, path, lambda directory: seen.append((directory, path.read_text(), new.exists())))
    assert seen == [(tmp_path, "n", False)]


def test_a_secret_is_kept(tmp_path: Path) -> None:
    """The first one that was asked to be, for its owner's eyes only."""
    path = tmp_path / "data" / "secret"
    assert keep_secret(path, "first") == "first"
    assert keep_secret(path, "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["secret"]


def test_what_a_crash_has_left_of_a_secret_is_no_secret(tmp_path: Path) -> None:
    """Half a key is never read: it does not bear the name of the whole one."""
    (tmp_path / f"{FILE}.new").write_text("7f7f")
    key = load_master_key(tmp_path, None)
    assert load_master_key(tmp_path, None).fingerprint == key.fingerprint
    assert [found.name for found in tmp_path.iterdir()] == [FILE]


def test_a_secret_that_cannot_be_kept(tmp_path: Path) -> None:
    """The start is refused, and says where."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedStartError, match="cannot be written"):
        keep_secret(tmp_path / "file" / "secret", "s")
