"""Dead letters over HTTP: for the super user, who alone knows what publishers' records should have been."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from service.api.auth import forbidden
from service.api.calls import Call
from service.api.dead_letters_shown import MOST_LISTED_BYTES, show_letter
from service.api.messages import MessagesError, invalid, not_found
from service.api.params import read_flag
from service.api.ports import DeadLetters
from service.api.resource import ResourceType
from service.http.calls import Answer
from service.http.json_body import JsonReader
from streams.domain.dead_letters import Cursor, FoundLetter, Place, parse_place
from streams.domain.errors import AbsentError, PoisonError

DEAD_LETTERS = ResourceType(
    name="deadletters",
    label="DeadLetter",
    says="A record that no fold could take.",
    in_company=False,
    fields=(),
)
"""No type of objects: what its paths are answered by, beside those of the types."""
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000


class DeadLetterCalls:
    """The handlers."""

    def __init__(self, letters: DeadLetters) -> None:
        """Take what finds them and decides about them."""
        self._letters = letters
        self._json = JsonReader()

    async def list(self, call: Call) -> Answer:
        """Answer some letters, and where to go on: all are answered once nothing is."""
        _check(call)
        query = call.request.query
        page = await self._letters.page(
            _cursor(query.get("after")), _limit(query.get("limit")), undecided=not read_flag(query, "includeDecided")
        )
        body = {
            "results": [show_letter(found, most_bytes=MOST_LISTED_BYTES) for found in page.letters],
            "next": None if page.next is None else f"{page.next.partition}-{page.next.offset}",
        }
        return Answer(200, {}, msgspec.json.encode(body))

    async def read(self, call: Call) -> Answer:
        """Answer one letter."""
        return await self._answer(call, self._letters.find)

    async def drop(self, call: Call, _body: bytes) -> Answer:
        """Decide that a letter is nothing."""
        drop = partial(self._letters.drop, user=call.caller.user, request=call.request_id)
        return await self._answer(call, drop)

    async def replace(self, call: Call, body: bytes) -> Answer:
        """Decide that an event stands for a letter."""
        _check(call)
        fields = self._json.read(body)
        of, event = fields.pop("of", ""), fields.pop("event", None)
        if fields or not isinstance(of, str) or not isinstance(event, dict):
            text = "The body must be an object of an event, and of the id of its context or session as of"
            raise MessagesError(400, [invalid("letter.event.required", text)])
        replace = partial(self._letters.replace, of=of, event=event, user=call.caller.user, request=call.request_id)
        return await self._answer(call, replace)

    async def _answer(self, call: Call, act: Callable[[Place], Awaitable[FoundLetter]]) -> Answer:
        _check(call)
        place = parse_place(call.object_id or "")
        absent = MessagesError(404, [not_found(DEAD_LETTERS.label, call.object_id or "")])
        if place is None:
            raise absent
        try:
            found = await act(place)
        except AbsentError as error:
            raise absent from error
        except PoisonError as poison:
            text = "That cannot stand for the record: {{reason}}"
            raise MessagesError(400, [invalid("letter.event.invalid", text, reason=str(poison))]) from poison
        return Answer(200, {}, msgspec.json.encode(show_letter(found)))


def _check(call: Call) -> None:
    if not call.caller.is_super:
        raise forbidden()


def _cursor(text: str | None) -> Cursor:
    if text is None:
        return Cursor(0, 0)
    place = parse_place(f"letters-{text}")
    if place is None:
        raise MessagesError(400, [invalid("after.invalid", "The parameter after must be what next was")])
    return Cursor(place.partition, place.offset)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        said = "The parameter limit must be an integer from 1 to {{most}}"
        raise MessagesError(400, [invalid("limit.invalid", said, most=str(MAX_LIMIT))])
    return int(text)
