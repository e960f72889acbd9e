"""What is done to a user's credentials: a second factor enrolled and confirmed, tokens revoked."""

from __future__ import annotations

from service.api.auth import SUPER_USER, Caller, forbidden, hidden
from service.api.auth_throttle import Throttle
from service.api.kinds import Json
from service.api.messages import MessagesError, error
from service.api.people import Cause, Credentials, People, Person, granted
from service.api.people_totp import SecondFactors
from service.api.planning import checked_id
from service.api.tokens_grants import Asked, refused

_LABEL = "User"


class FactorCalls:
    """The handlers of users' credentials."""

    def __init__(self, people: People, factors: SecondFactors, codes: Throttle) -> None:
        """Take the users, what makes and checks second factors, and what slows down those who guess codes."""
        self._people, self._factors, self._codes = people, factors, codes

    async def enrol(self, caller: Caller, user_id: str, asked: Asked) -> Json:
        """Return the `otpauth` URI of a new secret, this once. What was in force stays so until it is confirmed."""
        person = self._subject(caller, user_id)
        credentials, uri = self._factors.enrol(person)
        await self._store(person, credentials, caller, asked)
        return {"otpauth": uri}

    async def confirm(self, caller: Caller, user_id: str, asked: Asked) -> Json:
        """Switch on the second factor that was enrolled, whose code is shown."""
        person = self._subject(caller, user_id)
        attempt = self._codes.begin(person.user.id, asked.address)
        credentials = self._factors.confirm(person, asked.required("code").strip())
        if credentials is None:
            raise refused()
        attempt.succeeded()
        await self._store(person, credentials, caller, asked, twoFactor=True)
        return {"twoFactor": True}

    async def revoke(self, caller: Caller, asked: Asked) -> None:
        """End the validity of all tokens of the caller, or of the user that the field `user` names."""
        user_id = asked.fields.get("user", caller.user)
        if user_id == SUPER_USER:
            text = "The deployment's own token is not revoked here: start the nodes with another one"
            raise MessagesError(400, [error("superuser", text)])
        person = self._subject(caller, user_id)
        await self._people.revoke(person.user.id, Cause(caller.user, asked.request_id))

    def _subject(self, caller: Caller, user_id: str) -> Person:
        """
        Return the user whose credentials the caller may change: the caller, or one whom the caller administers.

        Raises:
            MessagesError: 404, there is none that the caller may know of; 403, the caller may not.
        """
        if caller.is_key:
            # A key is good in one company; how its user logs in counts in all of the user's.
            raise forbidden()
        person = self._people.find(checked_id(user_id))
        if person is not None and (caller.is_super or caller.user == person.user.id):
            if caller.scopes is not None and not caller.has_scope("users", "write"):
                raise forbidden()
            return person
        companies = [] if person is None else [company for company, _ in granted(person.user.fields)]
        if person is None or not any(map(caller.may_use, companies)):
            raise hidden(_LABEL, user_id)
        # Whoever can change how somebody logs in can log in so, in all companies.
        if not caller.has_scope("users", "write") or not all(map(caller.is_admin, companies)):
            raise forbidden()
        return person

    async def _store(
        self, person: Person, credentials: Credentials, caller: Caller, asked: Asked, **fields: object
    ) -> None:
        if not await self._people.change(person, credentials, Cause(caller.user, asked.request_id), **fields):
            raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])
