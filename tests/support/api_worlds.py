"""One type of resources on a node, and what its objects refer to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from service.api.resource import ResourceType
from service.api.types import TYPES
from streams.domain.registry import Applied
from streams.domain.registry_events import ObjectWrite, Transaction
from tests.support.api_listener import ApiNode
from tests.support.api_types import IN_A_POOL, PLANTED, Pools, Type
from tests.support.nodes import Answer


@dataclass
class World:
    """One type on a node, with the company that its objects are of, and what they refer to."""

    node: ApiNode
    type: Type
    pools: Pools

    @property
    def company(self) -> str:
        return self.pools.company

    def path(self, object_id: str = "", query: str = "", company: str | None = None) -> str:
        context = f"context={company or self.company}" if self.type.in_company else ""
        parts = "&".join(part for part in (context, query) if part)
        return f"/api/v1/{self.type.name}{'/' if object_id else ''}{object_id}{'?' if parts else ''}{parts}"

    def filled(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value(self.pools) if callable(value) else value for name, value in fields.items()}

    def named(self, name: str) -> str:
        return self.type.named(name)

    def body(self, name: str = "Name", **more: Any) -> dict[str, Any]:
        """Return a new object that is like no other."""
        return {"name": self.named(name), **self.filled(self.type.required), **more}

    @property
    def resource(self) -> ResourceType:
        return next(resource for resource in TYPES if resource.name == self.type.name)

    @property
    def valid(self) -> dict[str, Any]:
        return self.filled(self.type.valid)

    async def call(self, method: str, object_id: str = "", body: Any = None, **more: Any) -> Answer:
        query, company = more.pop("query", ""), more.pop("company", None)
        return await self.node.admin.call(method, self.path(object_id, query, company), body, **more)

    async def make(self, name: str = "Name", **more: Any) -> Any:
        if self.type in PLANTED:
            return await self._plant(name)
        answer = await self.call("POST", body=self.body(name, **more))
        assert answer.status == 200, answer.body
        return answer.json

    async def _plant(self, name: str) -> Any:
        object_id = f"p{next(self.pools.numbers)}"
        write = ObjectWrite(type=self.type.name, id=object_id, version=0, company=self.company, name=name, fields={})
        planted = Transaction(id=os.urandom(16).hex(), user="service", objects=(write,))
        assert isinstance(await self.node.registry.transact(planted), Applied)
        return await self.read(object_id)

    async def read(self, object_id: str) -> Any:
        answer = await self.call("GET", object_id)
        assert answer.status == 200, answer.body
        return answer.json

    async def list(self, query: str = "") -> Any:
        answer = await self.call("GET", query=query)
        assert answer.status == 200, answer.body
        return answer.json

    async def refused(self, status: int, code: str, method: str, *args: Any, **more: Any) -> Any:
        """Call, insist on this refusal and that nothing was written, and return its messages."""
        events = await self.node.events()
        answer = await self.call(method, *args, **more)
        messages = refusal(answer, status)
        assert messages[0]["code"] == f"error.{code}", messages
        assert await self.node.events() == events
        return messages


def etag(answer: Answer) -> str | None:
    """Return the answer's ETag; clients may spell its name otherwise."""
    return {name.lower(): value for name, value in answer.headers.items()}.get("etag")


def refusal(answer: Answer, status: int) -> Any:
    """Check the shape of an error and return its messages."""
    assert answer.status == status, answer.body
    assert list(answer.json) == ["errors"]
    for message in answer.json["errors"]:
        assert list(message) == ["type", "code", "text", "params"]
        assert message["type"] in ("ErrorMessage", "ValidationErrorMessage")
        assert set(re.findall(r"{{(\w+)}}", message["text"])) <= set(message["params"])
    return answer.json["errors"]


async def made_world(node: ApiNode, case: Type) -> World:
    company = (await node.admin.ok("POST", "/api/v1/companies", {"name": "Company"})).json["id"]
    pools = Pools(company)
    context = f"?context={company}"
    for pool in case.pools:
        match pool:
            case "users":
                roles = [{"company": company, "role": "EDITOR"}]
                path, objects = "/api/v1/users", [{"username": "ann@a.example", "roles": roles}]
            case "clients":
                path, objects = f"/api/v1/clients{context}", [{"name": "K", "tenant": pools.ids["apps"][0]}]
            case _:
                path, objects = f"/api/v1/{pool}{context}", [{"name": "N"}] * IN_A_POOL
        pools.ids[pool] = [one["id"] for one in (await node.admin.ok("POST", path, objects)).json]
    if case.name == "companies":
        # The tests of lists want to begin with none.
        await node.admin.ok("POST", f"/api/v1/companies/{company}", {"objectState": "HIDDEN"})
    return World(node, case, pools)
