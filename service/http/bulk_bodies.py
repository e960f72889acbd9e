"""Bulks as publishers send them: JSON of which each item is read by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Raw

from service.http.bodies import MAX_ITEM_BYTES
from service.http.fields import MAX_NAME_CHARS
from service.http.items import ItemIn, ItemReader, check_rules, read_item
from service.http.json_body import JsonReader
from service.http.problems import MAX_FAULTS, Fault, InvalidFieldsError, MalformedJsonError, RequestError, TooLargeError
from streams.domain.items import Item

MAX_ITEMS = 500
"""In one context at once."""
MAX_CONTEXTS = 500
MAX_ITEMS_IN_ALL = 2_000
"""Of all contexts of one call: each is answered, and an answer must not be many times what was sent."""

_AT_ONCE = 50
"""Items that are read before others have their turn: some 1 ms where they are small."""
_BYTES_AT_ONCE = 16 * 1024
"""Bytes of items that are read before others have their turn: some 1 ms where they are broken."""
_SPACE = b" \n\r\t"

T = TypeVar("T", bound=msgspec.Struct)


class ItemsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Items that are put at once, the later the newer; of one that is there twice the later counts."""

    items: Annotated[list[ItemIn], Meta(min_length=1, max_length=MAX_ITEMS)]


class WholeListIn(msgspec.Struct, forbid_unknown_fields=True):
    """All that the list is to hold, the later the newer; of one that is there twice the later counts."""

    items: Annotated[list[ItemIn], Meta(max_length=MAX_ITEMS)]


class ItemsOfContextIn(msgspec.Struct, forbid_unknown_fields=True):
    """Items that are put into one context at once."""

    context_id: str
    items: Annotated[list[ItemIn], Meta(min_length=1, max_length=MAX_ITEMS)]


class ItemsOfContextsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Items of several contexts. A context that is there twice is written twice, in this order."""

    contexts: Annotated[list[ItemsOfContextIn], Meta(min_length=1, max_length=MAX_CONTEXTS)]


class SentItems(msgspec.Struct, forbid_unknown_fields=True):
    """`ItemsIn` or `WholeListIn` whose items are not read yet."""

    items: list[Raw]


class SentItemsOfContext(msgspec.Struct, forbid_unknown_fields=True):
    """`ItemsOfContextIn` whose items are not read yet."""

    context_id: str
    items: list[Raw]


class SentContexts(msgspec.Struct, forbid_unknown_fields=True):
    """`ItemsOfContextsIn` whose items are not read yet."""

    contexts: list[SentItemsOfContext]


class AnyItems(msgspec.Struct):
    """What has items at all, whatever they and the other fields are."""

    items: list[Raw]


class AnyContexts(msgspec.Struct):
    """What has contexts at all, likewise."""

    contexts: list[Raw]


class Sent(NamedTuple, Generic[T]):
    """A body that is JSON, and what is wrong with it apart from its items: *body* is None where it has another form."""

    body: T | None
    faults: list[Fault]


class BulkReader:
    """Reads bulks and their items."""

    def __init__(self) -> None:
        self._of_one = msgspec.json.Decoder(SentItems)
        self._of_many = msgspec.json.Decoder(SentContexts)
        self._any_of_one = msgspec.json.Decoder(AnyItems)
        self._any_of_many = msgspec.json.Decoder(AnyContexts)
        self._json = JsonReader()
        self._items = ItemReader()

    def of_one(self, body: bytes, *, least: int) -> Sent[SentItems]:
        """
        Return the items for one context, which are to be *least* to `MAX_ITEMS`.

        Raises:
            MalformedJsonError: It is no JSON object.
        """
        sent = self._read(self._of_one, body)
        if sent is None:
            some = _decoded(self._any_of_one, body)
            too_many = [] if some is None else _count_faults("items", some.items, 0, MAX_ITEMS)
            return Sent(None, too_many or _first(_faults_of_one(self._json.read(body), "", {"items"})))
        return Sent(sent, _count_faults("items", sent.items, least, MAX_ITEMS))

    def of_many(self, body: bytes) -> Sent[SentContexts]:
        """
        Return the items for many contexts.

        Raises:
            MalformedJsonError: It is no JSON object.
        """
        sent = self._read(self._of_many, body)
        if sent is None:
            some = _decoded(self._any_of_many, body)
            too_many = [] if some is None else _count_faults("contexts", some.contexts, 0, MAX_CONTEXTS)
            return Sent(None, too_many or _first(_faults_of_many(self._json.read(body))))
        faults = _count_faults("contexts", sent.contexts, 1, MAX_CONTEXTS)
        if faults:
            return Sent(sent, faults)
        if any("\0" in entry.context_id for entry in sent.contexts):
            return Sent(None, _first(_faults_of_many(self._json.read(body))))
        for n, entry in enumerate(sent.contexts):
            faults += _count_faults(f"contexts[{n}].items", entry.items, 1, MAX_ITEMS)
        count = sum(len(entry.items) for entry in sent.contexts)
        if count > MAX_ITEMS_IN_ALL:
            faults.append(Fault("contexts", "too_long", f"This must have at most {MAX_ITEMS_IN_ALL} items in all."))
        return Sent(sent, _first(faults))

    def _read(self, decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
        """
        Return what *body* is, None where it has another form.

        The decoder is as strict as the contract around the items but for keys that are there twice, of which it takes
        the last. Then the body has more than what was found in it; where it may have, the strict reader looks.
        """
        sent = _decoded(decoder, body)
        if sent is None:
            return None
        if len(msgspec.json.encode(sent).translate(None, _SPACE)) != len(body.translate(None, _SPACE)):
            self._json.read(body)
        return sent

    async def read(self, items: Sequence[Raw]) -> list[Item | RequestError]:
        """Return each item, or what is wrong with it; others have their turn in between."""
        outcomes: list[Item | RequestError] = []
        count = size = 0
        for raw in items:
            item = bytes(raw)
            try:
                outcomes.append(self._item(item))
            except RequestError as error:
                outcomes.append(error.with_traceback(None))
            count += 1
            size += len(item)
            if count >= _AT_ONCE or size >= _BYTES_AT_ONCE:
                count = size = 0
                await asyncio.sleep(0)
        return outcomes

    def _item(self, raw: bytes) -> Item:
        if len(raw) > MAX_ITEM_BYTES:
            raise TooLargeError
        item = self._items.read(raw)
        if item is not None:
            return check_rules(item)
        fields = self._json.read_any(raw)
        if not isinstance(fields, dict):
            raise InvalidFieldsError([Fault("", "wrong_type", "An item is an object.")])
        return check_rules(read_item(fields))


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        body.decode()  # the decoder looks at no text within items
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _first(faults: Iterable[Fault]) -> list[Fault]:
    """Return as many as are answered: a body may have a thousand times as many, and others wait."""
    return list(islice(faults, MAX_FAULTS))


def all_good(outcomes: Iterable[Item | RequestError]) -> list[Item]:
    """
    Return the items.

    Raises:
        InvalidFieldsError: With what is wrong with any of them, `items[3].title`.
    """
    items: list[Item] = []
    faults: list[Fault] = []
    for n, outcome in enumerate(outcomes):
        if isinstance(outcome, Item):
            items.append(outcome)
        elif len(faults) < MAX_FAULTS:
            faults += _faults_within(outcome, f"items[{n}]")
    if faults:
        raise InvalidFieldsError(faults)
    return items


def _faults_within(error: RequestError, place: str) -> list[Fault]:
    match error:
        case InvalidFieldsError(faults=faults):
            return [Fault(f"{place}.{fault.name}".rstrip("."), fault.code, fault.message) for fault in faults]
        case TooLargeError():
            return [Fault(place, "too_large", f"An item has at most {MAX_ITEM_BYTES // 1024} KiB.")]
        case MalformedJsonError():
            return [Fault(place, "invalid_json", str(error))]
        case _:
            raise TypeError(error)


def _faults_of_one(fields: Mapping[str, object], place: str, known: set[str]) -> Iterator[Fault]:
    """Yield what keeps *fields* from having a list of items, and no fields but those that are *known*."""
    yield from _list_faults(fields, "items", place)
    for name in fields:
        if name not in known:
            yield Fault(place + name[:MAX_NAME_CHARS], "unknown_field", "There is no such field.")


def _list_faults(fields: Mapping[str, object], name: str, place: str) -> list[Fault]:
    if name not in fields:
        return [Fault(place + name, "required", "This field is required.")]
    if not isinstance(fields[name], list):
        return [Fault(place + name, "wrong_type", "This must be an array.")]
    return []


def _faults_of_many(fields: Mapping[str, object]) -> Iterator[Fault]:
    yield from _list_faults(fields, "contexts", "")
    entries = fields.get("contexts")
    for n, entry in enumerate(entries if isinstance(entries, list) else []):
        place = f"contexts[{n}]"
        if not isinstance(entry, dict):
            yield Fault(place, "wrong_type", "This must be an object.")
            continue
        yield from _faults_of_one(entry, f"{place}.", {"context_id", "items"})
        if "context_id" not in entry:
            yield Fault(f"{place}.context_id", "required", "This field is required.")
        elif not isinstance(entry["context_id"], str):
            yield Fault(f"{place}.context_id", "wrong_type", "This must be a string.")
    for name in fields:
        if name != "contexts":
            yield Fault(name[:MAX_NAME_CHARS], "unknown_field", "There is no such field.")


def _count_faults(name: str, entries: Sequence[object], least: int, most: int) -> list[Fault]:
    if len(entries) < least:
        return [Fault(name, "too_short", f"This must have at least {least} entries.")]
    if len(entries) > most:
        return [Fault(name, "too_long", f"This must have at most {most} entries.")]
    return []
