"""What the code says of itself: docstrings, those of attributes too, and types in words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as types


class Field(NamedTuple):
    """One field of a struct."""

    name: str
    type: str
    """In words."""
    default: str
    """As JSON; empty where the field is required."""
    text: str
    """Its docstring."""


def attribute_docs(of: ModuleType | type) -> dict[str, str]:
    """Return the docstring of each attribute of a module or class that has one: the string right after it."""
    tree = ast.parse(inspect.cleandoc(f"\n{inspect.getsource(of)}"))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) and isinstance(of, type) else tree.body
    docs = {}
    for statement, after in pairwise(body):
        name = _assigned(statement)
        if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[name] = " ".join(str(after.value.value).split())
    return docs


def _assigned(statement: ast.stmt) -> str | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def summary(of: type) -> str:
    """Return a class's docstring as one line."""
    return " ".join((inspect.getdoc(of) or "").split())


def fields(struct: type[msgspec.Struct]) -> list[Field]:
    """Return the fields of a struct, those that it inherits first."""
    docs: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        if issubclass(cls, msgspec.Struct) and cls is not msgspec.Struct:
            docs |= attribute_docs(cls)
    hints = types.multi_type_info([field.type for field in msgspec.structs.fields(struct)])
    return [
        Field(field.encode_name, words(kind), _default(field), docs.get(field.name, ""))
        for field, kind in zip(msgspec.structs.fields(struct), hints, strict=True)
    ]


def tag(struct: type[msgspec.Struct]) -> str:
    """Return what tells a struct from the others of its topic."""
    return str(struct.__struct_config__.tag)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return ""
    if field.default is msgspec.UNSET:
        return "left out"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{msgspec.json.encode(value).decode()}`"


def words(kind: types.Type) -> str:
    """Return a type, with its bounds, in words."""
    match kind:
        case types.UnionType():
            text = " or ".join(words(part) for part in kind.types)
        case types.LiteralType():
            text = f"one of {', '.join(f'`{value}`' for value in kind.values)}"
        case types.ListType() | types.VarTupleType():
            text = f"list of {words(kind.item_type)}"
        case types.StructType():
            text = f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case _:
            text = ", ".join((_NAMES[type(kind)], *_bounds(kind)))
    return text


_NAMES: dict[type[Any], str] = {
    types.StrType: "text",
    types.BytesType: "bytes",
    types.IntType: "integer",
    types.BoolType: "boolean",
    types.DictType: "object",
    types.NoneType: "null",
    types.AnyType: "anything",
    types.RawType: "any JSON",
    types.TupleType: "list",
}
_WIDEST = 2**53


def _bounds(kind: types.Type) -> Iterator[str]:
    low, high = getattr(kind, "ge", None), getattr(kind, "le", None)
    above = getattr(kind, "gt", None)
    if low is not None:
        yield f"at least {low}"
    if above is not None:
        yield f"more than {above}"
    if high is not None and high < _WIDEST:
        yield f"at most {high}"
    shortest, longest = getattr(kind, "min_length", None), getattr(kind, "max_length", None)
    if longest is not None:
        yield f"{shortest or 0} to {longest} characters"
    if pattern := getattr(kind, "pattern", None):
        yield f"`{pattern}`"
