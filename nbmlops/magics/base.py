"""What the magics of all verbs have in common: their line is parsed as the command is, and their notebook is the kernel's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.magic import Magics

from nbmlops.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.arguments import Parser
    from nbmlops.magics.hooks import Hooks
    from nbmlops.session.batch import Session

__all__ = ["VerbMagics", "split_words"]


class VerbMagics(Magics):
    """Magics that have a command of the same name.

    Parameters
    ----------
    shell : InteractiveShell
    hooks : Hooks
        Of the shell: what knows the kernel's session.
    """

    def __init__(self, shell: InteractiveShell, hooks: Hooks) -> None:
        super().__init__(shell)
        self.hooks = hooks

    def parse(self, name: str, line: str, add_arguments: Callable[[Parser], None], *, notebook: bool) -> argparse.Namespace:
        """Parse a line with the arguments that the command of the same name has; NOTEBOOK may be left out."""
        from nbmlops.arguments import Parser  # noqa: PLC0415

        parser = Parser(prog=f"%{name}", add_help=False)
        add_arguments(parser)
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way to make a positional optional
            if action.dest == "notebook":
                action.nargs, action.required = "?", False
        words = split_words(line.rstrip().rstrip(";"))
        if not notebook:
            words = ["", *words]
        options = parser.parse_args(words)
        options.notebook = getattr(options, "notebook", None) or None
        return options

    def has_file(self, options: argparse.Namespace) -> bool:
        """Tell whether the line names a notebook, or the kernel's own is known."""
        return options.notebook is not None or self.hooks.session.cells.path is not None

    def path(self, options: argparse.Namespace) -> Path:
        """Return the notebook that the line names, else the kernel's own.

        Raises
        ------
        UsageError
            If nobody knows it.
        """
        path: Path | None = Path(options.notebook) if options.notebook else self.hooks.session.cells.path
        if path is None:
            raise UsageError("this kernel does not know its notebook's file", code="NB401", fix="name it, or write %mlpipeline use PATH once")
        return path

    def open(self, options: argparse.Namespace) -> Session:
        """Open the notebook that the line names, else the kernel's own."""
        from nbmlops.arguments import store_url  # noqa: PLC0415
        from nbmlops.session.batch import open_notebook  # noqa: PLC0415

        session = open_notebook(self.path(options), store=store_url(options.store))
        session.pool = self.hooks.session.workers
        return session

    def is_watched(self) -> bool:
        """Tell whether a live front end has sent the cell: JupyterLab and its kin name the cell, nbclient and papermill do not."""
        return self.hooks.cell_id is not None or "cellId" in self.hooks.metadata

    def print(self, text: str) -> None:
        """Print into the cell."""
        print(text)

    def show(self, text: str, html: str | None) -> None:
        """Show something in the cell, as text and as a page."""
        data = {"text/plain": text} if html is None else {"text/plain": text, "text/html": html}
        if self.shell is not None:
            self.shell.display_pub.publish(data)


def split_words(line: str) -> list[str]:
    """Split a magic's line as a shell would.

    Raises
    ------
    UsageError
        If a quotation mark is open at its end.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the line cannot be read: {error}", code="NB004", fix="close the quotation mark") from error
