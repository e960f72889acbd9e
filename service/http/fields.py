"""JSON objects as structs, with every broken field named at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec.inspect import BoolType, Field, IntType, LiteralType, StrType, StructType, type_info

from service.http.problems import MAX_FAULTS, Fault, InvalidFieldsError

S = TypeVar("S", bound=msgspec.Struct)

MAX_NAME_CHARS = 64
"""Of an unknown field's name, as many characters are told back."""


def read_struct(kind: type[S], fields: Mapping[str, object]) -> S:
    """
    Return *fields* as a *kind*.

    Raises:
        InvalidFieldsError: With all of them that are missing, unknown, of a wrong type or out of bounds.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InvalidFieldsError(struct_faults(kind, fields)) from error


def struct_faults(kind: type[msgspec.Struct], fields: Mapping[str, object]) -> list[Fault]:
    """
    Return what keeps *fields* from being a *kind*, in the order of its fields, unknown ones last.

    Of unknown ones there are no more than are answered: a body may have thousands.
    """
    declared = _declared(kind)
    known = (_field_fault(field, fields) for field in declared.values())
    unknown = (
        Fault(name[:MAX_NAME_CHARS], "unknown_field", "There is no such field.")
        for name in fields
        if name not in declared
    )
    return [*(fault for fault in known if fault is not None), *islice(unknown, MAX_FAULTS)]


@cache
def _declared(kind: type[msgspec.Struct]) -> Mapping[str, Field]:
    """Return the fields by name: to look into a type takes ten times as long as to look for faults."""
    info = type_info(kind)
    if not isinstance(info, StructType):
        raise TypeError(kind)
    return {field.encode_name: field for field in info.fields}


def _field_fault(field: Field, fields: Mapping[str, object]) -> Fault | None:
    name = field.encode_name
    if name not in fields:
        return Fault(name, "required", "This field is required.") if field.required else None
    broken = _value_fault(field.type, fields[name])
    return Fault(name, *broken) if broken is not None else None


def _value_fault(declared: object, value: object) -> tuple[str, str] | None:
    """Return code and message of what is wrong with *value*, None where nothing is."""
    match declared:
        case StrType():
            return _str_fault(declared, value)
        case IntType():
            return _int_fault(declared, value)
        case BoolType():
            return None if isinstance(value, bool) else ("wrong_type", "This must be true or false.")
        case LiteralType(values=values):
            if not isinstance(value, str):
                return "wrong_type", "This must be a string."
            return None if value in values else ("not_allowed", f"This must be one of {', '.join(map(str, values))}.")
        case _:
            raise TypeError(declared)


def _str_fault(declared: StrType, value: object) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "wrong_type", "This must be a string."
    if declared.min_length is not None and len(value) < declared.min_length:
        return "too_short", f"This must have at least {declared.min_length} characters."
    if declared.max_length is not None and len(value) > declared.max_length:
        return "too_long", f"This must have at most {declared.max_length} characters."
    return None


def _int_fault(declared: IntType, value: object) -> tuple[str, str] | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "wrong_type", "This must be an integer, written without fraction or exponent."
    least = declared.ge if declared.ge is not None else None if declared.gt is None else declared.gt + 1
    if least is not None and value < least:
        return "out_of_range", f"This must be at least {least}."
    if declared.le is not None and value > declared.le:
        return "out_of_range", f"This must be at most {declared.le}."
    return None
