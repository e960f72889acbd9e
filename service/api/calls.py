"""One request to the resource API, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from service.api.auth import Caller
from service.api.drafts import Given
from service.api.messages import MessagesError, error, invalid
from service.api.planning import checked_id
from service.api.resource import ResourceType
from service.api.shown import etag
from service.api.writing import Cause, Precondition
from service.http.problems import MalformedJsonError
from streams.domain.registry_state import RegistryState, StoredObject

MAX_OBJECTS = 1_000
"""In one request."""


class Call(NamedTuple):
    """A request whose caller may make it."""

    request: web.BaseRequest
    resource: ResourceType
    object_id: str | None
    """From the path; None where it is about all of them."""
    caller: Caller
    company: str | None
    """The request's context; None where the type has none."""
    request_id: str
    file: str | None = None
    """From the path, where that names a file of the object."""

    @property
    def cause(self) -> Cause:
        """Why something is written."""
        return Cause(self.resource, self.company, self.caller.user, self.request_id)


def read_given(body: object, object_id: str | None) -> tuple[list[Given], bool]:
    """
    Return the objects of a body, and whether they came as a list.

    Raises:
        MalformedJsonError: It is neither an object nor, where the path names none, a list of objects.
        MessagesError: Their ids are broken.
    """
    if isinstance(body, dict):
        return [_given(body, object_id, None)], False
    if object_id is not None or not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        wanted = "a JSON object" if object_id is not None else "a JSON object or a list of objects"
        raise MalformedJsonError(f"The body must be {wanted}.")
    if len(body) > MAX_OBJECTS:
        text = "A request may have at most {{most}} objects"
        raise MessagesError(413, [error("body.too.large", text, most=str(MAX_OBJECTS))])
    objects = [_given(one, None, number) for number, one in enumerate(body)]
    _refuse_repeated(objects)
    return objects, True


def allowed_company(company: str, caller: Caller, state: RegistryState) -> str:
    """Return the company, which is there and which the caller may use; raise `MessagesError` (403) where it is not."""
    is_there = state.find("companies", company) is not None
    if is_there and caller.may_use(company):
        return company
    message = error("context.forbidden", "The company {{id}} is not one that you may use", id=company)
    raise MessagesError(403, [message], may_be_news=not is_there)


def _given(fields: dict[str, object], object_id: str | None, number: int | None) -> Given:
    if "id" not in fields:
        return Given(object_id, fields, number)
    own_id = checked_id(fields["id"])
    if object_id is not None and own_id != object_id:
        text = "The id {{id}} is not the one in the path"
        raise MessagesError(400, [invalid("id.mismatch", text, id=own_id)])
    return Given(own_id, fields, number)


def _refuse_repeated(objects: Sequence[Given]) -> None:
    seen: set[str] = set()
    for given in objects:
        if given.id in seen:
            text = "The object {{id}} is given twice"
            raise MessagesError(400, [invalid("id.repeated", text, id=given.id, index=str(given.number))])
        if given.id is not None:
            seen.add(given.id)


def expected(request: web.BaseRequest, *, is_list: bool) -> Precondition:
    """Return what the request's `If-Match` and `If-None-Match` expect of the object that it writes (RFC 9110, 13.1)."""
    match_tags, none_tags = _tags(request, "If-Match"), _tags(request, "If-None-Match")
    if is_list and (match_tags or none_tags):
        text = "If-Match and If-None-Match go with one object, not with a list"
        raise MessagesError(400, [error("precondition.with.list", text)])

    def expect(before: StoredObject | None) -> None:
        tag = None if before is None else etag(before)
        if match_tags and (tag is None or not {"*", tag} & match_tags):
            raise MessagesError(412, [error("precondition.failed", "The object is not in the version of If-Match")])
        if none_tags and tag is not None and {"*", tag} & none_tags:
            raise MessagesError(412, [error("precondition.failed", "The object is in the version of If-None-Match")])

    return expect


def _tags(request: web.BaseRequest, header: str) -> set[str]:
    return {tag.strip() for line in request.headers.getall(header, []) for tag in line.split(",") if tag.strip()}
