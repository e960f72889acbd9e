"""Versions of `/v1`: the newest is what the handlers are written for, and each file here undoes one change of it."""
