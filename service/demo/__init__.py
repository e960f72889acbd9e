"""A household to look at: fills a running node over HTTP, then watches films and series on it."""
