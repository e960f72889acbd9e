"""Passwords on their way from a request's body to the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.api.auth_throttle import Throttle
from service.api.drafts import Given, Scene, current
from service.api.messages import MessagesError, error
from service.api.passwords import Hashed, Password
from service.api.ports import Passwords
from service.api.resource import Field

MAX_PASSWORDS = 20
"""In one request: each costs two hashes at most, so that one request takes one of the threads for 2 s, not minutes."""


class Hashing:
    """Hashes the passwords that requests give; one that is stored already keeps its hash."""

    def __init__(self, passwords: Passwords | None, guesses: Throttle | None) -> None:
        """
        Take what hashes, and what slows down those who guess.

        Args:
            passwords: None: passwords stay as they are, and are refused when they are read.
            guesses: Counts passwords that were not the stored one: else an answer, or only its time, would tell whether
                one is somebody's, as often as one likes, past all that slows down logins.
        """
        self._passwords, self._guesses = passwords, guesses

    async def hashed(self, objects: Sequence[tuple[Scene, Given]]) -> list[Given]:
        """
        Return the objects with their passwords hashed.

        Raises:
            MessagesError: 404, an object is not there; 413, there are too many passwords; 429, too many were wrong.
            OverloadedError: Too many passwords are being hashed.
        """
        given_count = sum(len(list(_clear(scene, given))) for scene, given in objects)
        if self._passwords is not None and given_count > MAX_PASSWORDS:
            text = "A request may set at most {{most}} passwords"
            raise MessagesError(413, [error("too.many.passwords", text, most=str(MAX_PASSWORDS))])
        return [await self._with_hashes(scene, given) for scene, given in objects]

    async def _with_hashes(self, scene: Scene, given: Given) -> Given:
        if self._passwords is None:
            return given
        fields = dict(given.fields)
        for field, clear in _clear(scene, given):
            before = current(scene, given)
            stored = None if before is None else before.fields.get(field.key)
            fields[field.name] = await self._hash(self._passwords, scene, given, stored, clear)
        return given._replace(fields=fields)

    async def _hash(self, passwords: Passwords, scene: Scene, given: Given, stored: str | None, clear: str) -> Hashed:
        # Hashes are salted, so that the same password given again must be compared to be seen as the same.
        if stored is not None:
            # What is counted is who tries, not from where: callers are known.
            attempt = None if self._guesses is None else self._guesses.begin(given.id or "", scene.caller)
            if await passwords.verify(stored, clear):
                if attempt is not None:
                    attempt.succeeded()
                return Hashed(stored)
        return Hashed(await passwords.hash(clear))


def _clear(scene: Scene, given: Given) -> Iterator[tuple[Field, str]]:
    """Yield the fields of an object that are given as passwords, with these."""
    for field in scene.resource.fields:
        clear = given.fields.get(field.name)
        if isinstance(field.kind, Password) and isinstance(clear, str) and field.kind.takes(clear):
            yield field, clear
