"""How registered models stood when a run began, for the executed notebook: below the cells that hold nothing but ``%mlpromote MODEL``.

A process of its own asks the registry, beside the run, which waits for it no longer than for its trackers. Whatever goes wrong is one line
below the cell, and nothing of the run's own: no status, and no exit code.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.errors import NbmlopsError
from nbmlops.gates.showing import Shown
from nbmlops.notebook.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.notebook.roles import RoledCell
    from nbmlops.promotion.state import ModelState
    from nbmlops.session.promotions import Promotions
    from nbmlops.settings import Settings

__all__ = ["Standings", "Stood", "models_shown"]

_SHOWS = re.compile(r"""%mlpromote[ \t]+["']?([A-Za-z0-9_][^\s"'$\{}]*)["']?[ \t]*;?""")
_BESIDE = re.compile(r"#.*|%(re)?load_ext[ \t]+nbmlops|")


@dataclass(frozen=True, slots=True)
class Stood(Shown):
    """How a registered model stood at a time.

    Parameters
    ----------
    state : ModelState
    time_s : float
        Unix time.
    """

    state: ModelState
    time_s: float
    view: ClassVar[str] = "stood"


def models_shown(cells: Iterable[RoledCell]) -> dict[int, str]:
    """Return the models that cells of a notebook show, by the cell's index: one that does something else too, or has the tag skip, shows none."""
    found = {}
    for roled in cells:
        lines = [line for line in map(str.strip, roled.cell.source.splitlines()) if not _BESIDE.fullmatch(line)]
        match = _SHOWS.fullmatch(lines[0]) if len(lines) == 1 and roled.role is Role.SKIP and "skip" not in roled.cell.tags else None
        if match is not None:
            found[roled.cell.index] = match[1]
    return found


class Standings:
    """What the cells of a notebook show of registered models, asked for while something else is done.

    Parameters
    ----------
    settings : Settings
    cells : iterable of RoledCell
        Of the notebook.
    """

    def __init__(self, settings: Settings, cells: Iterable[RoledCell]) -> None:
        self._settings = settings
        self._models = models_shown(cells)
        self._found: dict[str, Stood | str] = {}
        self._promotions: Promotions | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def ask(self) -> None:
        """Begin to ask, where a cell wants to know."""
        if self._models:
            from nbmlops.session.promotions import Promotions  # noqa: PLC0415 - only where a cell shows a model

            self._promotions = Promotions(self._settings)
            self._thread = threading.Thread(target=self._look, args=(self._promotions,), name="nbmlops-standings", daemon=True)
            self._thread.start()

    def outputs(self, wait_s: float) -> dict[int, list[dict[str, Any]]]:
        """Return what stands below each cell; what is not known after `wait_s` seconds is asked for no longer."""
        if self._thread is not None:
            self._thread.join(wait_s)
            self.stop()
        return {index: [self._output(model)] for index, model in self._models.items()}

    def stop(self) -> None:
        """Ask for nothing more."""
        self._over.set()
        if self._promotions is not None:
            self._promotions.stop()

    def _look(self, promotions: Promotions) -> None:
        if self._has_no_registry():
            self._found = dict.fromkeys(self._models.values(), "no model is registered yet")
            return
        try:
            for model in dict.fromkeys(self._models.values()):
                if self._over.is_set():
                    break
                try:
                    self._found[model] = Stood(promotions.look(model), time.time())
                except NbmlopsError as error:
                    self._found[model] = str(error)
        finally:
            promotions.close()

    def _has_no_registry(self) -> bool:
        """Tell whether there is no database yet, which asking would make."""
        from nbmlops.tracking.mlflow_store import database_file, registry_uri  # noqa: PLC0415 - only where a cell shows a model

        path = database_file(registry_uri(self._settings.project_root)) if self._settings.registry == "mlflow" else None
        return path is not None and not path.exists()

    def _output(self, model: str) -> dict[str, Any]:
        found = self._found.get(model, "the registry has not answered in time")
        if isinstance(found, Stood):
            data: Mapping[str, str] = found._repr_mimebundle_()
            return {"output_type": "display_data", "data": dict(data), "metadata": {}}
        return {"output_type": "stream", "name": "stdout", "text": f"! how {model} stands is not shown: {found}\n"}
