"""What `check` has to say: each function looks for one kind of trouble and gives the fix.

``NB1xx`` reading a notebook, ``NB2xx`` linking its cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nbmlops.dataflow.hidden import is_history, is_last_value
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.leftbehind import left_behind_warnings
from nbmlops.pipeline.model import Diagnostic, Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmlops.dataflow.flow import Flow
    from nbmlops.dataflow.linking import UnitLinks
    from nbmlops.notebook.document import Document
    from nbmlops.notebook.roles import RoledCell

__all__ = ["Findings", "check_build", "check_document"]


class _Piece(Protocol):
    @property
    def cell(self) -> int: ...
    @property
    def role(self) -> Role: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def flow(self) -> Flow: ...


class Findings:
    """Diagnostics as they are found."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int | None, str], Diagnostic] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic; the same one twice is one."""
        self._found.setdefault((diagnostic.code, diagnostic.cell, diagnostic.message), diagnostic)

    def unreadable(self) -> int | None:
        """Return the first cell that could not be read, which may define any name."""
        return min((item.cell for item in self._found.values() if item.code == "NB109" and item.cell is not None), default=None)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics by cell, then line, then code."""
        return tuple(sorted(self._found.values(), key=lambda item: (item.cell or 0, item.line or 0, item.code)))


def check_document(findings: Findings, document: Document, cells: Sequence[RoledCell]) -> None:
    """Look at the cells one by one."""
    _unreadable_cells(findings, cells)
    _duplicate_stages(findings, cells)
    _similar_names(findings, cells)
    _repaired_ids(findings, document)


def check_build(
    findings: Findings,
    pipeline: Pipeline,
    cells: Sequence[RoledCell],
    links: Sequence[UnitLinks],
    pieces: Sequence[_Piece],
    effects: Mapping[str, Effects],
) -> None:
    """Look at how the cells hang together."""
    _undefined_names(findings, links, pieces)
    _history(findings, cells, links, pieces)
    _hidden_by_reports(findings, pipeline, links, pieces)
    _setup_reads_artifacts(findings, links, pieces)
    _hidden_by_stars(findings, links, pieces)
    _left_out(findings, links, pieces)
    _missing_options(findings, pipeline, pieces)
    _no_stages(findings, pipeline)
    _shared_random(findings, pipeline, effects)
    _cycles(findings, pipeline)
    _process_state(findings, links, pieces)
    _left_behind(findings, pipeline, effects)
    _dynamic_code(findings, pipeline, pieces)


def _unreadable_cells(findings: Findings, cells: Sequence[RoledCell]) -> None:
    for roled in cells:
        if roled.error is not None:
            findings.add(
                Diagnostic(
                    code=roled.error.code,
                    # stages run without their report cells; these show the traceback, as in the notebook
                    severity="warning" if roled.role is Role.REPORT else "error",
                    message=roled.error.message,
                    fix=roled.error.fix or "mend the cell",
                    cell=roled.cell.index,
                    line=roled.error_line,
                    stage=roled.stage,
                )
            )


def _duplicate_stages(findings: Findings, cells: Sequence[RoledCell]) -> None:
    first: dict[str, int] = {}
    for roled in cells:
        if roled.stage is None or not roled.magic:
            continue
        if roled.stage in first:
            findings.add(
                Diagnostic(
                    code="NB106",
                    severity="error",
                    message=f"stage {roled.stage!r} is defined twice, first in cell {first[roled.stage]}",
                    fix="rename one of them, or give both cells the tag stage:" + roled.stage + " to make them one stage",
                    cell=roled.cell.index,
                    line=1,
                    stage=roled.stage,
                )
            )
        first.setdefault(roled.stage, roled.cell.index)


def _similar_names(findings: Findings, cells: Sequence[RoledCell]) -> None:
    seen: dict[str, str] = {}
    for roled in cells:
        if roled.stage is None:
            continue
        other = seen.setdefault(roled.stage.lower(), roled.stage)
        if other != roled.stage:
            findings.add(
                Diagnostic(
                    code="NB107",
                    severity="error",
                    message=f"stages {other!r} and {roled.stage!r} differ in case only",
                    fix="rename one of them",
                    cell=roled.cell.index,
                    line=1,
                    stage=roled.stage,
                )
            )


def _repaired_ids(findings: Findings, document: Document) -> None:
    for index in document.repaired_ids:
        findings.add(
            Diagnostic(
                code="NB108",
                severity="warning",
                message="the cell's id is missing, invalid or used twice; another one is used in its place",
                fix="open and save the notebook in JupyterLab, which gives it a new id",
                cell=index,
            )
        )


def _undefined_names(findings: Findings, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    cannot_know = False
    unreadable = findings.unreadable()
    for position, (piece, unit) in enumerate(zip(pieces, links, strict=True)):
        after_unreadable = unreadable is not None and piece.cell > unreadable
        cannot_know = cannot_know or after_unreadable or bool(piece.flow.dynamic or piece.flow.star_imports)
        for item in unit.undefined:
            if item.hidden_by is not None:
                continue  # NB203 says more
            if item.how.startswith("free name") and any(item.name in later.writes for later in links[position + 1 :]):
                continue  # the function is handed on here, and called where the name is known
            certain = item.how in {"name", "--in"} and not cannot_know and piece.role is not Role.REPORT
            who = f"stage {piece.stage!r}" if piece.stage else "the cell"
            findings.add(
                Diagnostic(
                    code="NB201",
                    severity="error" if certain else "warning",
                    message=f"{who} reads {item.name!r}, which no earlier cell defines" + ("" if item.how == "name" else f" ({item.how})"),
                    fix="define it in an earlier cell or make it a parameter",
                    cell=piece.cell,
                    line=item.line or None,
                    stage=piece.stage,
                )
            )


def _history(findings: Findings, cells: Sequence[RoledCell], links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    """Find what reads IPython's memory of cells that run in another process."""
    stages = [roled.cell.index for roled in cells if roled.role is Role.STAGE]
    elsewhere = [roled.cell.index for roled in cells if roled.role is Role.STAGE or (roled.role is Role.SKIP and roled.cell.source.strip())]
    for piece, unit in zip(pieces, links, strict=True):
        provided = {item.name for item in unit.links}
        for name in piece.flow.reads.keys() - piece.flow.soft - provided:
            own = name == "_dh" or (name == "_exit_code" and any(what == "!" for what, _ in piece.flow.dynamic))
            if own or not is_history(name):
                continue
            others = stages if is_last_value(name) else elsewhere
            if piece.role is not Role.STAGE and not any(cell < piece.cell for cell in others):
                continue  # all cells before it run in its process
            findings.add(
                Diagnostic(
                    code="NB212",
                    severity="error",
                    message=f"{name!r} is what IPython remembers of earlier cells, which do not all run in the process of this one",
                    fix="bind the value to a name in the cell that makes it, and use that name",
                    cell=piece.cell,
                    line=piece.flow.reads[name],
                    stage=piece.stage,
                )
            )


