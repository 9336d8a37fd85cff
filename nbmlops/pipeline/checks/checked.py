"""What a check is given: a notebook as it was read and linked, and the places of its code that are worth a look."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.pipeline.checks.hiding import hiding_places
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping, Sequence

    from nbmlops.dataflow.flow import Flow
    from nbmlops.dataflow.linking import UnitLinks
    from nbmlops.notebook.directive import Directive
    from nbmlops.notebook.document import Document
    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.checks.hiding import HidingPlace
    from nbmlops.pipeline.checks.sites import Piece, Sites
    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Pipeline, Severity

__all__ = ["Checked", "StageCode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """Code that a stage runs: a cell of its own, or a setup statement that it uses.

    Parameters
    ----------
    sites : Sites
    flow : Flow
        What the code takes and gives.
    stage : str
        The stage, or the first of those that use the statement.
    directives : tuple of Directive
        The options of every stage that runs it.
    handed : frozenset of str or None
        The names that other cells take from it; None for setup, of which every name may be taken.
    """

    sites: Sites
    flow: Flow
    stage: str
    directives: tuple[Directive, ...]
    handed: frozenset[str] | None

    @property
    def who(self) -> str:
        """The stage in words, as the subject of a message."""
        return f"setup code of stage {self.stage!r}" if self.sites.setup else f"stage {self.stage!r}"

    def finding(self, node: ast.AST, code: str, severity: Severity, message: str, fix: str) -> Diagnostic:
        """Make the diagnostic of a place in this code; the message goes on after the stage's name."""
        line = getattr(node, "lineno", None)
        return Diagnostic(code=code, severity=severity, message=f"{self.who} {message}", fix=fix, cell=self.sites.cell, line=line, stage=self.stage)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A notebook as checks see it.

    Parameters
    ----------
    document : Document
    cells : sequence of RoledCell
    pieces : sequence of Piece
        The parts of the document that linking sees as one unit, in document order.
    links : sequence of UnitLinks
        What each piece reads and from where.
    pipeline : Pipeline
    effects : mapping of str to Effects
        What running each stage has taught.
    sites : sequence of Sites
        The pieces that hold anything of interest.
    constants : mapping of str to object
        The names that setup sets to one literal, parameters among them, with the value that holds.
    own_functions : frozenset of str
        The names that the notebook binds, other than by an import: a `read_csv` of its own reads what it likes.
    parameters : mapping of str to object
        Values that override the defaults.
    conflicts : tuple of Diagnostic
        What was found in putting the cells of a notebook of Kale into their order.
    """

    document: Document
    cells: Sequence[RoledCell]
    pieces: Sequence[Piece]
    links: Sequence[UnitLinks]
    pipeline: Pipeline
    effects: Mapping[str, Effects]
    sites: Sequence[Sites]
    constants: Mapping[str, Any] = field(default_factory=dict)
    own_functions: frozenset[str] = frozenset()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[Diagnostic, ...] = ()

    @cached_property
    def code(self) -> tuple[StageCode, ...]:
        """The code that stages run, in document order."""
        return tuple(self._stage_code())

    def _stage_code(self) -> Iterator[StageCode]:
        for sites in self.sites:
            users = (sites.stage,) if sites.stage is not None else self.users.get(sites.position, ())
            if users:
                directives = tuple(self.pipeline.stages[user].directive for user in users)
                handed = None if sites.setup else self._handed(sites.position, directives[0])
                yield StageCode(sites=sites, flow=self.pieces[sites.position].flow, stage=users[0], directives=directives, handed=handed)

    @cached_property
    def users(self) -> Mapping[int, tuple[str, ...]]:
        """For the position of each setup statement, the stages that use it: call what it defines, or run it for what it does."""
        positions = [position for position, piece in enumerate(self.pieces) if piece.statement is not None]
        found: dict[int, dict[str, None]] = {}
        for position, piece in enumerate(self.pieces):
            if piece.stage is not None:
                run = {positions[index] for index in self.pipeline.stages[piece.stage].setup}
                for used in self._called(position) & run | {other for other in run if not self._defines(other)}:
                    found.setdefault(used, {})[piece.stage] = None
        return {position: tuple(names) for position, names in found.items()}

    def _defines(self, position: int) -> bool:
        statement = self.pieces[position].statement
        return statement is not None and statement.defines_code

    def _called(self, position: int) -> set[int]:
        """Return the positions of what a piece reads, and of what that reads."""
        found: set[int] = set()
        waiting = [position]
        while waiting:
            for item in self.links[waiting.pop()].links:
                if item.provider is not None and item.provider not in found and self.pieces[item.provider].statement is not None:
                    found.add(item.provider)
                    waiting.append(item.provider)
        return found

    @cached_property
    def hiding(self) -> tuple[HidingPlace, ...]:
        """The places of code that hides names from reading."""
        return hiding_places(self)

    @cached_property
    def _taken(self) -> Mapping[int, frozenset[str]]:
        taken: dict[int, set[str]] = {}
        for reader, unit in enumerate(self.links):
            for item in unit.links:
                if item.provider is not None and item.provider != reader:
                    taken.setdefault(item.provider, set()).add(item.name)
        return {position: frozenset(names) for position, names in taken.items()}

    def _handed(self, position: int, directive: Directive) -> frozenset[str]:
        return self._taken.get(position, frozenset()) | {*(directive.outs or ()), *directive.metrics}
