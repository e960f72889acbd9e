"""Modules with one thing in them changed: bugs on purpose."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType


class _Planted(SourceFileLoader):
    """Loads a module's file with some of its text replaced."""

    def __init__(self, name: str, path: str, changes: Mapping[str, str]) -> None:
        super().__init__(name, path)
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        """Return the changed module's code; the file and its cached code stay as they are."""
        source = changed(self.get_data(self.path).decode(), self._changes, fullname)
        return self.source_to_code(source.encode(), self.path)


def changed(source: str, changes: Mapping[str, str], name: str) -> str:
    """Return *source* with each key of *changes*, which stands there once, replaced by its value."""
    for before, after in changes.items():
        # A bug that is not planted any more would prove nothing.
        assert source.count(before) == 1, f"{before!r} is {source.count(before)} times in {name}"
        source = source.replace(before, after)
    return source


def planted(module: ModuleType, changes: Mapping[str, str]) -> ModuleType:
    """Return a copy of *module* whose text is changed: each key stands there once, and gives way to its value."""
    loader = _Planted(f"{module.__name__}_planted", str(inspect.getsourcefile(module)), changes)
    copy = module_from_spec(ModuleSpec(loader.name, loader, origin=loader.path))
    loader.exec_module(copy)
    return copy


class _Finder(MetaPathFinder):
    """Finds one module, changed, and leaves all others to whoever is asked next."""

    def __init__(self, name: str, changes: Mapping[str, str]) -> None:
        self._name, self._changes = name, changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        assert found is not None
        assert found.origin is not None
        loader = _Planted(fullname, found.origin, self._changes)
        return spec_from_file_location(fullname, found.origin, loader=loader)


def plant(name: str, changes: Mapping[str, str]) -> None:
    """Have every later import of a module, which nobody has imported yet, give it changed."""
    assert name not in sys.modules, f"{name} has been imported already"
    sys.meta_path.insert(0, _Finder(name, changes))
