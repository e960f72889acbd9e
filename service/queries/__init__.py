"""Use cases that read: they know ports, never a web server or a table."""
