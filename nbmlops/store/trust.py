"""Which stores may hand us bytes that run code when read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmlops.settings import Settings

__all__ = ["Trust", "is_trusted", "judge_trust", "local_root", "store_key"]

_KEY_VARIABLE = "NBMLOPS_STORE_KEY"
_KEY_CONTEXT = "nbmlops 2026 store seal"
_LOCAL_SCHEMES = ("file", "local")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a store is trusted, and why.

    Parameters
    ----------
    trusted : bool
    reason : str
        Half a sentence that follows "the store is (not) trusted: ".
    """

    trusted: bool
    reason: str


def store_key(environment: Mapping[str, str] | None = None) -> bytes | None:
    """Derive the 32 bytes that seal records from ``NBMLOPS_STORE_KEY``; None if it is unset or empty."""
    text = (os.environ if environment is None else environment).get(_KEY_VARIABLE, "")
    return blake3(text.encode("utf-8", "surrogateescape"), derive_key_context=_KEY_CONTEXT).digest() if text else None


def local_root(url: str, settings: Settings) -> Path | None:
    """Return the folder that `url` means, or None if it is not on this machine.

    A relative path is taken from the project root, so that every folder's notebooks share one store.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in _LOCAL_SCHEMES:
        return None
    return settings.project_root / Path(rest if separator else url).expanduser()


def is_trusted(url: str | Path, settings: Settings) -> bool:
    """Tell whether code-running formats may be read from the store at `url`."""
    return judge_trust(str(url), settings, key=store_key()).trusted


def judge_trust(url: str, settings: Settings, *, key: bytes | None) -> Trust:
    """Decide whether code-running formats may be read from a store.

    Parameters
    ----------
    url : str
        The store's path or fsspec URL.
    settings : Settings
    key : bytes or None
        The team's key: with it every store is trusted, because records not sealed with it are misses.
    """
    if key:
        return Trust(trusted=True, reason="its records are sealed with the team's key")
    root = local_root(url, settings)
    if any(_same_place(url, named, settings) for named in settings.trusted_stores):
        return Trust(trusted=True, reason="the setting trusted_stores names it")
    if root is None:
        return Trust(trusted=False, reason="it is not on this machine; name it in trusted_stores or set NBMLOPS_STORE_KEY")
    return _judge_folder(root, settings.project_root)


def _same_place(url: str, other: str, settings: Settings) -> bool:
    one, two = local_root(url, settings), local_root(other, settings)
    if one is None or two is None:
        return one is two and url.rstrip("/") == other.rstrip("/")
    return one.resolve() == two.resolve()


def _judge_folder(root: Path, project_root: Path) -> Trust:
    if not root.resolve().is_relative_to(project_root.resolve()):
        return Trust(trusted=False, reason="it is outside the project; name it in trusted_stores or set NBMLOPS_STORE_KEY")
    try:
        status = root.stat()
    except FileNotFoundError:
        return Trust(trusted=True, reason="it is inside the project and will be made by this user")
    if status.st_uid != os.getuid():
        return Trust(trusted=False, reason="another user owns it; name it in trusted_stores or set NBMLOPS_STORE_KEY")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Trust(trusted=False, reason="others may write to it; run chmod go-w on it, or set NBMLOPS_STORE_KEY")
    return Trust(trusted=True, reason="it is inside the project and owned by this user")
