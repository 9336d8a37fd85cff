"""What setup cells made for a stage in a live kernel: whether the notebook's cells ran, and their names hold what they made."""

from __future__ import annotations

import ast
import copy
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.runner.redaction import MASK, looks_secret
from nbmlops.runner.stagekey import type_exact
from nbmlops.session.live.copies import is_as_before
from nbmlops.session.live.finding import Finding
from nbmlops.session.live.makers import Makers
from nbmlops.session.live.provenance import is_code
from nbmlops.store.fingerprint import alias_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.pipeline.model import SetupStatement, Stage
    from nbmlops.pipeline.setup import Statement
    from nbmlops.runner.plan import Planner
    from nbmlops.session.live.cells import Notebook
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.live.provenance import Origin

__all__ = ["SetupCheck"]


class SetupCheck:
    """Compares the names that a stage takes from setup and parameters cells with what these cells make.

    Parameters
    ----------
    session : KernelSession
    planner : Planner
        Over the notebook as it stands.
    notebook : Notebook
    stage : Stage
    """

    def __init__(self, session: KernelSession, planner: Planner, notebook: Notebook, stage: Stage) -> None:
        self.session = session
        self.notebook = notebook
        self.stage = stage
        self.pipeline = planner.pipeline
        self.namespace = session.shell.user_ns
        self.makers = Makers(planner.source, self.pipeline, session.setup_changes)
        self.findings: list[Finding] = []
        self.changed: dict[str, Any] = {}
        self.rebind: dict[str, Any] = {}

    def run(self) -> None:
        """Find what is wrong, the constants whose live value is another one, and those that a cell below has bound again."""
        for position in self.stage.setup:
            statement, tree = self.pipeline.setup[position], self.makers.trees[position]
            last = [name for name in statement.names if not self._is_made_again(name, position)]
            if not statement.names:
                self._look_at_configuration(statement)
            for name in last:
                finding = self._look_at(name, statement, tree)
                if finding is not None:
                    self.findings.append(finding)

    def _is_made_again(self, name: str, position: int) -> bool:
        return any(name in self.pipeline.setup[other].names for other in self.stage.setup if other > position)

    def _look_at_configuration(self, statement: SetupStatement) -> None:
        if statement.fingerprint not in self.session.configured:
            self.findings.append(self._other_cell(statement, f"line {statement.line} of {self.notebook.label(statement.cell)}", "has not run"))

    def _look_at(self, name: str, statement: SetupStatement, tree: Statement) -> Finding | None:
        label = self.notebook.label(statement.cell)
        if name not in self.namespace:
            code = "NB406" if self.notebook.seen[statement.cell] is None else "NB403"
            return Finding(code=code, message=f"{name!r}, which {label} makes, is not there", again=self._again(name, statement), name=name)
        live = self.namespace[name]
        if name in statement.literals and not self._mutated(name, statement):
            return self._compare_literal(name, live, statement)
        imported = _imported(tree.tree, name)
        if imported is not None:
            return self._compare_import(name, live, imported, statement)
        origin = self.session.provenance.get(name)
        return self._compare(name, origin, statement)

    def _mutated(self, name: str, statement: SetupStatement) -> bool:
        """Tell whether another statement above has changed the name's object in place: then its literal is not the whole of it."""
        return len(self._makers(name)) > 1 and statement.fingerprint != self._makers(name)[-1]

    def _makers(self, name: str) -> tuple[str, ...]:
        """Return the fingerprints of the statements that make a name's value, from the one that binds it, and the acts of cells that change it."""
        return tuple(print_ for _, print_ in self._made(name))

    def _made(self, name: str) -> list[tuple[int, str]]:
        """Return what makes a name's value, with the cell of each."""
        return self.makers.of(name, self.stage.setup, self.stage.cells[-1])

    def _again(self, name: str, statement: SetupStatement) -> frozenset[int]:
        """Return the cells that make a name anew when they run in their order."""
        return frozenset({statement.cell, *(cell for cell, _ in self._made(name))})

    def _compare_literal(self, name: str, live: Any, statement: SetupStatement) -> Finding | None:  # noqa: ANN401
        wanted = statement.literals[name]
        if type_exact(wanted) == type_exact(live):
            return None
        origin = self.session.provenance.get(name)
        if origin is not None and (origin.stage is not None or self._is_below(origin)) and self.session.unchanged(name, origin):
            if self._is_shared(name):
                return self._by_stage(name, origin, statement)
            self.rebind[name] = copy.deepcopy(wanted)
            return None
        self.changed[name] = live
        shown, meant = (MASK if looks_secret(name, value) else _short(value) for value in (live, wanted))
        cell = statement.cell
        if cell in self.notebook.edited or self.notebook.seen[cell] is None:
            return self._other_cell(statement, f"{name!r} is {shown}, and {self.notebook.label(cell)}, which makes it {meant},", "has not run")
        where = self.session.history.culprits(name, self._order(cell))
        message = f"{name!r} is {shown}, not the {meant} of {self.notebook.label(cell)}: it was changed{where}"
        return Finding(code="NB403", message=message, again=frozenset({cell}), name=name)

    def _by_stage(self, name: str, origin: Origin, statement: SetupStatement) -> Finding:
        """Say that a stage has changed what a setup cell makes: to run again, the stage needs it as it was."""
        maker = f"stage {origin.stage}" if origin.stage is not None else "a cell below"
        message = f"{name!r} is what {maker} made of it, not what {self.notebook.label(statement.cell)} makes"
        return Finding(code="NB406", message=message, again=self._again(name, statement), name=name, live=False)

    def _is_shared(self, name: str) -> bool:
        """Tell whether other setup names share the state of one, so that it cannot be made anew alone."""
        names = {other for position in self.stage.setup for other in self.pipeline.setup[position].names}
        values = {other: self.namespace[other] for other in names if other in self.namespace and not is_code(self.namespace[other])}
        return any(name in group for group in alias_sets(values, self.session.context()))

    def _is_below(self, origin: Origin) -> bool:
        """Tell whether a cell below the stage has made a value: run from top to bottom, the stage does not see it."""
        index = self.notebook.index_of(origin.cell)
        # without a file the order of the cells is that in which they first ran, which may not be the notebook's
        return self.session.cells.path is not None and index is not None and index > self.stage.cells[-1] and index not in self.notebook.edited

    def _order(self, cell: int) -> int:
        seen = self.notebook.seen[cell]
        return seen.order if seen is not None else -1

    def _compare_import(self, name: str, live: Any, imported: tuple[str, str], statement: SetupStatement) -> Finding | None:  # noqa: ANN401
        module, attribute = imported
        loaded = sys.modules.get(module)
        wanted = getattr(loaded, attribute, sys.modules.get(f"{module}.{attribute}")) if attribute else loaded
        if live is wanted or (attribute and is_as_before(live, wanted)):
            return None
        label = self.notebook.label(statement.cell)
        origin = self.session.provenance.get(name)
        if origin is not None and live is origin.value and attribute:
            message = f"{name!r} was imported from {module} before that was reloaded or changed"
            return Finding(code="NB407", message=message, again=frozenset({statement.cell}), name=name)
        where = self.session.history.culprits(name, self._order(statement.cell))
        return Finding(code="NB403", message=f"{name!r} is not what {label} imports{where}", again=frozenset({statement.cell}), name=name)

    def _compare(self, name: str, origin: Origin | None, statement: SetupStatement) -> Finding | None:  # noqa: PLR0911 - one for each case
        label, cell = self.notebook.label(statement.cell), statement.cell
        again = self._again(name, statement)
        if origin is None:
            if cell in self.notebook.edited or self.notebook.seen[cell] is None:
                return self._other_cell(statement, f"{label}, which makes {name!r},", "has not run")
            where = self.session.history.culprits(name, -1)
            return Finding(code="NB403", message=f"{name!r} was not made by {label}{where}", again=again, name=name)
        if not self.session.unchanged(name, origin):
            if self.namespace[name] is origin.value and self.session.patches.patched(origin.value):
                return None  # that is told as such
            where = self.session.history.culprits(name, origin.order)
            return Finding(code="NB403", message=f"{name!r} was changed after {label} made it{where}", again=again, name=name)
        if origin.stage is not None:
            return self._by_stage(name, origin, statement)
        if origin.statements != self._makers(name):
            return self._other_maker(name, origin, statement)
        position = self.makers.position(statement)
        used = sorted(self.makers.taken(position, self.namespace))
        if origin.other:
            message = f"{name!r} of {label} was made when {origin.other[0]!r} was not what the cells above it make"
            return Finding(code="NB406", message=message, again=again | self._cells_of(origin.other), name=name)
        late = [other for other in used if self.session.provenance.changed_at(other, self.makers.before(other, position)) > origin.order]
        if late:
            message = f"{name!r} of {label} was made before {late[0]!r} changed"
            return Finding(code="NB406", message=message, again=again, name=name)
        return None

    def makers_of_changed(self, names: Iterable[str]) -> frozenset[int]:
        """Return the cells that are to run again since the stage has changed what they make, and that cannot be made anew alone."""
        setup = self.pipeline.setup
        literal = {name for position in self.stage.setup for name in setup[position].literals}
        used = {name for position in self.stage.setup for other in setup[position].uses for name in setup[other].names}
        return self._cells_of(tuple(name for name in names if name in used or name not in literal))

    def _cells_of(self, names: tuple[str, ...]) -> frozenset[int]:
        """Return the cells that make names of setup."""
        return frozenset(cell for name in names for cell, _ in self._made(name))

    def _other_maker(self, name: str, origin: Origin, statement: SetupStatement) -> Finding:
        """Say that a name was made by other code than that of the cell above the stage."""
        label, cell = self.notebook.label(statement.cell), statement.cell
        maker = self.notebook.index_of(origin.cell)
        if cell in self.notebook.edited or self.notebook.seen[cell] is None:
            found = self._other_cell(statement, f"{label}, which makes {name!r},", "has not run")
            return replace(found, again=found.again | self._again(name, statement))
        if maker is None:
            gone = next((item for item in self.notebook.gone if item.id == origin.cell), None)
            message = f"{name!r} was made by {gone.label if gone else 'a cell'}, which is not in the notebook, and not by {label}"
            return Finding(code="NB405", message=message, again=self._again(name, statement), name=name)
        cells = dict.fromkeys(self.notebook.label(index) for index, _ in self._made(name))
        if len(cells) > 1:
            message = f"{name!r} was not made by {', '.join(cells)}, one run of each in this order"
        else:
            message = f"{name!r} is what {self.notebook.label(maker)} made, and in the notebook's order what {label} makes"
        return Finding(code="NB406", message=message, again=self._again(name, statement), name=name, live=not self._is_below(origin))

    def _other_cell(self, statement: SetupStatement, what: str, not_run: str) -> Finding:
        """Say that a cell was edited, or has not run."""
        edited = statement.cell in self.notebook.edited
        message = f"{what} {'was edited after it ran' if edited else not_run}"
        return Finding(code="NB404" if edited else "NB406", message=message, again=frozenset({statement.cell}))


def _imported(tree: ast.Module, name: str) -> tuple[str, str] | None:
    """Return what an import statement binds a name to: a module, and its attribute or ""."""
    node = tree.body[0]
    if isinstance(node, ast.Import):
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) == name:
                return (alias.name if alias.asname else name), ""
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                return node.module, alias.name
            if alias.name == "*":
                return node.module, name
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
