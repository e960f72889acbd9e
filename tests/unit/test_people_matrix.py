"""Who may do what: every role, type, method and company, and the very bytes of every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.api.types import TYPES
from tests.support.api_listener import ApiNode, api_node, embedded_log
from tests.support.nodes import Caller
from tests.support.people import logged_in, make_company, make_user, put

ROLES = ("VIEWER", "EDITOR", "ADMIN")
UPLOADED = {"assets"}
BY_ADMINS = {"companies", "users", "clients", "apikeys"}
NO_COMPANY = {"companies", "users"}
LABELS = {resource.name: resource.label for resource in TYPES}

ROLE = (
    b'{"errors":[{"type":"ErrorMessage","code":"error.role.forbidden",'
    b'"text":"Your role does not allow this","params":{}}]}'
)
CONTEXT = (
    b'{"errors":[{"type":"ErrorMessage","code":"error.context.forbidden",'
    b'"text":"The company {{id}} is not one that you may use","params":{"id":"%b"}}]}'
)
ABSENT = (
    b'{"errors":[{"type":"ErrorMessage","code":"error.object.not.found","text":"{{type}} {{id}} not found",'
    b'"params":{"type":"%b","id":"%b"}}]}'
)


class Way(NamedTuple):
    """A method on all objects of a type, or on one."""

    method: str
    on_one: bool
    writes: bool
    path: str = ""


WAYS = (
    Way("GET", on_one=False, writes=False),
    Way("HEAD", on_one=False, writes=False),
    Way("POST", on_one=False, writes=True),
    Way("PUT", on_one=False, writes=True),
    Way("GET", on_one=True, writes=False),
    Way("HEAD", on_one=True, writes=False),
    Way("GET", on_one=True, writes=False, path="/events"),
    Way("POST", on_one=True, writes=True),
    Way("PUT", on_one=True, writes=True),
)
PLACES = ("own", "other's object", "absent object", "other's context")


class Cell(NamedTuple):
    """One question: may somebody of this role do this, here?"""

    type: str
    role: str
    way: Way
    place: str


def cells() -> Iterator[Cell]:
    for resource in TYPES:
        for role in ROLES:
            for way in WAYS:
                for place in PLACES:
                    has_context = resource.name not in NO_COMPANY
                    if (place.endswith("object") and not way.on_one) or (place.endswith("context") and not has_context):
                        continue
                    yield Cell(resource.name, role, way, place)


def test_there_are_enough() -> None:
    """The matrix has more than 600 cells, and every type is in it."""
    everything = list(cells())
    assert len(everything) == len(set(everything)) > 600
    assert {cell.type for cell in everything} == {resource.name for resource in TYPES}


@dataclass
class Company:
    """A company, and an object of each type in it."""

    id: str
    objects: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def body(self, type_name: str) -> dict[str, Any]:
        """Return a new object of a type."""
        self.number += 1
        name, of = f"n{self.number}", self.objects
        bodies: dict[str, dict[str, Any]] = {
            "users": {"username": f"{self.id}.{name}@b.example", "roles": [{"company": self.id, "role": "VIEWER"}]},
            "licenses": {"app": of.get("apps"), "price": "1.00", "currency": "NOK", "period": "MONTH"},
            "clients": {"tenant": of.get("apps")},
            "apikeys": {"user": of.get("users")},
            "webhookendpoints": {"client": of.get("clients"), "endpointUrl": "https://hooks.example/"},
            "platformattributes": {"platform": of.get("platforms"), "kind": "REQUESTED"},
            "platformvalues": {"app": of.get("apps"), "platform": of.get("platforms")},
            "availabilities": {"app": of.get("apps"), "platform": of.get("platforms")},
        }
        return {"name": name, **bodies.get(type_name, {})}


async def company_of_everything(node: ApiNode, name: str) -> Company:
    company = Company(await make_company(node, name))
    company.objects["companies"] = company.id
    for resource in TYPES:
        if resource.name in UPLOADED:
            object_id = f"{resource.name}.{company.id}"
            await put(node, resource.name, object_id, {}, company=company.id)
            company.objects[resource.name] = object_id
        elif resource.name != "companies":
            context = "" if resource.name in NO_COMPANY else f"?context={company.id}"
            made = await node.admin.ok("POST", f"/api/v1/{resource.name}{context}", company.body(resource.name))
            company.objects[resource.name] = made.json["id"]
    return company


def expected(cell: Cell, own: Company, other: Company) -> tuple[int, bytes | None]:
    """Return the status and, of a refusal, the body that the specification asks for."""
    if cell.place == "other's context":
        return 403, CONTEXT % other.id.encode()
    label = LABELS[cell.type].encode()
    absent = 404, ABSENT % (label, object_of(cell, own, other).encode())
    is_away = cell.place != "own"
    # Of what is no company's, nobody hears anything who may not see it; a company's roles count first.
    if is_away and cell.type in NO_COMPANY and not (makes_users(cell) and cell.place == "absent object"):
        return absent
    least = "VIEWER" if not cell.way.writes else "ADMIN" if cell.type in BY_ADMINS else "EDITOR"
    makes_companies = cell.type == "companies" and cell.way.writes and not cell.way.on_one
    if ROLES.index(cell.role) < ROLES.index(least) or makes_companies:
        return 403, ROLE
    makes = cell.way.writes and cell.place == "absent object" and cell.type not in {"apps", "platforms", *UPLOADED}
    if cell.type in UPLOADED and cell.way.writes and not cell.way.on_one:
        return 400, None
    return absent if is_away and not makes else (200, None)


def makes_users(cell: Cell) -> bool:
    return cell.type == "users" and cell.way.writes


def object_of(cell: Cell, own: Company, other: Company) -> str:
    if cell.place == "absent object":
        return f"absent.{cell.role}.{cell.way.method}"
    return (other if cell.place.startswith("other's object") else own).objects[cell.type]


async def ask(cell: Cell, caller: Caller, own: Company, other: Company) -> tuple[int, bytes]:
    path = f"/api/v1/{cell.type}"
    if cell.way.on_one:
        path += f"/{object_of(cell, own, other)}{cell.way.path}"
    if cell.type not in NO_COMPANY:
        path += f"?context={(other if cell.place.endswith('context') else own).id}"
    body: Any = None
    if cell.way.writes:
        is_new = not cell.way.on_one or cell.place == "absent object"
        body = own.body(cell.type) if is_new else {}
        body = [body] if cell.way.method == "PUT" and not cell.way.on_one else body
    answer = await caller.call(cell.way.method, path, body)
    return answer.status, answer.body


@pytest.mark.parametrize("type_name", LABELS)
async def test_matrix(tmp_path: Path, type_name: str) -> None:
    """Each cell is answered as the specification says, a refusal with the same bytes whatever is behind it."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        own, other = await company_of_everything(node, "Own"), await company_of_everything(node, "Other")
        callers: dict[str, Caller] = {}
        for role in ROLES:
            await make_user(node, role.lower(), {own.id: role})
            callers[role] = await logged_in(node, role.lower())
        wrong = []
        for cell in (one for one in cells() if one.type == type_name):
            status, body = await ask(cell, callers[cell.role], own, other)
            wanted, refusal = expected(cell, own, other)
            # Where a pair may have one object alone, another one is a duplicate: the caller might have made it.
            is_duplicate = status == 409 and wanted == 200
            is_wrong = status != wanted and not is_duplicate
            if is_wrong or (refusal is not None and body != refusal and cell.way.method != "HEAD"):
                wrong.append((cell, status, body, wanted))
        assert wrong == []


