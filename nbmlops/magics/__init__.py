"""The IPython front: `%%mlstage` and the line magics.

Light: loading the extension imports IPython and the standard library; the session comes with the first cell that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.magics.compare import CompareMagics
from nbmlops.magics.expect import ExpectMagics
from nbmlops.magics.hooks import Hooks
from nbmlops.magics.promotion import PromotionMagics
from nbmlops.magics.sweep import SweepMagics
from nbmlops.magics.verbs import StageMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["register", "unregister"]

_ATTRIBUTE = "_nbmlops_hooks"
_MAGICS = (StageMagics, SweepMagics, CompareMagics, ExpectMagics, PromotionMagics)


def register(shell: InteractiveShell) -> None:
    """Register magics, hooks and completion; doing it twice is doing it once."""
    if hasattr(shell, _ATTRIBUTE):
        return
    hooks = Hooks(shell)
    setattr(shell, _ATTRIBUTE, hooks)
    for magics in _MAGICS:
        shell.register_magics(magics(shell, hooks))
    if not getattr(shell, "is_stage_process", False):  # there the scheduler decides what runs
        hooks.install()


def unregister(shell: InteractiveShell) -> None:
    """Take everything out again."""
    hooks: Hooks | None = getattr(shell, _ATTRIBUTE, None)
    if hooks is None:
        return
    if not getattr(shell, "is_stage_process", False):
        hooks.remove()
    delattr(shell, _ATTRIBUTE)
    for magics in _MAGICS:
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