def _hidden_by_reports(findings: Findings, pipeline: Pipeline, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    for piece, unit in zip(pieces, links, strict=True):
        if piece.role is Role.REPORT or not pipeline.stages:
            continue  # all of them run in one process, in the document's order
        for item in unit.links:
            # a decorator may call what it is given, and mostly does not
            if item.hidden_by is None or (item.soft and piece.role is not Role.STAGE):
                continue
            who = f"stage {piece.stage!r}" if piece.stage else f"setup cell {piece.cell}"
            findings.add(
                Diagnostic(
                    code="NB203",
                    severity="error",
                    message=f"{who} reads {item.name!r}, which cell {pieces[item.hidden_by].cell} defines; that cell belongs to no stage",
                    fix=f"add the tag setup to cell {pieces[item.hidden_by].cell}, or begin it with %%mlstage",
                    cell=pieces[item.hidden_by].cell,
                    line=item.line or None,
                    stage=piece.stage,
                )
            )


def _setup_reads_artifacts(findings: Findings, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    for piece, unit in zip(pieces, links, strict=True):
        if piece.role not in {Role.SETUP, Role.PARAMETERS, Role.INJECTED}:
            continue
        for item in unit.links:
            provider = pieces[item.provider].stage if item.provider is not None else None
            if provider is not None and not item.how.startswith("free name"):
                findings.add(
                    Diagnostic(
                        code="NB204",
                        severity="error",
                        message=f"the setup cell reads {item.name!r}, which stage {provider!r} makes; setup runs before every stage",
                        fix="make the cell a stage, or move what it needs into one",
                        cell=piece.cell,
                        line=item.line or None,
                    )
                )


def _hidden_by_stars(findings: Findings, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    """Find names that a stage makes and that a star import of setup below it may bind again."""
    for piece, unit in zip(pieces, links, strict=True):
        stars = {item.name: item for item in unit.links if item.how == "star import" and item.provider is not None}
        for item in unit.links:
            star = stars.get(item.name)
            if star is None or star.provider is None or item.provider is None or item.provider >= star.provider:
                continue
            provider, star_piece = pieces[item.provider].stage, pieces[star.provider]
            if provider is None or star_piece.stage is not None:
                continue
            source = star_piece.flow.star_imports[0]
            what = f"{item.name!r} of stage {provider!r}, and `from {source} import *` in cell {star_piece.cell} may bind it again"
            findings.add(
                Diagnostic(
                    code="NB216",
                    severity="error",
                    message=f"{_who(piece)} reads {what}",
                    fix=f"import from {source} the names that you use, or move cell {star_piece.cell} above stage {provider!r}",
                    cell=piece.cell,
                    line=item.line or None,
                    stage=piece.stage,
                )
            )


def _left_out(findings: Findings, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    """Find names that a stage binds or changes, leaves out of its ``--out``, and that a later cell reads."""
    for piece, unit in zip(pieces, links, strict=True):
        for item in unit.links:
            if item.left_out_by is None or pieces[item.left_out_by].stage == piece.stage:
                continue
            owner = pieces[item.left_out_by].stage
            findings.add(
                Diagnostic(
                    code="NB217",
                    severity="error",
                    message=f"{_who(piece)} reads {item.name!r}, which stage {owner!r} binds or changes but leaves out of its --out",
                    fix=f"add {item.name} to the --out of stage {owner!r}, or use another name in it",
                    cell=piece.cell,
                    line=item.line or None,
                    stage=piece.stage,
                )
            )


def _who(piece: _Piece) -> str:
    return f"stage {piece.stage!r}" if piece.stage else f"cell {piece.cell}"


def _no_stages(findings: Findings, pipeline: Pipeline) -> None:
    if not pipeline.stages:
        findings.add(
            Diagnostic(
                code="NB112",
                severity="info",
                message="the notebook has no stages: its cells run in order, and nothing is reused",
                fix="begin a cell with %%mlstage NAME, or give it the tag stage:NAME",
            )
        )


def _shared_random(findings: Findings, pipeline: Pipeline, effects: Mapping[str, Effects]) -> None:
    """Find stages that were seen to draw from one global random state: from top to bottom each would go on where the last one stopped."""
    for module in ("random", "numpy"):
        drawing = [stage for stage in pipeline.stages.values() if module in effects.get(stage.name, NO_EFFECTS).random]
        if len(drawing) > 1:
            names = ", ".join(stage.name for stage in drawing)
            findings.add(
                Diagnostic(
                    code="NB302",
                    severity="warning",
                    message=f"stages {names} draw from the global random state of {module}: each gets its own numbers, other than one process would",
                    fix="make a generator in each stage: random.Random(seed) or numpy.random.default_rng(seed)",
                    cell=drawing[1].cells[0],
                    stage=drawing[1].name,
                )
            )


def _missing_options(findings: Findings, pipeline: Pipeline, pieces: Sequence[_Piece]) -> None:
    for stage in pipeline.stages.values():
        for name in stage.directive.after:
            if name not in pipeline.stages or name == stage.name:
                findings.add(_option(stage.name, stage.cells[0], f"--after names {name!r}, which is no other stage", "NB205", pipeline.stages))
        flows = [piece.flow for piece in pieces if piece.stage == stage.name]
        if any(flow.dynamic for flow in flows):
            continue
        bound = {name for flow in flows for name in (*flow.binds, *flow.mutates, *flow.reads)}
        for flag, names in (("--out", stage.directive.outs or ()), ("--metrics", stage.directive.metrics)):
            for name in names:
                if name not in bound:
                    findings.add(_option(stage.name, stage.cells[0], f"{flag} names {name!r}, which the stage does not bind", "NB206", bound))


def _option(stage: str, cell: int, what: str, code: str, choices: object) -> Diagnostic:
    listed = ", ".join(sorted(map(str, choices))) if hasattr(choices, "__iter__") else ""
    return Diagnostic(
        code=code,
        severity="error",
        message=f"stage {stage!r}: {what}",
        fix=f"choose from: {listed}" if listed else "remove the option",
        cell=cell,
        line=1,
        stage=stage,
    )


def _cycles(findings: Findings, pipeline: Pipeline) -> None:
    placed = {stage.name for stage in pipeline.topological()}
    left = [stage for stage in pipeline.stages.values() if stage.name not in placed]
    circle = [stage for stage in left if any(stage.name in other.upstream for other in left)]
    if circle:
        names = " -> ".join([stage.name for stage in circle] + [circle[0].name])
        findings.add(
            Diagnostic(
                code="NB202",
                severity="error",
                message=f"the stages wait for each other: {names}",
                fix="remove an --after, or split the stage whose cells stand on both sides of another",
                cell=circle[0].cells[0],
                line=1,
                stage=circle[0].name,
            )
        )


def _process_state(findings: Findings, links: Sequence[UnitLinks], pieces: Sequence[_Piece]) -> None:
    for piece, unit in zip(pieces, links, strict=True):
        if piece.stage is None and piece.role is not Role.REPORT:
            continue
        for what, line in (*piece.flow.process_state, *((f"an attribute of {name!r}", line) for name, line in unit.patches)):
            findings.add(
                Diagnostic(
                    code="NB210",
                    severity="warning",
                    message=f"{what} changes the state of the process, which no other stage will see",
                    fix="move it to a cell with the tag setup",
                    cell=piece.cell,
                    line=line,
                    stage=piece.stage,
                )
            )


def _left_behind(findings: Findings, pipeline: Pipeline, effects: Mapping[str, Effects]) -> None:
    told = {item.stage for item in findings.sorted() if item.code == "NB210"}
    for warning in left_behind_warnings(pipeline, effects):
        if warning.code != "NB210" or warning.stage not in told:
            findings.add(warning)


def _dynamic_code(findings: Findings, pipeline: Pipeline, pieces: Sequence[_Piece]) -> None:
    for piece in pieces:
        if piece.stage is None:
            continue
        directive = pipeline.stages[piece.stage].directive
        if directive.ins is not None and directive.outs is not None:
            continue
        for what, line in piece.flow.dynamic:
            findings.add(
                Diagnostic(
                    code="NB211",
                    severity="info",
                    message=f"{what} can read and bind names that reading the cell does not show; they are observed when it runs",
                    fix="name them with --in and --out",
                    cell=piece.cell,
                    line=line,
                    stage=piece.stage,
                )
            )
