"""Complete the options of the magics, and stage and parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.magics.hooks import Hooks

__all__ = ["complete", "install_completion"]

_RUN = ("-p", "-f", "--stage", "--force", "--force-stage", "--workers", "--executor", "--no-track", "--fail-fast")
_OPTIONS = {
    "%mlrun": _RUN,
    "%mlgraph": ("--format",),
    "%mlstatus": ("-p", "-f"),
    "%mlwhy": ("-p", "-f"),
    "%mlload": ("--run",),
    "%mlcheck": (),
    "%mlpipeline": ("use",),
}
_TAKES_STAGE = ("--after", "--stage", "--force-stage")
_NAMES_FIRST = ("%mlwhy", "%mlload")


def install_completion(shell: InteractiveShell, hooks: Hooks) -> None:
    """Register a completer for each magic."""

    def completer(_shell: object, event: Any) -> list[str]:  # noqa: ANN401 - IPython's event
        return complete(event.line, event.symbol, hooks)

    for magic in ("%%mlstage", *_OPTIONS):
        shell.set_hook("complete_command", completer, str_key=magic)


def complete(line: str, symbol: str, hooks: Hooks) -> list[str]:
    """Return what can stand at the end of `line`.

    Parameters
    ----------
    line : str
        The text up to the cursor.
    symbol : str
        The word that is being written, "" after a space.
    hooks : Hooks
    """
    words = line.split()
    magic = words[0] if words else ""
    previous = words[-1] if line.endswith(" ") else (words[-2] if len(words) > 1 else "")
    if previous in _TAKES_STAGE or (magic in _NAMES_FIRST and previous == magic):
        found = _stages(hooks)
    elif previous == "-p":
        found = _parameters(hooks)
    elif magic == "%%mlstage":
        from nbmlops.notebook.directive import OPTIONS  # noqa: PLC0415 - only once somebody completes

        found = [f"--{option.flag}" for option in OPTIONS]
    else:
        found = [*_OPTIONS.get(magic, ())]
    return sorted(name for name in found if name.startswith(symbol))


def _stages(hooks: Hooks) -> list[str]:
    return list(hooks.session.known().stages)


def _parameters(hooks: Hooks) -> list[str]:
    return list(hooks.session.known().parameters)
