"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version

__all__ = ["machine_lines"]


def machine_lines() -> list[str]:
    """Return the date, the versions, the cores and the load average of now, a line each; the load stands last."""
    cores = len(os.sched_getaffinity(0))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"{time.strftime('%Y-%m-%d')}, nbmlops {version('nbmlops')}, Python {platform.python_version()}",
        f"{cores} cores, {platform.system()} {platform.machine()}",
        f"load average at {time.strftime('%H:%M:%S')}: {load}",
    ]
