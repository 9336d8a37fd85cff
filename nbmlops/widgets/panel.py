"""What the live panels share: a widget that sets text and never markup, buttons that wait for the kernel, and a card that stays when it is gone.

A click is handled by the kernel only while no cell runs there; so each view says hello when it is made, and its buttons stay off until the kernel
has answered. The browser loads one script for a widget: `script` and `style` put what is shared before the panel's own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import display

from nbmlops.errors import NbmlopsError
from nbmlops.views.escape import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anywidget import AnyWidget
    from IPython.display import DisplayHandle

__all__ = ["LINE", "Panel", "error_line", "script", "style"]

LINE = 400


class Panel:
    """A panel below a cell.

    Parameters
    ----------
    widget : AnyWidget
        What the browser knows of it. It is changed while `lock` is held: what ipywidgets holds back while it sends would be lost.
    """

    def __init__(self, widget: AnyWidget) -> None:
        self._widget = widget
        self._lock = threading.RLock()
        self._twins: list[DisplayHandle] = []
        widget.on_msg(self._asked)

    def display(self) -> None:
        """Put the panel below the cell that runs, and below it the card that stays in the notebook when the kernel is gone."""
        view = self._widget._repr_mimebundle_()
        bundle = {**view[0], "text/html": "", "text/plain": ""} if view else {}
        display(bundle, raw=True)
        self._twins.append(display(self._twin(), raw=True, display_id=True))

    def _ipython_display_(self) -> None:
        self.display()

    def _twin(self) -> Mapping[str, str]:
        """Return what stays in the notebook, by MIME type."""
        raise NotImplementedError

    def _do(self, content: Mapping[str, Any]) -> None:
        """Do what a button asks for; called in whatever thread the kernel hears the browser in."""
        raise NotImplementedError

    def _update_twins(self) -> None:
        if self._twins:
            bundle = self._twin()
            for twin in self._twins:
                twin.update(bundle, raw=True)

    def _asked(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("kind") == "hello":
            self._widget.send({"kind": "ready", "id": content.get("id")})
        else:
            self._do(content)


def script(name: str) -> str:
    """Return the module that a browser loads for the panel `name`."""
    return _both(f"{name}.js", "panel.js")


def style(name: str) -> str:
    """Return the rules of style of the panel `name`."""
    return _both(f"{name}.css", "panel.css")


def error_line(error: Exception) -> str:
    """Return an error in one line; ours without the name of its class."""
    if isinstance(error, NbmlopsError):
        return cut(error, LINE)
    return cut(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, LINE)


def _both(own: str, shared: str) -> str:
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in (shared, own))
