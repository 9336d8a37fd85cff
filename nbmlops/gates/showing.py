"""How what a stage's code finds is shown below its cell.

The pages are made in `nbmlops.views`, which lies above the gates: a result names its view, which is imported when somebody looks at it.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

__all__ = ["Shown"]


class Shown:
    """A result that a notebook shows as a still, escaped table, and a terminal as text.

    Attributes
    ----------
    view : str
        A module of `nbmlops.views`, with a function ``NAME_text`` and a function ``NAME_html`` of its last part's name.
    """

    __slots__ = ()
    view: ClassVar[str]

    def _repr_mimebundle_(self, **_wanted: object) -> dict[str, str]:
        """Return what IPython shows; it may be told what is wanted, which need not be heeded."""
        return {"text/plain": self._shown("text"), "text/html": self._shown("html")}

    def __str__(self) -> str:
        """Return the table that a terminal shows."""
        return self._shown("text")

    def _shown(self, kind: str) -> str:
        module: Any = importlib.import_module(f"nbmlops.views.{self.view}")
        text: str = getattr(module, f"{self.view}_{kind}")(self)
        return text
