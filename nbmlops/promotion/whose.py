"""Who acts: as git knows them, else by their login."""

from __future__ import annotations

import getpass
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["who_acts"]

_TIMEOUT_S = 10


def who_acts(folder: Path) -> str:
    """Return ``NAME <EMAIL>`` as git has it for `folder`, what it has of both, else the login name."""
    name, email = _git(folder, "user.name"), _git(folder, "user.email")
    if name or email:
        return f"{name} <{email}>" if name and email else name or email
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return "unknown"


def _git(folder: Path, name: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(folder), "config", name],  # noqa: S607 - the user's git, wherever it is
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(done.stdout.split()) if done.returncode == 0 else ""
