"""Where events live: one port, two adapters."""
