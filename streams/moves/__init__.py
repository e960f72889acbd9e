"""Sources moved: to files, from files, from one log to another."""
