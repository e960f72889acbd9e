"""Which objects a list has, for whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from service.api.auth import Caller
from service.api.auth_objects import sees
from service.api.calls import Call
from service.api.params import Listing
from service.api.people import USERS
from streams.domain.registry_state import Found, RegistryState, StoredObject


def listed(call: Call, listing: Listing, state: RegistryState) -> Found:
    """Return the page that *listing* asks for of the objects of the call's type that its caller may see."""
    name, company = call.resource.name, call.company
    start, limit, with_hidden = listing.page * listing.page_size, listing.page_size, listing.include_hidden
    others = listing.include_others and call.resource.names_are_public
    if listing.ids is not None:
        found = (state.find(name, object_id) for object_id in listing.ids)
        seen = [one for one in found if one is not None and _is_listed(call, listing, one, others=others)]
        return _part(seen, start, limit)
    if others:
        return state.page_with_others(name, company, start, limit, with_hidden=with_hidden)
    if call.resource.in_company or call.caller.is_super:
        return state.page(name, company, start, limit, with_hidden=with_hidden)
    if name == USERS and len(call.caller.roles) == 1:
        # One of them is the caller.
        (company,) = call.caller.roles
        return state.page(name, company, start, limit, with_hidden=with_hidden)
    mine = {one.id: one for one in _of_caller(call.caller, name, state)}
    return _part([one for one in mine.values() if with_hidden or one.state != "HIDDEN"], start, limit)


def _of_caller(caller: Caller, type_name: str, state: RegistryState) -> Iterator[StoredObject]:
    """Yield the users or companies that a user sees, some of them more than once."""
    if type_name == USERS:
        for company in caller.roles:
            yield from state.ordered(USERS, company)
    own = (caller.user,) if type_name == USERS else caller.roles
    yield from (found for object_id in own if (found := state.find(type_name, object_id)) is not None)


def _is_listed(call: Call, listing: Listing, stored: StoredObject, *, others: bool) -> bool:
    """Say whether an object is in a list: of others', none that is not ACTIVE."""
    if not sees(call.caller, call.resource, stored):
        return False
    if stored.is_seen_by(call.company):
        return listing.include_hidden or stored.state != "HIDDEN"
    return others and stored.state == "ACTIVE"


def _part(objects: Iterable[StoredObject], start: int, limit: int) -> Found:
    inorder = sorted(objects, key=lambda stored: (stored.name, stored.id))
    return Found(inorder[start : start + limit], len(inorder))
