"""Which statement of a setup cell reads what: setup runs before every stage, but a stage depends on the statements that it uses.

Without this, editing a module that setup imports for one stage would make every stage stale.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from nbmlops.dataflow.normalise import fingerprint
from nbmlops.pipeline.code import single_statements

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Attribution"]

_TOP_LEVEL = ("<module>", "<cell line")


class Attribution:
    """Notes, for everything that is read while setup runs, the statements that read it; they are known by their fingerprints.

    Parameters
    ----------
    used : frozenset of str or None
        The statements that the stage uses; None where everything counts.
    """

    def __init__(self, used: frozenset[str] | None = None) -> None:
        self.used = used
        self._code: str | None = None
        self._lines: dict[int, set[str]] | None = None
        self._readers: dict[tuple[str, str], set[str]] = {}
        self._counted: set[tuple[str, str]] = set()

    def begin(self, code: str | None) -> None:
        """Expect a setup cell of this code, as IPython compiles it; None for a cell of the stage's own."""
        self._code, self._lines = code, None

    def note(self, kind: str, name: str) -> None:
        """Note that the code that runs now reads something."""
        if (kind, name) in self._counted:
            return
        found = self._statements() if self._code is not None else set()
        if found:
            self._readers.setdefault((kind, name), set()).update(found)
        else:
            self._counted.add((kind, name))

    def counts(self, kind: str, name: str) -> bool:
        """Tell whether the stage depends on something that was read: its own cells or a statement that it uses read it."""
        item = (kind, name)
        return self.used is None or item in self._counted or item not in self._readers or not self._readers[item].isdisjoint(self.used)

    def _statements(self) -> set[str]:
        line = _line(sys._getframe(2))  # noqa: SLF001 - who reads is told by the stack alone
        if line is None or self._code is None:
            return set()
        if self._lines is None:
            self._lines = _by_line(self._code)
        return self._lines.get(line, set())


def _line(frame: FrameType | None) -> int | None:
    """Return the line of the cell that runs now."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<cell ") and frame.f_code.co_name.startswith(_TOP_LEVEL):
            return frame.f_lineno
        frame = frame.f_back
    return None


def _by_line(code: str) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return found
    for node in body:
        prints = {fingerprint(ast.Module(body=[item], type_ignores=[])) for item in single_statements([node])}
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
        for line in range(first, (node.end_lineno or node.lineno) + 1):
            found.setdefault(line, set()).update(prints)
    return found
