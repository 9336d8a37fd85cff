"""``NB2xx``: how the cells hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.dataflow.hidden import is_history, is_last_value
from nbmlops.dataflow.scopes import analyse
from nbmlops.nearest import close_matches
from nbmlops.notebook.code import parse_code
from nbmlops.notebook.expressions import parse_expression
from nbmlops.notebook.kale import speaks_kale
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.between import changed_between
from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.files import folder_of
from nbmlops.pipeline.kale import differing_values
from nbmlops.pipeline.leftbehind import left_behind_warnings
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbmlops.pipeline.checks.checked import Checked
    from nbmlops.pipeline.checks.sites import Piece
    from nbmlops.pipeline.model import Stage

__all__ = [
    "changed_while_held",
    "cycles",
    "hidden_by_reports",
    "hidden_by_stars",
    "history",
    "kale_values",
    "left_behind",
    "left_out",
    "process_state",
    "setup_reads_artifacts",
    "undefined_names",
    "unknown_after",
    "unknown_conditions",
    "unknown_outputs",
]


def undefined_names(checked: Checked) -> Iterator[Diagnostic]:
    """Find names that no earlier cell defines (NB201)."""
    cannot_know = False
    # a cell that could not be read may define any name
    unreadable = min((roled.cell.index for roled in checked.cells if roled.error is not None and roled.error.code == "NB109"), default=None)
    refused = {name: roled.cell.index for roled in reversed(checked.cells) if roled.error is not None for name in _names_of(roled.cell.source)}
    for position, (piece, unit) in enumerate(zip(checked.pieces, checked.links, strict=True)):
        after_unreadable = unreadable is not None and piece.cell > unreadable
        cannot_know = cannot_know or bool(piece.flow.dynamic or piece.flow.star_imports)
        for item in unit.undefined:
            if item.hidden_by is not None:
                continue  # NB203 says more
            if after_unreadable or refused.get(item.name, piece.cell) < piece.cell:
                continue  # a cell above defines it, or may do so, and what is wrong with that one is told
            if item.how.startswith("free name") and any(item.name in later.writes for later in checked.links[position + 1 :]):
                continue  # the function is handed on here, and called where the name is known
            certain = item.how in {"name", "--in"} and not cannot_know and piece.role is not Role.REPORT
            who = f"stage {piece.stage!r}" if piece.stage else "the cell"
            after = zip(checked.pieces[position + 1 :], checked.links[position + 1 :], strict=True)
            below = next((other.cell for other, links in after if other.cell > piece.cell and item.name in links.writes), None)
            where = f", only cell {below} below it" if below is not None else ""
            yield Diagnostic(
                code="NB201",
                severity="error" if certain else "warning",
                message=f"{who} reads {item.name!r}, which no earlier cell defines{where}" + ("" if item.how == "name" else f" ({item.how})"),
                fix="define it in an earlier cell or make it a parameter",
                cell=piece.cell,
                line=item.line or None,
                stage=piece.stage,
            )


def _names_of(source: str) -> Iterable[str]:
    """Return the names that a cell binds whose first line, a magic, is wrong; none where its code cannot be read either."""
    first, _, rest = source.lstrip().partition("\n")
    try:
        return analyse(parse_code(rest if first.startswith("%%") else source)).binds
    except (SyntaxError, ValueError):
        return ()


def history(checked: Checked) -> Iterator[Diagnostic]:
    """Find what reads IPython's memory of cells that run in another process (NB212)."""
    stages = [roled.cell.index for roled in checked.cells if roled.role is Role.STAGE]
    elsewhere = [roled.cell.index for roled in checked.cells if roled.role is Role.STAGE or (roled.role is Role.SKIP and roled.cell.source.strip())]
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        provided = {item.name for item in unit.links}
        for name in piece.flow.reads.keys() - piece.flow.soft - provided:
            own = name == "_dh" or (name == "_exit_code" and any(what == "!" for what, _ in piece.flow.dynamic))
            if own or not is_history(name):
                continue
            others = stages if is_last_value(name) else elsewhere
            if piece.role is not Role.STAGE and not any(cell < piece.cell for cell in others):
                continue  # all cells before it run in its process
            yield Diagnostic(
                code="NB212",
                severity="error",
                message=f"{name!r} is what IPython remembers of earlier cells, which do not all run in the process of this one",
                fix="bind the value to a name in the cell that makes it, and use that name",
                cell=piece.cell,
                line=piece.flow.reads[name],
                stage=piece.stage,
            )


