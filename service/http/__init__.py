"""The `/v1` contract on aiohttp: one file per resource, and what they share."""
