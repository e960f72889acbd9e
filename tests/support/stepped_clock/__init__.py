"""A directory for `PYTHONPATH`, in which Python finds what steps the clock; see `tests.support.clocks`."""
