"""How the code of stages differs between the notebooks that runs have kept: the stages' cells, and the setup that they use."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbmlops.errors import NotebookError
from nbmlops.notebook.code import to_python
from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import read_source
from nbmlops.session.comparing.comparison import CodeDiff, Section

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.model import Pipeline, Stage
    from nbmlops.pipeline.source import Source
    from nbmlops.store.records import RunRecord, StageRecord
    from nbmlops.store.store import Store

__all__ = ["RunCode", "compare_code"]

# the parts of a key that are the code itself; its values and its modules are told as reasons
_CODE = ("code", "options", "setup", "configuration")


@dataclass(frozen=True, slots=True, kw_only=True)
class _StageCode:
    """A stage's code in one run: its text, and what of it decides."""

    cells: str
    setup: str
    decides: object


_NONE = _StageCode(cells="", setup="", decides=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCode:
    """What a run has kept of its code.

    Parameters
    ----------
    label : str
        What the run is called in a diff.
    run : RunRecord
    records : mapping of str to StageRecord
        Of its stages, as far as there are any: what running has taught decides which setup a stage uses.
    """

    label: str
    run: RunRecord
    records: Mapping[str, StageRecord]

    @property
    def keys(self) -> dict[str, str | None]:
        """The key of each stage."""
        return {item["name"]: item.get("key") for item in self.run.stages}


def compare_code(store: Store, root: Path, runs: Sequence[RunCode]) -> Section[CodeDiff]:
    """Return how the code of each stage differs; where a snapshot is gone, keys and records may still tell that it is equal.

    Parameters
    ----------
    store : Store
        Holds the snapshots of the notebooks.
    root : Path
        The project's folder.
    runs : sequence of RunCode
    """
    names = tuple(dict.fromkeys(name for run in runs for name in run.keys))
    if runs[0].run.notebook_digest and len({run.run.notebook_digest for run in runs}) == 1:
        return Section(equal=names)
    read = [_read(store, root, run) for run in runs]
    trouble = next((item for item in read if isinstance(item, str)), "")
    texts = [item for item in read if not isinstance(item, str)]
    differ: dict[str, CodeDiff] = {}
    equal: list[str] = []
    unknown: dict[str, str] = {}
    for name in names:
        if trouble:
            if _surely_equal(name, runs):
                equal.append(name)
            else:
                unknown[name] = f"{trouble}{', so there is no diff of what changed' if _surely_changed(name, runs) else ''}"
            continue
        diff = _diff(name, [run.label for run in runs], [stages.get(name, _NONE) for stages in texts])
        if diff.text:
            differ[name] = diff
        else:
            equal.append(name)
    return Section(differ=differ, equal=tuple(equal), unknown=unknown)


def _read(store: Store, root: Path, known: RunCode) -> dict[str, _StageCode] | str:
    """Read the stages' code from a snapshot, or say why that cannot be done."""
    run = known.run
    try:
        raw = json.loads(store.read_snapshot(run.notebook_digest))
        source = read_source(parse_document(raw, root / run.notebook))
        effects = {name: record.effects for name, record in known.records.items() if name in source.stages}
        return _stages(source, build(source, effects=effects))
    except KeyError:
        return f"the snapshot of the notebook of {known.label} is gone"
    except (NotebookError, ValueError):
        return f"the snapshot of the notebook of {known.label} cannot be read by this version"


def _diff(name: str, labels: Sequence[str], codes: Sequence[_StageCode]) -> CodeDiff:
    return CodeDiff(
        cells=_diffs([(f"{label} {name}", code.cells) for label, code in zip(labels, codes, strict=True)]),
        setup=_diffs([(f"{label} setup", code.setup) for label, code in zip(labels, codes, strict=True)]),
        cosmetic=all(code.decides == codes[0].decides for code in codes),
    )


def _surely_equal(name: str, runs: Sequence[RunCode]) -> bool:
    """Tell whether the code is the same without a look at it: it has one key, or one set of components."""
    key = runs[0].keys.get(name)
    if key and all(run.keys.get(name) == key for run in runs):
        return True
    parts = _parts(name, runs)
    return parts is not None and all(item == parts[0] for item in parts)


def _surely_changed(name: str, runs: Sequence[RunCode]) -> bool:
    parts = _parts(name, runs)
    return parts is not None and any(item != parts[0] for item in parts)


def _parts(name: str, runs: Sequence[RunCode]) -> list[list[object]] | None:
    records = [run.records.get(name) for run in runs]
    found = [record.components for record in records if record is not None and record.components]
    return [[parts.get(part) for part in _CODE] for parts in found] if len(found) == len(runs) else None


def _diffs(texts: Sequence[tuple[str, str]]) -> str:
    """Return the unified diffs of each further text against the first."""
    (first, before), *others = texts
    lines: list[str] = []
    for title, after in others:
        lines += difflib.unified_diff(before.splitlines(), after.splitlines(), first, title, lineterm="")
    return "\n".join(lines)


def _stages(source: Source, pipeline: Pipeline) -> dict[str, _StageCode]:
    spans = {cell.cell.index: _Spans(cell) for cell in source.cells if cell.tree is not None}
    return {name: _code_of(stage, source, pipeline, spans) for name, stage in pipeline.stages.items()}


def _code_of(stage: Stage, source: Source, pipeline: Pipeline, spans: Mapping[int, _Spans]) -> _StageCode:
    used = [pipeline.setup[position] for position in stage.setup]
    # the names of one import, or two statements on a line, are one piece of text
    setup = dict.fromkeys((item.cell, spans[item.cell].text_at(item.line)) for item in used if item.cell in spans)
    return _StageCode(
        cells="\n\n".join(source.cells[cell].cell.source for cell in stage.cells),
        setup="\n".join(text for _, text in setup),
        decides=(stage.code, [item.fingerprint for item in used]),
    )


class _Spans:
    """The text of each statement of a cell, by the line in which it begins."""

    def __init__(self, roled: RoledCell) -> None:
        body = roled.body.splitlines()
        if len(to_python(roled.body).splitlines()) != len(body):
            body = to_python(roled.body).splitlines()  # a magic that IPython writes in several lines
        self._texts: dict[int, str] = {}
        for node in roled.tree.body if roled.tree is not None else ():
            text = "\n".join(body[_first_line(node) - 1 : node.end_lineno])
            earlier = self._texts.get(node.lineno)
            self._texts[node.lineno] = text if earlier is None or len(text) > len(earlier) else earlier

    def text_at(self, line: int) -> str:
        """Return the text of the statement that begins in `line`, the longest if there are several; "" if there is none."""
        return self._texts.get(line, "")


def _first_line(node: ast.stmt) -> int:
    """Return where a statement begins: with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(item.lineno for item in decorators)])
