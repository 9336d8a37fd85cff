"""The limit of ``--memory``: it holds for a stage's code, and no longer when its end is told."""

from __future__ import annotations

import resource

__all__ = ["lift_memory_limit", "limit_memory"]

_before: list[tuple[int, int]] = []


def limit_memory(size_bytes: int) -> None:
    """Limit what this process allocates.

    Not the address space: libraries reserve much of that and use little (583 MB with pandas and scikit-learn, of which 288 MB are data).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    _before[:] = [(soft, hard)]
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard), hard))


def lift_memory_limit() -> None:
    """Give room again: a stage that has used up its memory could not even say so."""
    if _before:
        resource.setrlimit(resource.RLIMIT_DATA, _before.pop())
