"""What the README shows, and that a refused promotion changes nothing, by the very commands and with a real ``mlflow server``."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from nbmlops.promotion.mlflow_registry import MlflowRegistry
from tests.acceptance.project import Cell, Project, cell
from tests.promotion.office import MODEL, evidence_of, register
from tests.servers import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
NOTEBOOK = README.partition("## A notebook\n")[2].partition("Below each stage cell")[0]
SECTION = README.partition("## What goes into production\n")[2].partition("\n## ")[0]


@dataclass
class Served:
    """A server and where it keeps files."""

    url: str
    folder: Path

    def ask(self, path: str, **body: object) -> Any:
        """Ask MLflow's own interface."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def all(self, model: str) -> dict[str, Any]:
        """Return all that it says of a model and its versions, of runs, and each file that it keeps."""
        said = [self.ask(f"registered-models/get?name={model}"), self.ask(f"model-versions/search?filter=name%3D%27{model}%27")]
        runs = self.ask("runs/search", experiment_ids=["0", "1", "2"])
        files = {str(path): blake3(path.read_bytes()).hexdigest() for path in self.folder.glob("artifacts/**/*") if path.is_file()}
        return {"said": said, "runs": runs, "files": files}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Served]:
    """Start a server on SQLite."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as url:
        yield Served(url, folder)


def kept(folder: Path) -> dict[str, bytes]:
    """Return the files of a project: its log, records, objects and all."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_failing_gate_exits_3_and_changes_nothing(served: Served, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in MLflow nor in the store; the alias stays where it was, and the line names the gate."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.url)
    registry = MlflowRegistry(project)
    for number, auc in ((1, 0.7), (2, 0.5)):
        gate = {"name": "roc_auc >= 0.62", "value": auc, "threshold": 0.62, "passed": auc >= 0.62}
        register(registry, project.parent / f"packed{number}", number, evidence_of(number, {"roc_auc": auc}, [gate]))
    registry.close()
    user = Project(project)
    assert user.call("promote", MODEL, 1, "--to", "champion", "--reason", "the first").code == 0
    before, files = served.all(MODEL), kept(project)
    assert before["said"][0]["registered_model"]["aliases"] == [{"alias": "champion", "version": "1"}]
    for json_too in ((), ("--json",)):
        refused = user.call(*shlex.split('promote flight-delay 2 --to champion --reason "better on every route"'), *json_too)
        assert refused.code == 3
        assert "gate roc_auc >= 0.62 of stage train does not hold: 0.5 against 0.62; nothing was changed" in refused.err + refused.out
        assert served.all(MODEL) == before
        assert kept(project) == files


def written() -> list[Cell | str]:
    """Return the cells of the README's notebook, with the last stage of the section on production."""
    cells = [text.strip() for text in re.split("─+", "\n".join(line[4:] for line in NOTEBOOK.splitlines() if line.startswith("    ")))]
    stage = next(block for block in re.findall(r"(?:^    .*\n)+", SECTION, re.MULTILINE) if "%%mlstage score" in block)
    last = "\n".join(line[4:] for line in stage.splitlines())
    changed = [last if text.startswith("%%mlstage score") else text for text in cells]
    assert changed.count(last) == 1
    return [cell(text, "parameters") if text.startswith("trees") else text for text in changed]


def told() -> list[tuple[list[str], str]]:
    """Return the section's commands, each with the line that it shows of the answer."""
    block = next(block for block in re.findall(r"(?:^    .*\n)+", SECTION, re.MULTILINE) if "$ nbmlops" in block)
    lines = [line.strip() for line in block.splitlines()]
    return [(shlex.split(line.removeprefix("$ nbmlops ")), answer) for line, answer in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.thorough  # seven commands
def test_the_readme_shows_what_happens(served: Served, tmp_path: Path) -> None:
    """The notebook of the README with its last stage, and each command with its answer."""
    project = Project(tmp_path / "project")
    project.write(written(), "digits.ipynb")
    env = {"MLFLOW_TRACKING_URI": served.url}
    assert [words[0] for words, _ in told()] == ["run", "promote", "run", "promote", "promote", "rollback", "history"]
    for number, (words, answer) in enumerate(told()):
        done = project.call(*words, env=env)
        assert done.code == (3 if number in {2, 3} else 0), done.err
        assert answer in done.out + done.err, done.err
    (alias,) = served.ask("registered-models/get?name=digits")["registered_model"]["aliases"]
    assert alias == {"alias": "champion", "version": "1"}
