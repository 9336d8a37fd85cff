"""How a registered model stood when a run began, in its executed notebook."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from nbmlops.views.escape import escape
from nbmlops.views.html import card
from nbmlops.views.promotion_html import model_body
from nbmlops.views.standing import headline, model_text, portable

if TYPE_CHECKING:
    from nbmlops.session.stood import Stood

__all__ = ["stood_html", "stood_text"]


def stood_text(stood: Stood) -> str:
    """Return it for a terminal."""
    return f"{_as_of(stood)}\n{model_text(portable(stood.state))}"


def stood_html(stood: Stood) -> str:
    """Return it as a card, for pages that run no script."""
    state = portable(stood.state)
    return card(f"<p>{escape(headline(state))}</p><p>{escape(_as_of(stood))}</p>{model_body(state)}")


def _as_of(stood: Stood) -> str:
    when = dt.datetime.fromtimestamp(stood.time_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"as it stood at {when}, before anything that this run registers; `nbmlops models {stood.state.model}` tells how it stands now"
