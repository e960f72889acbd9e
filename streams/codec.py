"""The wire: events ↔ JSON, feed messages and subscriptions ↔ msgpack. Everything that is stored goes through here."""
