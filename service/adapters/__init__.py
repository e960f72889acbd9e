"""What implements the ports, over what `streams` has."""
