"""What the paths of `/api/v1` lead to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NamedTuple

from service.api.assets import ASSETS
from service.api.assets_uploads import UPLOAD, Uploads
from service.api.calls import Call
from service.api.dead_letters import DEAD_LETTERS, DeadLetterCalls
from service.api.dead_letters_shown import PATH as LETTERS
from service.api.kinds import API
from service.api.resource import ResourceType
from service.api.resources import Resources
from service.api.transactions import PATH, TRANSACTIONS, Transactions
from service.api.types import TYPES
from service.api.webhook_deliveries import WEBHOOK_DELIVERIES
from service.api.webhook_deliveries_calls import DeliveryCalls
from service.http.calls import Answer

EVENTS = "events"
"""The last part of the path of an object's history."""


class Target(NamedTuple):
    """What a path leads to."""

    template: str
    resource: ResourceType
    is_one: bool
    """One object, or all of a type."""
    read: Callable[[Call], Awaitable[Answer]] | None
    """Answers GET and HEAD; None: they are not allowed."""
    write: Callable[[Call, bytes], Awaitable[Answer]] | None
    """Answers POST, and PUT where there is something to read; None: they are not allowed."""
    receive: Callable[[Call], AbstractAsyncContextManager[bytes]]
    """Hands out what *write* is given of a request's body, and hears once that is done."""

    @property
    def allow(self) -> str:
        """The methods that are allowed, as the `Allow` header lists them."""
        return ", ".join(methods(reads=self.read is not None, writes=self.write is not None))


def methods(*, reads: bool, writes: bool) -> list[str]:
    """Return the methods of a path that can be read, written, or both."""
    reading, writing = ["GET", "HEAD"] if reads else [], ["POST"] if writes else []
    return [*reading, "OPTIONS", *writing, *(["PUT"] if reads and writes else [])]


def targets(
    resources: Resources,
    uploads: Uploads,
    transactions: Transactions,
    letters: DeadLetterCalls,
    deliveries: DeliveryCalls,
) -> Mapping[str, Target]:
    """Return every path's target, by template."""
    upload = Target(UPLOAD, ASSETS, is_one=True, read=None, write=uploads.write, receive=uploads.receive)
    transact = Target(PATH, TRANSACTIONS, is_one=False, read=None, write=transactions.write, receive=resources.receive)
    of_types = (target for resource in TYPES for target in _targets(resource, resources))
    of_letters = _letters(letters, resources)
    of_deliveries = _deliveries(deliveries, resources)
    return {target.template: target for target in (upload, transact, *of_letters, *of_deliveries, *of_types)}


def _letters(letters: DeadLetterCalls, resources: Resources) -> Iterator[Target]:
    one, receive = f"{LETTERS}/{{id}}", resources.receive
    yield Target(LETTERS, DEAD_LETTERS, is_one=False, read=letters.list, write=None, receive=receive)
    yield Target(one, DEAD_LETTERS, is_one=True, read=letters.read, write=None, receive=receive)
    yield Target(f"{one}/drop", DEAD_LETTERS, is_one=True, read=None, write=letters.drop, receive=receive)
    yield Target(f"{one}/replace", DEAD_LETTERS, is_one=True, read=None, write=letters.replace, receive=receive)


def _deliveries(deliveries: DeliveryCalls, resources: Resources) -> Iterator[Target]:
    every, receive = f"{API}/{WEBHOOK_DELIVERIES.name}", resources.receive
    one, kind = f"{every}/{{id}}", WEBHOOK_DELIVERIES
    yield Target(every, kind, is_one=False, read=deliveries.list, write=None, receive=receive)
    yield Target(f"{every}/resend", kind, is_one=False, read=None, write=deliveries.resend_all, receive=receive)
    yield Target(one, kind, is_one=True, read=deliveries.read, write=None, receive=receive)
    yield Target(f"{one}/resend", kind, is_one=True, read=None, write=deliveries.resend, receive=receive)


def _targets(resource: ResourceType, resources: Resources) -> Iterator[Target]:
    every = f"{API}/{resource.name}"
    one = f"{every}/{{id}}"
    receive = resources.receive
    yield Target(every, resource, is_one=False, read=resources.list, write=resources.write, receive=receive)
    yield Target(one, resource, is_one=True, read=resources.read, write=resources.write, receive=receive)
    yield Target(f"{one}/{EVENTS}", resource, is_one=True, read=resources.history, write=None, receive=receive)
    for action in resource.actions:
        acts = partial(resources.act, action)
        yield Target(f"{one}/{action.name}", resource, is_one=True, read=None, write=acts, receive=receive)
