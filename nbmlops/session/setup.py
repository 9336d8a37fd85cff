"""What setup cells made for a stage in a live kernel: whether the notebook's cells ran, and their names hold what they made."""

from __future__ import annotations

import ast
import copy
import sys
from typing import TYPE_CHECKING, Any

from nbmlops.runner.redaction import MASK, looks_secret
from nbmlops.runner.stagekey import type_exact
from nbmlops.session.finding import Finding
from nbmlops.session.provenance import is_code
from nbmlops.store.fingerprint import alias_sets

if TYPE_CHECKING:
    from nbmlops.pipeline.model import SetupStatement, Stage
    from nbmlops.pipeline.setup import Statement
    from nbmlops.runner.plan import Planner
    from nbmlops.session.cells import Notebook
    from nbmlops.session.kernel import KernelSession
    from nbmlops.session.provenance import Origin

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
        self.trees = [piece.statement for piece in planner.source.pieces if piece.statement is not None]
        self.findings: list[Finding] = []
        self.changed: dict[str, Any] = {}
        self.rebind: dict[str, Any] = {}

    def run(self) -> None:
        """Find what is wrong, the constants whose live value is another one, and those that a cell below has bound again."""
        for position in self.stage.setup:
            statement, tree = self.pipeline.setup[position], self.trees[position]
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
            return Finding(code=code, message=f"{name!r}, which {label} makes, is not there", again=frozenset({statement.cell}), name=name)
        live = self.namespace[name]
        if name in statement.literals and not self._mutated(name, statement):
            return self._compare_literal(name, live, statement)
        imported = _imported(tree.tree, name)
        if imported is not None:
            return self._compare_import(name, live, imported, statement)
        origin = self.session.provenance.get(name)
        return self._compare(name, origin, statement, tree)

    def _mutated(self, name: str, statement: SetupStatement) -> bool:
        """Tell whether another statement above has changed the name's object in place: then its literal is not the whole of it."""
        return len(self._makers(name)) > 1 and statement.fingerprint != self._makers(name)[-1]

    def _makers(self, name: str) -> tuple[str, ...]:
        """Return the fingerprints of the statements that make a name's value, from the one that binds it."""
        found: list[str] = []
        for position in self.stage.setup:
            if name in self.pipeline.setup[position].names:
                if name in self.trees[position].flow.binds:
                    found.clear()
                found.append(self.pipeline.setup[position].fingerprint)
        return tuple(found)

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
        return Finding(code="NB406", message=message, again=frozenset({statement.cell}), name=name, live=False)

    def _is_shared(self, name: str) -> bool:
        """Tell whether other setup names share the state of one, so that it cannot be made anew alone."""
        names = {other for position in self.stage.setup for other in self.pipeline.setup[position].names}
        values = {other: self.namespace[other] for other in names if other in self.namespace and not is_code(self.namespace[other])}
        return any(name in group for group in alias_sets(values, self.session.context()))

    def _is_below(self, origin: Origin) -> bool:
        """Tell whether a cell below the stage has made a value: run from top to bottom, the stage does not see it."""
        index = self.notebook.index_of(origin.cell)
        return index is not None and index > self.stage.cells[-1] and index not in self.notebook.edited

    def _order(self, cell: int) -> int:
        seen = self.notebook.seen[cell]
        return seen.order if seen is not None else -1

    def _compare_import(self, name: str, live: Any, imported: tuple[str, str], statement: SetupStatement) -> Finding | None:  # noqa: ANN401
        module, attribute = imported
        loaded = sys.modules.get(module)
        wanted = getattr(loaded, attribute, sys.modules.get(f"{module}.{attribute}")) if attribute else loaded
        if live is wanted or (attribute and _same_code(live, wanted)):
            return None
        label = self.notebook.label(statement.cell)
        origin = self.session.provenance.get(name)
        if origin is not None and live is origin.value and attribute:
            message = f"{name!r} was imported from {module} before that was reloaded or changed"
            return Finding(code="NB407", message=message, again=frozenset({statement.cell}), name=name)
        where = self.session.history.culprits(name, self._order(statement.cell))
        return Finding(code="NB403", message=f"{name!r} is not what {label} imports{where}", again=frozenset({statement.cell}), name=name)

    def _compare(self, name: str, origin: Origin | None, statement: SetupStatement, tree: Statement) -> Finding | None:  # noqa: PLR0911 - one for each case
        label, cell = self.notebook.label(statement.cell), statement.cell
        again = frozenset({cell})
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
        late = [other for other in self._uses(statement, tree) if self.session.provenance.changed_at.get(other, -1) > origin.order]
        if late:
            message = f"{name!r} of {label} was made before {late[0]!r} changed"
            return Finding(code="NB406", message=message, again=again, name=name)
        return None

    def _other_maker(self, name: str, origin: Origin, statement: SetupStatement) -> Finding:
        """Say that a name was made by other code than that of the cell above the stage."""
        label, cell = self.notebook.label(statement.cell), statement.cell
        maker = self.notebook.index_of(origin.cell)
        if cell in self.notebook.edited or self.notebook.seen[cell] is None:
            return self._other_cell(statement, f"{label}, which makes {name!r},", "has not run")
        if maker is None:
            gone = next((item for item in self.notebook.gone if item.id == origin.cell), None)
            message = f"{name!r} was made by {gone.label if gone else 'a cell'}, which is not in the notebook, and not by {label}"
            return Finding(code="NB405", message=message, again=frozenset({cell}), name=name)
        message = f"{name!r} is what {self.notebook.label(maker)} made, and in the notebook's order what {label} makes"
        return Finding(code="NB406", message=message, again=frozenset({cell}), name=name, live=not self._is_below(origin))

    def _other_cell(self, statement: SetupStatement, what: str, not_run: str) -> Finding:
        """Say that a cell was edited, or has not run."""
        edited = statement.cell in self.notebook.edited
        message = f"{what} {'was edited after it ran' if edited else not_run}"
        return Finding(code="NB404" if edited else "NB406", message=message, again=frozenset({statement.cell}))

    def _uses(self, statement: SetupStatement, tree: Statement) -> set[str]:
        """Return the setup names that a statement has taken when it ran: a function takes most of its own later."""
        names = {name for position in statement.uses for name in self.pipeline.setup[position].names}
        node = tree.tree.body[0]
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return names
        live = self.namespace.get(node.name)
        if not is_code(live):
            return names | set(statement.free)  # a decorator may keep results: `lru_cache`
        return names & _taken_at_once(node)


def _taken_at_once(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    parts: list[ast.AST] = list(node.decorator_list)
    if isinstance(node, ast.ClassDef):
        parts += [*node.bases, *(keyword.value for keyword in node.keywords)]
        parts += [item for item in node.body if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    else:
        parts += [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
    return {inner.id for part in parts for inner in ast.walk(part) if isinstance(inner, ast.Name)}


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
    return None


def _same_code(old: Any, new: Any) -> bool:  # noqa: ANN401 - any code
    """Tell whether two functions or classes have the same code: ``%autoreload`` changes the old ones in place."""
    if isinstance(old, type) and isinstance(new, type):
        names = {name for name, part in vars(new).items() if hasattr(part, "__code__")}
        return bool(names) and all(getattr(vars(old).get(name), "__code__", None) == vars(new)[name].__code__ for name in names)
    return hasattr(old, "__code__") and hasattr(new, "__code__") and old.__code__ == new.__code__ and old.__defaults__ == new.__defaults__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
