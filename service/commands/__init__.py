"""Use cases that write: they know ports, never a web server or a broker."""
