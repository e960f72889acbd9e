"""What callers may see and do that depends on the object: companies, users and their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from service.api.auth import Caller, Role, forbidden, hidden
from service.api.drafts import Given
from service.api.people import granted
from service.api.resource import ResourceType
from streams.domain.registry_state import RegistryState, StoredObject

_OWN_FIELDS = frozenset({"id", "name", "password"})
"""What users may change of themselves, in person."""

Precondition = Callable[[StoredObject | None], None]


def sees(caller: Caller, resource: ResourceType, stored: StoredObject) -> bool:
    """Say whether a caller may know of an object of the request's context."""
    if caller.is_super or resource.in_company:
        return True
    if resource.name == "companies":
        return stored.id in caller.roles
    return stored.id == caller.user or any(company in caller.roles for company, _ in granted(stored.fields))


class Guard:
    """Says whether a caller may write objects as they are given."""

    def __init__(self, caller: Caller, resource: ResourceType, state: RegistryState) -> None:
        """Take who asks, for which type, and what is there."""
        self._caller, self._resource, self._state = caller, resource, state

    def over(self, objects: Sequence[Given], expect: Precondition) -> Precondition:
        """
        Return what is to be expected of the objects before they are written, beside what *expect* does.

        It is asked again whenever an object turns out to be another than it was, so that no role is judged by a
        version that has passed.

        Raises:
            MessagesError: 403, the caller may not; 404, may not even know of one.
        """
        if self._caller.is_super:
            return expect
        by_id = {given.id: given for given in objects}
        for given in objects:
            self._check(given, None if given.id is None else self._state.find(self._resource.name, given.id))

        def expected(before: StoredObject | None) -> None:
            if before is not None:
                self._check(by_id[before.id], before)
            expect(before)

        return expected

    def _check(self, given: Given, before: StoredObject | None) -> None:
        match self._resource.name:
            case "companies":
                self._check_company(given)
            case "users":
                self._check_user(given, before)
            case "apikeys" if before is None:
                self._check_key(given)

    def _check_company(self, given: Given) -> None:
        if given.id is None:
            raise forbidden()
        if given.id not in self._caller.roles:
            raise hidden(self._resource.label, given.id)
        if self._caller.roles[given.id] is not Role.ADMIN:
            raise forbidden()

    def _check_user(self, given: Given, before: StoredObject | None) -> None:
        fields = given.fields
        is_own = before is not None and before.id == self._caller.user and not self._caller.is_key
        if is_own and fields.keys() <= _OWN_FIELDS:
            return
        if before is not None and not sees(self._caller, self._resource, before):
            raise hidden(self._resource.label, before.id)
        had = set() if before is None else {(company, role.name) for company, role in granted(before.fields)}
        has = set(_named_roles(fields["roles"])) if "roles" in fields else had
        if not any(self._caller.is_admin(company) for company, _ in had | has):
            raise forbidden()
        needed = {company for company, _ in had ^ has}
        if before is not None and _changes_access(fields, before):
            # Whoever can change how somebody logs in can log in so, in all companies.
            needed |= {company for company, _ in had}
        if not all(map(self._caller.is_admin, needed)):
            raise forbidden()

    def _check_key(self, given: Given) -> None:
        """Refuse a key that would let the caller be somebody with more rights."""
        user_id = _id_of(given.fields.get("user", self._caller.user))
        user = None if user_id is None else self._state.find("users", user_id)
        if user is None or user.id == self._caller.user:
            return
        if not all(self._caller.is_admin(company) for company, _ in granted(user.fields)):
            raise forbidden()


def _changes_access(fields: Mapping[str, object], before: StoredObject) -> bool:
    if "password" in fields:
        return True
    is_renamed = "username" in fields and fields["username"] != before.fields.get("username")
    return is_renamed or fields.get("objectState", before.state) != before.state


def _named_roles(given: object) -> Iterator[tuple[str, str]]:
    """Return the companies and roles that a body names; what names none is broken, and refused as such later."""
    for one in given if isinstance(given, list) else ():
        company = _id_of(one.get("company")) if isinstance(one, dict) else None
        if company is not None:
            yield company, str(one.get("role"))


def _id_of(given: object) -> str | None:
    found = given.get("id") if isinstance(given, dict) else given
    return found if isinstance(found, str) else None
