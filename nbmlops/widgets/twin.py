"""What stands in a saved notebook for a panel: a still card, for those who open it without the kernel.

Measured in JupyterLab 4.6.6 with its widget manager 3.0.17, on a notebook whose kernel is gone: an output that holds both a widget and HTML
shows the widget's "Error displaying widget: model not found" where the notebook is trusted, whatever else the output holds, and the HTML where
it is not. nbconvert takes the HTML, if no state of the widget is saved. So the panel's own output holds empty HTML beside the widget, and the
twin is an output of its own below it; rules of style hide the twin while the panel is there, and the message while it is not. Where rules
of style are stripped, or a browser does not know ``:has``, both are seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.views.escape import escape
from nbmlops.views.html import card
from nbmlops.views.promotion_html import model_body
from nbmlops.views.standing import headline as model_headline
from nbmlops.views.standing import model_text, portable
from nbmlops.views.sweep import headline, sweep_body, sweep_text

if TYPE_CHECKING:
    from nbmlops.promotion.state import ModelState
    from nbmlops.sweeps.state import SweepState

__all__ = ["model_twin", "twin_bundle"]

_OUTPUT = ".jp-OutputArea-child"
_WIDGET = ".jp-OutputArea-output.lm-Panel"  # alive, loading or lost
_STYLE = (
    f"{_OUTPUT}:has(.nbmlops-panel)+{_OUTPUT}:has(.nbmlops-twin){{display:none}}"
    f"{_OUTPUT}:has(>{_WIDGET}):not(:has(.nbmlops-panel)):has(+{_OUTPUT} .nbmlops-twin){{display:none}}"
    ".nbmlops-twin summary{cursor:pointer}"
    'body[data-jp-theme-light="false"] .nbmlops-twin img{color-scheme:dark}body[data-jp-theme-light="true"] .nbmlops-twin img{color-scheme:light}'
)


def twin_bundle(state: SweepState) -> dict[str, str]:
    """Return a sweep as HTML and text; folded up while it runs."""
    state = _for_others(state)
    return _bundle(headline(state), sweep_body(state), sweep_text(state), unfolded=state.status != "running")


def model_twin(state: ModelState) -> dict[str, str]:
    """Return how a registered model stands, as HTML and text."""
    state = portable(state)
    return _bundle(model_headline(state), model_body(state), model_text(state), unfolded=True)


def _bundle(line: str, body: str, text: str, *, unfolded: bool) -> dict[str, str]:
    page = f'<details class="nbmlops-twin"{" open" if unfolded else ""}><summary>{escape(line)}</summary>{card(body)}</details>'
    return {"text/html": f"<style>{_STYLE}</style>{page}", "text/plain": text}


def _for_others(state: SweepState) -> SweepState:
    """Leave out the places of this machine, which the panel shows: a notebook is handed on."""
    tracking = {name: {key: value for key, value in fields.items() if key != "command"} for name, fields in state.tracking.items()}
    best_run = {key: value for key, value in state.best_run.items() if key != "output"}
    return replace(state, tracking=tracking, best_run=best_run)
