"""Code that hides from reading which names it reads and binds: ``exec``, ``eval``, ``globals()``, and what comes to the same."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbmlops.pipeline.checks.checked import Checked
    from nbmlops.pipeline.checks.sites import Sites

__all__ = ["HidingPlace", "dynamic_code", "hiding_places"]

_RUNNING = {
    "builtins.exec": "exec",
    "builtins.eval": "eval",
    "exec": "exec",
    "eval": "eval",
    "code.interact": "code.interact",
    "runpy.run_path": "runpy.run_path",
}
_SHELL_METHODS = frozenset({"ev", "ex", "push", "run_cell", "safe_execfile"})
_COMMANDS = (
    "!",
    "os.system",
    "subprocess.",
    "%%!",
    "%%bash",
    "%%cmd",
    "%%perl",
    "%%ruby",
    "%%script",
    "%%sh",
    "%%sx",
    "%%system",
    "%sc",
    "%sx",
    "%system",
)
"""These run commands: NB502 tells what follows from that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HidingPlace:
    """One place of such code, and the stages that run it: one for a stage's own cell, any number for a function of a setup cell."""

    cell: int
    line: int
    what: str
    stages: tuple[str, ...]
    position: int


def hiding_places(checked: Checked) -> tuple[HidingPlace, ...]:
    """Collect the places of such code in a notebook."""
    walked = {item.position: item for item in checked.sites}
    found = []
    for position, piece in enumerate(checked.pieces):
        places = dict.fromkeys(piece.flow.dynamic)
        if position in walked:
            seen = {line for _, line in places}
            places.update({(what, line): None for what, line in _other_ways(walked[position]) if line not in seen})
        if places:
            stages = (piece.stage,) if piece.stage is not None else checked.users.get(position, ())
            found += [HidingPlace(cell=piece.cell, line=line, what=what, stages=stages, position=position) for what, line in places if stages]
    return tuple(found)


def _other_ways(sites: Sites) -> Iterator[tuple[str, int]]:
    """Yield `exec` and `eval` by another name or handed to a function, and the namespace through IPython or ``__main__``."""
    for node, name in sites.used():
        if name in _RUNNING and (not isinstance(node, ast.Call) or name not in {"exec", "eval"}):
            yield _RUNNING[name], node.lineno
        elif name.startswith("get_ipython().") and name.removeprefix("get_ipython().") in _SHELL_METHODS:
            yield name, node.lineno
    for attribute in sites.attributes:
        if attribute.attr in {"user_ns", "user_global_ns", "f_globals"}:
            yield attribute.attr, attribute.lineno


def dynamic_code(checked: Checked) -> Iterator[Diagnostic]:
    """Find code that hides the names that it reads and binds (NB211); ``--in`` and ``--out`` name them."""
    for place in checked.hiding:
        open_stages = [name for name in place.stages if not _is_named(checked, name)]
        if not open_stages or place.what.startswith(_COMMANDS):
            continue
        own = checked.pieces[place.position].stage is not None
        yield Diagnostic(
            code="NB211",
            severity="info",
            message=("" if own else f"setup code of stage {open_stages[0]!r}: ")
            + f"{place.what} can read and bind names that reading the cell does not show; they are observed when it runs",
            fix=f"name them all: %%mlstage {open_stages[0]} {_options(checked, open_stages[0])}",
            cell=place.cell,
            line=place.line,
            stage=open_stages[0],
        )


def _is_named(checked: Checked, stage: str) -> bool:
    directive = checked.pipeline.stages[stage].directive
    return directive.ins is not None and directive.outs is not None


def _options(checked: Checked, stage: str) -> str:
    """Write the options with the names that reading found."""
    found = checked.pipeline.stages[stage]
    return f"--in {_listed(found.inputs, chr(39) * 2)} --out {_listed(found.binds, 'NAME')}"


def _listed(names: Iterable[str], otherwise: str) -> str:
    return ",".join(sorted(names)) or otherwise
