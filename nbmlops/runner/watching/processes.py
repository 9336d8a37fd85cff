"""What the other processes of a stage read: a forked worker tells it through a journal, of a program only its arguments are known."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Journal", "program_name", "program_words"]

_VARIABLE = pattern(r"\$\{?([A-Za-z_]\w*)")
_WORKERS = ("loky", "multiprocessing.spawn", "multiprocessing.forkserver", "popen_loky")
_TRACKER = "resource_tracker"


class Journal:
    """A file in which the forked children of this process say what they read.

    Parameters
    ----------
    path : Path or None
        By default one in the system's folder for temporary files: it stays there if the process is killed before it has read it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._owner = os.getpid()
        self._path = path or Path(tempfile.gettempdir()) / f"nbmlops-{secrets.token_hex(12)}.journal"

    @property
    def elsewhere(self) -> bool:
        """Whether this is a child of the process that made the journal."""
        return os.getpid() != self._owner

    def tell(self, *parts: object) -> None:
        """Write down what a child has seen."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
            try:
                os.write(descriptor, json.dumps(parts).encode() + b"\n")  # one short write is whole beside those of others
            finally:
                os.close(descriptor)

    def take(self) -> Iterator[list[Any]]:
        """Yield what children have told since the last time."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        with suppress(OSError):
            self._path.unlink()
        for line in lines:
            with suppress(ValueError):
                yield json.loads(line)


def program_words(command: Any) -> tuple[list[str], list[str]]:  # noqa: ANN401 - a text, a path, or a list of them
    """Return the words of a command, and the variables of the environment that it names in a shell's way.

    Parameters
    ----------
    command : object
        What `subprocess` or ``os.system`` was given.
    """
    if isinstance(command, (str, bytes, os.PathLike)):
        text = os.fsdecode(command)
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        return words, _VARIABLE.findall(text)
    words = [os.fsdecode(item) for item in command or () if isinstance(item, (str, bytes, os.PathLike))]
    match words:
        case [shell, "-c", text, *_] if Path(shell).name in {"bash", "sh", "zsh"}:
            return program_words(text)
    return words, []


def program_name(words: list[str]) -> str | None:
    """Return what to call a program that a stage starts: None for what only keeps account of workers."""
    line = " ".join(words)
    if _TRACKER in line:
        return None
    if any(mark in line for mark in _WORKERS) or (words and words[0] == sys.executable and "--multiprocessing-fork" in words):
        return "worker processes"
    return f"the program {Path(words[0]).name!r}" if words else None
