"""Passwords on their way from a request's body to the log."""

from __future__ import annotations

from collections.abc import Sequence

from service.api.drafts import Given, Scene, current
from service.api.passwords import Hashed, Password
from service.api.ports import Passwords


async def with_hashes(scene: Scene, objects: Sequence[Given], passwords: Passwords | None) -> Sequence[Given]:
    """
    Return *objects* with the passwords that they give hashed; one that is stored already keeps its hash.

    Without *passwords* they stay as they are, and are refused when they are read.

    Raises:
        MessagesError: An object is not there.
        OverloadedError: Too many passwords are being hashed.
    """
    kinds = {field.name: (field.key, field.kind) for field in scene.resource.fields if isinstance(field.kind, Password)}
    if passwords is None or not kinds:
        return objects
    hashed: list[Given] = []
    for given in objects:
        fields = dict(given.fields)
        for name, (key, kind) in kinds.items():
            clear = fields.get(name)
            if isinstance(clear, str) and isinstance(kind, Password) and kind.takes(clear):
                before = current(scene, given)
                fields[name] = await _hash(passwords, None if before is None else before.fields.get(key), clear)
        hashed.append(given._replace(fields=fields))
    return hashed


async def _hash(passwords: Passwords, before: str | None, clear: str) -> Hashed:
    # Hashes are salted, so that the same password given again must be compared to be seen as the same.
    if before is not None and await passwords.verify(before, clear):
        return Hashed(before)
    return Hashed(await passwords.hash(clear))
