"""Items as publishers send them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

import msgspec
from msgspec import UNSET

from service.http.fields import struct_faults
from service.http.problems import Fault, InvalidFieldsError
from streams.domain.items import Item, content_id_fault, item_faults


class ItemIn(Item, frozen=True, forbid_unknown_fields=True):
    """One item as a publisher sends it: with no fields but those that there are."""


_FIELDS = msgspec.structs.fields(ItemIn)
_OPTIONAL = attrgetter(*(field.name for field in _FIELDS if not field.required))
_SPACE = b" \n\r\t"


class ItemReader:
    """Reads the bodies that are most of all bodies, twice as fast as the strict reader does."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ItemIn)

    def read(self, body: bytes) -> Item | None:
        """
        Return the item that *body* is; None where it is none, or is not certain to be strict JSON.

        The decoder is as strict as the contract but for duplicate keys and NUL. Space aside, a key is followed by its
        quote and a colon, so there are no more keys than such pairs; if those are no more than the fields that were
        found, no key was there twice.
        """
        try:
            item = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if b"\\u0000" in body or body.translate(None, _SPACE).count(b'":') != _field_count(item):
            return None
        return item


def _field_count(item: Item) -> int:
    return len(_FIELDS) - _OPTIONAL(item).count(UNSET)


def read_item(fields: Mapping[str, object]) -> Item:
    """
    Return *fields* as an item; what its fields say together has not been looked at.

    Raises:
        InvalidFieldsError: With everything that is wrong with it, by field.
    """
    try:
        return msgspec.convert(fields, ItemIn)
    except msgspec.ValidationError as error:
        raise InvalidFieldsError(_all_faults(fields)) from error


def check_rules(item: Item) -> Item:
    """Return *item*; raise `InvalidFieldsError` where its fields, each good by itself, break a rule."""
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
    faults = struct_faults(ItemIn, fields)
    broken = {fault.name for fault in faults}
    # A struct can be made of anything: None stands for what is broken or missing, and breaks no rule of its own.
    sound = {name: fields[name] for name in Item.__struct_fields__ if name in fields and name not in broken}
    required = dict.fromkeys(broken & set(Item.__struct_fields__), None)
    rules = item_faults(Item(**{**required, **sound}))  # type: ignore[arg-type]
    return [*faults, *(Fault(*fault) for fault in rules if fault[0] not in broken)]
