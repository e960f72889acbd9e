"""Webhooks: events on their way to publishers: where they may go, how they are signed, how they are sent."""
