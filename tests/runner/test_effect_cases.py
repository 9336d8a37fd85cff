"""The table of effect cases, `effects/*.txt`: code in; values and effects learnt out.

Each row is really run, stage by stage in processes of their own, and compared with its cells run once from top to bottom in one fresh process:
``out`` is what both give. A line ``b: mutated x; aliases x,y`` says all that stage `b` was seen to do beyond what its code tells. ``fails: a TYPE text``
is a stage that cannot be kept, ``refused: NB215`` a run that is not begun or goes no further, ``said: NB210`` a diagnostic without which the value
would be wrong in silence.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nbmlops.errors import NotebookError
from nbmlops.store.serializers import Context, decode
from tests.dataflow.casebook import Case, cases

if TYPE_CHECKING:
    from nbmlops.executors.scheduler import Scheduler
    from nbmlops.pipeline.effects import Effects
    from tests.runner.bench import Bench

CASES = cases(Path(__file__).with_name("effects"))
_WORDS = {
    "reads": "reads", "writes": "writes", "mutated": "mutated", "files_read": "read", "files_absent": "absent", "files_written": "wrote",
    "environment": "env", "modules": "modules", "random": "random",
}  # fmt: skip
_STRAIGHT = """
import __main__, io, json, os, sys
cells = json.load(sys.stdin)
sys.path.insert(0, os.getcwd())
names = __main__.__dict__
for name in ("io", "json", "os", "cells"):
    names.pop(name, None) if name != "cells" else None
for source in cells:
    exec(compile(source, "<cell>", "exec"), names)
sys.__stdout__.write(repr(names["out"]))
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


def run(case: Case, bench: Bench) -> Scheduler:
    """Run a case as a pipeline; a report cell at the end wants `out`."""
    case.write_files(bench.folder)
    return bench.run(*(part.cell for part in case.parts), "out")


def value(bench: Bench, done: Scheduler, case: Case) -> str:
    """Return `out` as the last stage hands it on."""
    stage = [part.stage for part in case.parts if part.stage][-1]
    artifact = done.finished[stage or ""].outputs["out"]
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in case.parts:
        if part.what == "setup":
            exec(part.code, names)
    context = Context(namespace=names, by_reference=frozenset(names), local_roots=(bench.folder,), trusted=True)
    found = decode(artifact.format, bench.store.objects.view(artifact.digest), context)
    return repr(found[artifact.name] if artifact.members else found)


def expected(case: Case, word: str) -> str | None:
    """Return what the line of a case that begins with `word` says."""
    return next((line.partition(":")[2].strip() for line in case.expected if line.startswith(f"{word}:")), None)


VALUES = [case for case in CASES if not any(expected(case, word) for word in ("fails", "refused", "said"))]
FAILING = [case for case in CASES if expected(case, "fails")]
REFUSED = [case for case in CASES if expected(case, "refused")]
SAID = [case for case in CASES if expected(case, "said")]


@pytest.mark.parametrize("case", VALUES, ids=[case.title for case in VALUES])
def test_value_and_effects(case: Case, bench: Bench, tmp_path: Path) -> None:
    """The value is that of the cells run from top to bottom, the effects are those of the row, and a second run finds nothing to do."""
    done = run(case, bench)
    assert {name: item.status for name, item in done.results.items()} == dict.fromkeys(done.results, "ran"), done.results
    out = value(bench, done, case)
    assert out == straight(case, tmp_path / "straight")
    assert out == (expected(case, "out") or out)
    for name, record in done.finished.items():
        told = expected(case, name)
        assert told is None or shown(record.effects) == told, name
    assert set(bench.states(*(part.cell for part in case.parts), "out").values()) == {"fresh"}


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