def hidden_by_reports(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages and setup cells that read what a report cell defines (NB203)."""
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        if piece.role is Role.REPORT or not checked.pipeline.stages:
            continue  # all of them run in one process, in the document's order
        for item in unit.links:
            # a decorator may call what it is given, and mostly does not
            if item.hidden_by is None or (item.soft and piece.role is not Role.STAGE):
                continue
            who = f"stage {piece.stage!r}" if piece.stage else f"setup cell {piece.cell}"
            hiding = checked.pieces[item.hidden_by]
            binding = hiding.flow.binds.get(item.name)
            yield Diagnostic(
                code="NB203",
                severity="error",
                message=f"{who} reads {item.name!r}, which cell {hiding.cell} defines; that cell belongs to no stage",
                fix=f"add the tag setup to cell {hiding.cell}, or begin it with %%mlstage",
                cell=hiding.cell,
                line=binding.line if binding is not None else None,
                stage=piece.stage,
            )


def setup_reads_artifacts(checked: Checked) -> Iterator[Diagnostic]:
    """Find setup cells that read what a stage makes (NB204)."""
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        if piece.role not in {Role.SETUP, Role.PARAMETERS, Role.INJECTED}:
            continue
        for item in unit.links:
            provider = checked.pieces[item.provider].stage if item.provider is not None else None
            if provider is not None and not item.how.startswith("free name"):
                yield Diagnostic(
                    code="NB204",
                    severity="error",
                    message=f"the setup cell reads {item.name!r}, which stage {provider!r} makes; setup runs before every stage",
                    fix="make the cell a stage, or move what it needs into one",
                    cell=piece.cell,
                    line=item.line or None,
                )


def hidden_by_stars(checked: Checked) -> Iterator[Diagnostic]:
    """Find names that a stage makes and that a star import of setup below it may bind again (NB216)."""
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        stars = {item.name: item for item in unit.links if item.how == "star import" and item.provider is not None}
        for item in unit.links:
            star = stars.get(item.name)
            if star is None or star.provider is None or item.provider is None or item.provider >= star.provider:
                continue
            provider, star_piece = checked.pieces[item.provider].stage, checked.pieces[star.provider]
            if provider is None or star_piece.stage is not None:
                continue
            source = star_piece.flow.star_imports[0]
            what = f"{item.name!r} of stage {provider!r}, and `from {source} import *` in cell {star_piece.cell} may bind it again"
            yield Diagnostic(
                code="NB216",
                severity="error",
                message=f"{_who(piece)} reads {what}",
                fix=f"import from {source} the names that you use, or move cell {star_piece.cell} above stage {provider!r}",
                cell=piece.cell,
                line=item.line or None,
                stage=piece.stage,
            )


def left_out(checked: Checked) -> Iterator[Diagnostic]:
    """Find names that a stage binds or changes, leaves out of its ``--out``, and that a later cell reads (NB217)."""
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        for item in unit.links:
            if item.left_out_by is None or checked.pieces[item.left_out_by].stage == piece.stage:
                continue
            owner = checked.pieces[item.left_out_by].stage
            yield Diagnostic(
                code="NB217",
                severity="error",
                message=f"{_who(piece)} reads {item.name!r}, which stage {owner!r} binds or changes but leaves out of its --out",
                fix=f"add {item.name} to the --out of stage {owner!r}, or use another name in it",
                cell=piece.cell,
                line=item.line or None,
                stage=piece.stage,
            )


def _who(piece: Piece) -> str:
    return f"stage {piece.stage!r}" if piece.stage else f"cell {piece.cell}"


def changed_while_held(checked: Checked) -> Iterator[Diagnostic]:
    """Find what the cells of one stage change around a cell that reads it (NB202)."""
    yield from changed_between(checked.pieces, checked.links)


def kale_values(checked: Checked) -> Iterator[Diagnostic]:
    """Find, in a notebook of Kale, what would have another value in Kale or from top to bottom (NB123, NB124)."""
    if speaks_kale(checked.document):
        yield from checked.conflicts
        yield from differing_values(checked.pieces, checked.links, checked.pipeline.stages)


def unknown_after(checked: Checked) -> Iterator[Diagnostic]:
    """Find ``--after`` with what is no other stage (NB205)."""
    stages = checked.pipeline.stages
    for stage in stages.values():
        for name in stage.directive.after:
            if name not in stages or name == stage.name:
                others = [other for other in stages if other != stage.name]
                yield _option(stage, "NB205", f"--after names {name!r}, which is no other stage", _choices(others, "remove the option"))


def unknown_outputs(checked: Checked) -> Iterator[Diagnostic]:
    """Find ``--out`` and ``--metrics`` with what the stage does not bind (NB206)."""
    for stage in checked.pipeline.stages.values():
        if not (stage.directive.outs or stage.directive.metrics):
            continue
        if any(stage.name in place.stages for place in checked.hiding):
            continue
        flows = [piece.flow for piece in checked.pieces if piece.stage == stage.name]
        bound = {name for flow in flows for name in (*flow.binds, *flow.mutates, *flow.reads)}
        for flag, names in (("--out", stage.directive.outs or ()), ("--metrics", stage.directive.metrics)):
            for name in names:
                if name not in bound:
                    yield _option(stage, "NB206", f"{flag} names {name!r}, which the stage does not bind", _choices(bound, "remove the option"))


def unknown_conditions(checked: Checked) -> Iterator[Diagnostic]:
    """Find ``--if`` with a name that is no parameter, where no stage before can log it as a metric (NB207)."""
    known = {name for name, item in checked.pipeline.parameters.items() if item.literal} | set(checked.parameters)
    metrics = False
    for stage in checked.pipeline.topological:
        condition = stage.directive.condition
        # what the keys of a dict of metrics are, only the run can tell
        if condition is not None and not metrics:
            for name in parse_expression(condition).names:
                if name not in known:
                    near = close_matches(name, known)
                    fix = f"did you mean {near[0]}?" if near else f"add {name} = False to the cell with the tag parameters"
                    yield _option(stage, "NB207", f"--if reads {name!r}, which is neither a parameter nor a metric of an earlier stage", fix)
        metrics = metrics or bool(stage.directive.metrics)


def _option(stage: Stage, code: str, what: str, fix: str) -> Diagnostic:
    return Diagnostic(code=code, severity="error", message=f"stage {stage.name!r}: {what}", fix=fix, cell=stage.cells[0], line=1, stage=stage.name)


def _choices(names: Iterable[str], otherwise: str) -> str:
    listed = ", ".join(sorted(names))
    return f"choose from: {listed}" if listed else otherwise


def cycles(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages that wait for each other (NB202)."""
    placed = {stage.name for stage in checked.pipeline.topological}
    left = [stage for stage in checked.pipeline.stages.values() if stage.name not in placed]
    circle = [stage for stage in left if any(stage.name in other.upstream for other in left)]
    if circle:
        names = " -> ".join([stage.name for stage in circle] + [circle[0].name])
        yield Diagnostic(
            code="NB202",
            severity="error",
            message=f"the stages wait for each other: {names}",
            fix="remove an --after, or split the stage whose cells stand on both sides of another",
            cell=circle[0].cells[0],
            line=1,
            stage=circle[0].name,
        )


def left_behind(checked: Checked) -> Iterator[Diagnostic]:
    """Find what stages were seen to change outside their variables (NB210, NB321, NB323, NB325), where reading has not told it."""
    told = {item.stage for item in process_state(checked)}
    for warning in left_behind_warnings(checked.pipeline, checked.effects):
        if warning.code != "NB210" or warning.stage not in told:
            yield warning


def changed_listings(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages that list a folder in which a stage below them writes (NB324): the next run finds that there, the first one did not."""
    changed: dict[str, list[tuple[Stage, str]]] = {}
    for stage in reversed(list(checked.pipeline.stages.values())):
        for item in sorted({*stage.files_read, *checked.effects.get(stage.name, NO_EFFECTS).files_read}):
            for writer, path in changed.get(item, ())[-1:]:
                yield Diagnostic(
                    code="NB324",
                    severity="warning",
                    message=f"stage {stage.name!r} lists {item!r}, where stage {writer.name!r} below it changes {path!r}: the next run sees that",
                    fix="write it to a folder of its own",
                    cell=stage.cells[0],
                    stage=stage.name,
                )
        for path in stage.files_written:
            changed.setdefault(folder_of(path), []).append((stage, path))


def process_state(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages and report cells that change the state of the process (NB210)."""
    for piece, unit in zip(checked.pieces, checked.links, strict=True):
        if piece.stage is None and piece.role is not Role.REPORT:
            continue
        for what, line in (*piece.flow.process_state, *((f"an attribute of {name!r}", line) for name, line in unit.patches)):
            yield Diagnostic(
                code="NB210",
                severity="warning",
                message=f"{what} changes the state of the process, which no other stage will see",
                fix="move it to a cell with the tag setup",
                cell=piece.cell,
                line=line,
                stage=piece.stage,
            )
