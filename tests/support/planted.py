"""Copies of a module with one thing in it changed: bugs on purpose."""

from __future__ import annotations

import inspect
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from types import CodeType, ModuleType


class _Planted(SourceFileLoader):
    """Loads a module's file with some of its text replaced."""

    def __init__(self, module: ModuleType, changes: dict[str, str]) -> None:
        super().__init__(f"{module.__name__}_planted", str(inspect.getsourcefile(module)))
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        """Return the changed module's code; the file and its cached code stay as they are."""
        source = self.get_data(self.path).decode()
        for before, after in self._changes.items():
            # A bug that is not planted any more would prove nothing.
            assert source.count(before) == 1, f"{before!r} is {source.count(before)} times in {fullname}"
            source = source.replace(before, after)
        return self.source_to_code(source.encode(), self.path)


def planted(module: ModuleType, changes: dict[str, str]) -> ModuleType:
    """Return a copy of *module* whose text is changed: each key stands there once, and gives way to its value."""
    loader = _Planted(module, changes)
    copy = module_from_spec(ModuleSpec(loader.name, loader, origin=loader.path))
    loader.exec_module(copy)
    return copy
