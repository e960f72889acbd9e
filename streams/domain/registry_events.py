"""The registry's events: what is configured, not streamed. Facts, as they stand in the log for ever."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streams.domain.events import Hex16

ObjectState = Literal["ACTIVE", "INACTIVE", "HIDDEN"]
"""Usable; visible, not usable; neither. Nothing is ever deleted."""
TypeName = Annotated[str, Meta(pattern="^[a-z]{1,32}$")]
ObjectId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class RegistryEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=False):
    """
    What every event of the registry bears. Its time is its record's, its id is its record's key.

    Fields are only ever added, with defaults; a changed meaning is a new tag.
    """

    id: Hex16


class DeploymentDeclared(RegistryEvent, frozen=True, kw_only=True, tag="registry.deployment_declared.v1"):
    """What holds for the life of the deployment. The first one in the log counts."""

    fingerprint: str
    """Of the master key."""
    partitions: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    """Of every topic but this one."""


class DeploymentMoved(RegistryEvent, frozen=True, kw_only=True, tag="registry.deployment_moved.v1"):
    """The deployment's sources were copied into this log from another one, and go on here."""

    log: str
    """The id of the log that they came from."""
    partitions: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    """Of every topic but this one, from now on."""


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object that must be there, and not HIDDEN, when a transaction is judged."""

    type: TypeName
    id: ObjectId
    company: str | None = None
    """The company that it must belong to, or be shared with; None: any."""


class UniqueValue(msgspec.Struct, frozen=True):
    """A value that one object of a type has and no other."""

    field: str
    value: str


class ObjectWrite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One object as it is to be, whole, and what it is to be judged by.

    It says itself what it refers to and what is unique in it, so that every version of the program, also one that does
    not know its type, judges it alike.
    """

    type: TypeName
    id: ObjectId
    version: Annotated[int, Meta(ge=0, le=2**53)]
    """The one that it replaces; 0: there must be none yet."""
    company: str | None = None
    """The id of the company that it belongs to; None: the deployment."""
    partners: tuple[str, ...] = ()
    """The companies that it is shared with: its own and they see it."""
    name: str = ""
    state: ObjectState = "ACTIVE"
    fields: dict[str, Any]
    """What its type has beside these. Never changed in place."""
    references: tuple[Reference, ...] = ()
    """Those that this write brings; what was there before is not judged again."""
    unique: tuple[UniqueValue, ...] = ()
    """All that the object has."""
    keeps_past: bool = True
    """Whether the versions before this one can still be asked for."""


class Transaction(RegistryEvent, frozen=True, kw_only=True, tag="registry.transaction.v1"):
    """Objects to be written, all of them or none, as the fold finds them at this place in the log."""

    user: str
    """The id of the user who asked for it."""
    request: str = ""
    """The request's id, `req_…`."""
    objects: tuple[ObjectWrite, ...]


AnyRegistryEvent = DeploymentDeclared | DeploymentMoved | Transaction
