"""Items as publishers send them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from service.http.fields import struct_faults
from service.http.problems import Fault, InvalidFieldsError
from streams.domain.items import Item, content_id_fault, item_faults


def read_item(fields: Mapping[str, object]) -> Item:
    """
    Return *fields* as an item that may be written.

    Raises:
        InvalidFieldsError: With everything that is wrong with it, by field.
    """
    try:
        item = msgspec.convert(fields, Item)
    except msgspec.ValidationError as error:
        raise InvalidFieldsError(_all_faults(fields)) from error
    faults = item_faults(item)
    if faults:
        raise InvalidFieldsError([Fault(*fault) for fault in faults])
    return item


def content_id_faults(content_id: str | None) -> list[Fault]:
    """Return what keeps *content_id* from being one; None is one that is not UTF-8."""
    if content_id is None:
        return [Fault("content_id", "not_allowed", "This must be UTF-8, percent-encoded.")]
    fault = content_id_fault(content_id)
    return [] if fault is None else [Fault("content_id", *fault)]


def _all_faults(fields: Mapping[str, object]) -> list[Fault]:
    """Return what is wrong with the fields one by one, and what is wrong between those that are not."""
    faults = struct_faults(Item, fields)
    broken = {fault.name for fault in faults}
    # A struct can be made of anything: None stands for what is broken or missing, and breaks no rule of its own.
    sound = {name: fields[name] for name in Item.__struct_fields__ if name in fields and name not in broken}
    required = dict.fromkeys(broken & set(Item.__struct_fields__), None)
    rules = item_faults(Item(**{**required, **sound}))  # type: ignore[arg-type]
    return [*faults, *(Fault(*fault) for fault in rules if fault[0] not in broken)]
