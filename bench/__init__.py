"""How fast: every figure beside its bound, in the same run on the same machine. `make bench` runs all of it."""