async def test_lists(tmp_path: Path) -> None:
    """A list holds what the caller's companies own, and nothing else; the super user sees everything."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        own, other = await company_of_everything(node, "Own"), await company_of_everything(node, "Other")
        await make_user(node, "viewer", {own.id: "VIEWER"})
        await make_user(node, "nobody")
        viewer, nobody = await logged_in(node, "viewer"), await logged_in(node, "nobody")
        for name in LABELS:
            context = "" if name in NO_COMPANY else f"?context={own.id}"
            ids = {one["id"] for one in (await viewer.ok("GET", f"/api/v1/{name}{context}")).json["results"]}
            assert own.objects[name] in ids
            assert other.objects[name] not in ids
            both = f"{own.objects[name]};{other.objects[name]}"
            sign = "&" if context else "?"
            some = (await viewer.ok("GET", f"/api/v1/{name}{context}{sign}id={both}")).json
            assert (some["totalCount"], some["results"][0]["id"]) == (1, own.objects[name])
        assert (await nobody.ok("GET", "/api/v1/companies")).json["results"] == []
        assert [one["id"] for one in (await nobody.ok("GET", "/api/v1/users")).json["results"]] == ["nobody"]
        companies = (await node.admin.ok("GET", "/api/v1/companies")).json["results"]
        assert {one["id"] for one in companies} == {own.id, other.id}


async def test_a_role_in_each_company(tmp_path: Path) -> None:
    """Somebody with roles in two companies is in each what the role there says, and no more."""
    async with embedded_log(tmp_path) as log, api_node(log) as node:
        first, second = await make_company(node, "First"), await make_company(node, "Second")
        await make_user(node, "ann", {first: "EDITOR", second: "VIEWER"})
        ann = await logged_in(node, "ann")
        for company, status in ((first, 200), (second, 403)):
            assert (await ann.call("POST", f"/api/v1/apps?context={company}", {"name": "A"})).status == status
        assert (await ann.ok("GET", "/api/v1/companies")).json["totalCount"] == 2
        await node.admin.ok("POST", f"/api/v1/companies/{second}", {"objectState": "HIDDEN"})
        assert (await ann.call("GET", f"/api/v1/apps?context={second}")).status == 403
        assert (await ann.ok("GET", "/api/v1/companies?includeHidden=true")).json["totalCount"] == 1
