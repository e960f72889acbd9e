"""Rows in memory, under the name by which tests know them."""

from streams.domain.memory_rows import MemoryRows

__all__ = ["MemoryRows"]
