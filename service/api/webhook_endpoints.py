"""Webhook endpoints: where apps hear of what platforms do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.api.kinds import Choice, Flag, Link, Many
from service.api.messages import Message, warning
from service.api.resource import Action, Field, Issued, Means, ResourceType
from service.api.webhook_urls import WebhookUrl
from service.webhooks.signing import new_secret
from streams.domain.notices import NOTICE_TYPES
from streams.domain.registry_state import RegistryState, StoredObject
from streams.domain.times import iso_ms

SECRET_PURPOSE = "webhook secret"  # noqa: S105 - what secrets are sealed for is no secret
OVERLAP_MS = 24 * 3_600_000
"""For so long after a roll, events are signed with the old secret too."""


def _sealed(means: Means) -> tuple[str, str]:
    secret = new_secret(means.entropy)
    return secret, means.vault.seal(secret, SECRET_PURPOSE)


def _issue(means: Means) -> Issued:
    secret, sealed = _sealed(means)
    return Issued({"secret": sealed}, {"secret": secret})


def _roll(stored: StoredObject, _given: Mapping[str, Any], means: Means) -> Issued:
    secret, sealed = _sealed(means)
    rolled = {"secret": stored.fields["secret"], "expires": iso_ms(means.now_ms + OVERLAP_MS)}
    return Issued({"secret": sealed, "rolled": rolled}, {"secret": secret})


def _warnings(stored: StoredObject, state: RegistryState) -> Iterable[Message]:
    client = state.find("clients", stored.fields["client"]["id"])
    if client is None or client.state != "ACTIVE":
        text = "Webhook endpoint {{id}} is never called: its client is not ACTIVE"
        yield warning("webhook.client.not.active", text, id=stored.id)
    elif client.fields["tenant"]["type"] != "apps":
        text = "Webhook endpoint {{id}} is never called: events go to apps, and its client is a platform's"
        yield warning("webhook.client.of.platform", text, id=stored.id)


WEBHOOK_ENDPOINTS = ResourceType(
    name="webhookendpoints",
    label="WebhookEndpoint",
    says="Where apps hear of what platforms do with their viewers' lists.",
    in_company=True,
    name_required=False,
    fields=(
        Field(name="client", kind=Link(("clients",)), says="Whose events are sent.", required=True, immutable=True),
        Field(name="endpointUrl", kind=WebhookUrl(), says="Where they are sent to.", required=True),
        Field(
            name="eventTypes",
            kind=Many(Choice(NOTICE_TYPES)),
            says="Which events are sent; empty: all.",
            empty=(),
        ),
        Field(
            name="ordered",
            kind=Flag(),
            says="Whether an event of a context waits until those before it have arrived.",
            empty=False,
        ),
    ),
    shown_once={"secret": "What the events are signed with."},
    issue=_issue,
    actions=(
        Action(
            name="roll",
            says="Make a new secret; for 24 hours events are signed with the old one too",
            run=_roll,
        ),
    ),
    warnings=_warnings,
)
