"""The table of effect cases, `effects/*.txt`: code in; values and effects learnt out.

Each row is really run, stage by stage in processes of their own, and compared with its cells run once from top to bottom in one fresh process:
``out`` is what both give. A line ``b: mutated x; aliases x,y`` says all that stage `b` was seen to do beyond what its code tells.
``fails: a TYPE text`` is a stage that cannot be kept, ``refused: NB215`` a run that is not begun or goes no further, ``said: NB210`` a diagnostic
without which the value would be wrong in silence. ``again`` says why a second run does not find everything done.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import NotebookError
from nbmlops.executors.local import LocalExecutor
from tests.dataflow.casebook import Case, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.executors.scheduler import Scheduler
    from nbmlops.pipeline.effects import Effects
    from tests.acceptance.project import Cell
    from tests.runner.bench import Bench

CASES = cases(Path(__file__).with_name("effects"))
_WORDS = {
    "reads": "reads", "writes": "writes", "mutated": "mutated", "files_read": "read", "files_absent": "absent", "files_written": "wrote",
    "environment": "env", "modules": "modules", "random": "random",
}  # fmt: skip
_STRAIGHT = """
import json, os, sys
sys.path.insert(0, os.getcwd())
def run(cells, names):
    for source in cells:
        exec(compile(source, "<cell>", "exec"), names)
    print(repr(names["out"]), end="")
run(json.load(sys.stdin), globals())
"""


def straight(case: Case, folder: Path) -> str:
    """Run a case from top to bottom in one fresh process; return `out` as text, or the last line of the traceback."""
    folder.mkdir()
    case.write_files(folder)
    code = [part.code for part in case.parts]
    done = subprocess.run(
        [sys.executable, "-c", _STRAIGHT], cwd=folder, input=json.dumps(code), capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def shown(effects: Effects) -> str:
    """Write effects as the table does."""
    told = [f"{word} {','.join(getattr(effects, name))}" for name, word in _WORDS.items() if getattr(effects, name)]
    told += [f"aliases {','.join(names)}" for names in effects.aliases]
    return "; ".join(told)


def notebook(case: Case) -> list[Cell]:
    """Return the cells of a case; the last stage prints `out`."""
    last = max(place for place, part in enumerate(case.parts) if part.stage)
    shown = "\nprint(repr(out), end='')"
    return [replace(part, code=f"{part.code}{shown}").cell if place == last else part.cell for place, part in enumerate(case.parts)]


def run(case: Case, bench: Bench) -> Scheduler:
    """Run a case as a pipeline."""
    case.write_files(bench.folder)
    return bench.run(*notebook(case))


def expected(case: Case, word: str) -> str | None:
    """Return what the line of a case that begins with `word` says."""
    return next((line.partition(":")[2].strip() for line in case.expected if line.startswith(f"{word}:")), None)


VALUES = [case for case in CASES if not any(expected(case, word) for word in ("fails", "refused", "said"))]
FAILING = [case for case in CASES if expected(case, "fails")]
REFUSED = [case for case in CASES if expected(case, "refused")]
SAID = [case for case in CASES if expected(case, "said")]


@pytest.fixture(scope="session")
def loaded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """Start a server that has imported the libraries of the cases, as that of a run has."""
    made = LocalExecutor(tmp_path_factory.mktemp("attempts"), workers=2, preload=["pandas", "sklearn.linear_model"])
    yield made
    made.close()


@pytest.fixture
def bench(bench: Bench, request: pytest.FixtureRequest) -> Bench:
    """Give an empty project; what a library's import itself does is seen where the stage imports it, in the table `process`."""
    case: Case = request.node.callspec.params["case"]
    code = "".join(part.code for part in case.parts)
    if ("pandas" in code or "sklearn" in code) and not case.title.startswith("process: "):
        bench.executor = request.getfixturevalue("loaded_server")
    return bench


@pytest.mark.parametrize("case", VALUES, ids=[case.title for case in VALUES])
def test_value_and_effects(case: Case, bench: Bench, tmp_path: Path) -> None:
    """The value is that of the cells run from top to bottom, the effects are those of the row, and a second run finds nothing to do."""
    done = run(case, bench)
    assert {name: item.status for name, item in done.results.items()} == dict.fromkeys(done.results, "ran"), done.results
    out = bench.text(done.finished[list(done.planner.pipeline.stages)[-1]].cell_outputs)
    assert out == straight(case, tmp_path / "straight")
    assert out == (expected(case, "out") or out)
    for name, record in done.finished.items():
        told = expected(case, name)
        assert told is None or shown(record.effects) == told, name
    assert expected(case, "again") or set(bench.states(*notebook(case)).values()) == {"fresh"}


@pytest.mark.parametrize("case", FAILING, ids=[case.title for case in FAILING])
def test_stage_that_cannot_be_kept(case: Case, bench: Bench) -> None:
    """The stage has failed with the reason, and nobody gets anything of it."""
    done = run(case, bench)
    stage, kind, *words = (expected(case, "fails") or "").split(" ")
    result = done.results[stage]
    assert (result.status, result.error.type if result.error else None) == ("failed", kind)
    assert result.error is not None
    assert " ".join(words) in result.error.message


@pytest.mark.parametrize("case", REFUSED, ids=[case.title for case in REFUSED])
def test_refused(case: Case, bench: Bench) -> None:
    """The run goes no further than where it would be wrong, with a code."""
    with pytest.raises(NotebookError) as caught:
        run(case, bench)
    assert caught.value.code == expected(case, "refused")


@pytest.mark.parametrize("case", SAID, ids=[case.title for case in SAID])
def test_said(case: Case, bench: Bench) -> None:
    """What no other stage will see is said when the notebook is read."""
    case.write_files(bench.folder)
    found = bench.planner(*(part.cell for part in case.parts)).pipeline.diagnostics
    assert expected(case, "said") in {item.code for item in found}
