"""The table of dataflow cases, `cases/*.txt`: code in; reads, writes, edges and diagnostics out.

What is expected of a stage is one line: ``b: x@a, K@setup (in f) -> y writes o.txt``. It reads `x`, which stage `a` provides, and `K`, a free name of
`f` that setup provides; it hands on `y`, and writes a file. In brackets stands how the read was found, where its code does not simply name it:
``(in f)`` a free name of `f`, ``(!)`` changed here, ``(?)`` kept where it is not bound anew, ``(--in)``, ``(file)``; ``(changed)`` says that the
provider did not make the object, but changed it in place. ``also: a>b`` are edges without a read, ``codes:`` the diagnostics on reading and linking.
``note: not run`` stands where the cells cannot run, or do what only running can tell.

What a call of a method gives may hold the method's object: so ``y = C().m()`` brings the class along, and whoever reads `y` reads `C` ``(in y)``.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.notebook.code import to_python
from nbmlops.notebook.document import parse_document
from nbmlops.pipeline.build import build
from nbmlops.pipeline.source import read_source
from tests.acceptance.project import notebook_json
from tests.dataflow.casebook import Case, cases

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline, Stage

CASES = cases(Path(__file__).with_name("cases"))
_HOWS = {"name": "", "mutated here": "(!)", "kept version": "(?)", "star import": "(*)"}


def pipeline_of(case: Case, folder: Path) -> Pipeline:
    """Build the pipeline of a case whose files are in `folder`."""
    case.write_files(folder)
    cells = [part.cell for part in case.parts]
    return build(read_source(parse_document(notebook_json(cells), folder / "nb.ipynb")))


def shown(pipeline: Pipeline) -> list[str]:
    """Write a pipeline as the table does."""
    lines = [_line(stage) for stage in pipeline.stages.values()]
    by_reads = {(provider, stage.name) for stage in pipeline.stages.values() for provider in (*stage.inputs.values(), *stage.files_from.values())}
    also = sorted(f"{upstream}>{name}" for upstream, name in pipeline.edges if (upstream, name) not in by_reads)
    codes = sorted({item.code for item in pipeline.diagnostics if item.code.startswith(("NB1", "NB2"))})
    return [*lines, *([f"also: {', '.join(also)}"] if also else []), *([f"codes: {', '.join(codes)}"] if codes else [])]


def _line(stage: Stage) -> str:
    reads = [f"{read.name}@{read.provider} {_how(read.how)}".rstrip() for read in stage.reads]
    reads += [f"{path}@{stage.files_from[path]} (file)" if path in stage.files_from else f"{path} (file)" for path in stage.files_read]
    text = stage.name + (f": {', '.join(sorted(reads))}" if reads else "")
    text += f" -> {', '.join(stage.wants)}" if stage.wants else ""
    return text + (f" writes {', '.join(stage.files_written)}" if stage.files_written else "")


def _how(how: str) -> str:
    found, _, more = how.partition("; ")
    shown = _HOWS.get(found, f"({found.replace('free name of', 'in')})")
    return f"{shown} (changed)".lstrip() if more.startswith("changed in place by") else shown


def _normal(line: str) -> str:
    """Sort a line's reads as `_line` does, so that a row may tell them in the order that reads best."""
    match = re.fullmatch(r"(\S+: )(.*?)((?: ->| writes).*)?", line)
    if match is None or line.startswith(("also:", "codes:")):
        return line
    return match[1] + ", ".join(sorted(match[2].split(", "))) + (match[3] or "")


def wanted(case: Case) -> list[str]:
    """Return what a case expects, notes left out."""
    return [_normal(line) for line in case.expected if not line.startswith("note:")]


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_reading_and_linking(case: Case, tmp_path: Path) -> None:
    """Each row holds: what every stage reads, from where and how, what it hands on, and what is said of it."""
    assert shown(pipeline_of(case, tmp_path)) == wanted(case)


class _Watched(dict[str, Any]):
    """A namespace that knows which cell bound what, and notes who takes it while its value is still that one."""

    def __init__(self) -> None:
        super().__init__({"__name__": "__main__", "__doc__": None, "__file__": "nb.ipynb"})
        self.owner: dict[str, tuple[str, Any]] = {}
        self.taken: set[tuple[str, str]] = set()

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if name in self.owner and self.owner[name][1] is value:
            self.taken.add((name, self.owner[name][0]))
        return value

    def own(self, who: str, before: dict[str, Any]) -> None:
        """Note what a cell has bound; a name that it bound again is its own."""
        for name in list(self):
            value = dict.__getitem__(self, name)
            if name not in before or before[name] is not value:
                self.owner[name] = (who, value)


def _takes(case: Case) -> list[tuple[str, str, str]]:
    """Run a case from top to bottom; return (stage, name, provider) for each name that a stage really took from another cell."""
    namespace = _Watched()
    found: list[tuple[str, str, str]] = []
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for part in case.parts:
        if part.what == "skip":
            continue
        before, namespace.taken = dict(namespace), set()
        code = compile(to_python(part.code), "<cell>", "exec", flags=flags, dont_inherit=True)
        flags |= code.co_flags & __future__.annotations.compiler_flag  # as in a kernel, it holds for the cells that follow
        result = eval(code, namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)
        namespace.own(part.what, before)
        if part.stage is not None:
            found += [(part.stage, name, owner) for name, owner in namespace.taken if owner != part.stage and not name.startswith("__")]
    return found


RUN = [case for case in CASES if not any(line.startswith("note: not run") for line in case.expected)]
RUN = [case for case in RUN if not any("get_ipython" in to_python(part.code) for part in case.parts if "= =" not in part.code)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("case", RUN, ids=[case.title for case in RUN])
def test_expected_reads_are_those_of_python(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stage takes when the cells run from top to bottom, the row gives it, in that version or in one changed since."""
    case.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stars", raising=False)
    places = {part.what: place for place, part in enumerate(case.parts)}
    rows = dict(re.findall(r"^(\w+): (.*?)(?: ->.*| writes.*)?$", "\n".join(wanted(case)), re.MULTILINE))
    for stage, name, owner in _takes(case):
        given = [read.partition("@")[2].partition(" ")[0] for read in rows.get(stage, "").split(", ") if read.partition("@")[0] == name]
        assert given, f"{stage} takes {name} from {owner}"
        assert given[0] in {"setup", "parameters"} or places[given[0]] >= places[owner], f"{stage} takes {name} from {owner}"
