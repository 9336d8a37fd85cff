"""What a user gets wrong: one line that names file, cell and remedy, an exit code, and no traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.project import PIPELINE, Cell, Outcome, Project, cell, notebook_json

VALID = json.dumps(notebook_json(PIPELINE))


def refused(done: Outcome, *parts: str, code: int = 2, index: int | None = None) -> None:
    """Check the whole contract of an error: exit code, one line, parts of it, JSON on stdout with code, cell and fix."""
    assert (done.code, "Traceback" in done.err + done.out) == (code, False), done.err
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    error = done.data["error"]
    assert (error["code"][:2], error["cell"]) == ("NB", index)
    assert isinstance(done.data["diagnostics"], list)
    assert error["message"]
    assert error["fix"]
    for part in (*parts, *([f"cell {index}"] if index is not None else [])):
        assert part in lines[0]


FILES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", []),
    "text": (b"a,b,c\n1,2,3\n", []),
    "image": (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", []),
    "latin-1": (VALID.replace("trained", "trainé").encode("latin-1"), []),
    "list": (b"[]", []),
    "number": (b"17", []),
    "object": (b"{}", []),
    "cut off": (VALID[: len(VALID) // 2].encode(), ["line"]),
    "nbformat 3": (b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}', ["nbformat", "convert"]),
    "nbformat 5": (VALID.replace('"nbformat": 4', '"nbformat": 5').encode(), ["5"]),
    "nbformat text": (VALID.replace('"nbformat": 4', '"nbformat": "4"').encode(), ["nbformat"]),
    "cells no list": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {}}', ["cells"]),
    "R kernel": (VALID.replace('"language": "python"', '"language": "R"').replace('{"name": "python"}', '{"name": "R"}').encode(), ["R"]),
    "deep": (b"[" * 200_000, []),
    "merge conflict": (VALID.replace('"nbformat"', '\n<<<<<<< HEAD\n"nbformat"').encode(), ["line"]),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_notebook(project: Project, name: str) -> None:
    """A file that cannot be read as a Python notebook of format 4."""
    content, parts = FILES[name]
    path = project.folder / "nb.ipynb"
    path.write_bytes(content)
    refused(project.run(), "nb.ipynb", *parts)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["missing.ipynb", ".", "no/such/folder/nb.ipynb"])
def test_path_that_is_no_file(project: Project, name: str) -> None:
    """A path where no file is."""
    refused(project.run(notebook=name), name)


def test_cell_without_source(project: Project) -> None:
    """A cell of the wrong shape is named."""
    book = notebook_json(["x = 1", "y = 2"])
    del book["cells"][1]["source"]
    (project.folder / "nb.ipynb").write_text(json.dumps(book), encoding="utf-8")
    refused(project.run(), "nb.ipynb", "source", index=1)


A = "%%mlstage a\nx = 1"
NOTEBOOKS: dict[str, tuple[list[Cell | str], int, list[str]]] = {
    "unknown option": ([A, "%%mlstage b --retry 3\ny = x"], 1, ["'retry'", "--retries"]),
    "no name": ([A, "%%mlstage\ny = x"], 1, ["name"]),
    "bad name": ([A, "%%mlstage 1st\ny = x"], 1, ["1st"]),
    "name as path": ([A, "%%mlstage ../b\ny = x"], 1, ["../b"]),
    "bad retries": ([A, "%%mlstage b --retries many\ny = x"], 1, ["retries", "many"]),
    "negative retries": ([A, "%%mlstage b --retries -1\ny = x"], 1, ["retries"]),
    "bad timeout": ([A, "%%mlstage b --timeout soon\ny = x"], 1, ["timeout", "soon"]),
    "bad memory": ([A, "%%mlstage b --memory lots\ny = x"], 1, ["memory", "lots"]),
    "open quote": ([A, "%%mlstage b --require 'auc > 1\ny = x"], 1, []),
    "bad gate": ([A, "%%mlstage b --require '__import__(\"os\")'\ny = x"], 1, ["require"]),
    "bad condition": ([A, "%%mlstage b --if 'x >'\ny = x"], 1, ["if"]),
    "output is no name": ([A, "%%mlstage b --out 1y\ny = x"], 1, ["1y"]),
    "two names": ([A, "%%mlstage b c\ny = x"], 1, ["c"]),
    "unknown option of a tag": ([A, cell("y = x", "stage:b", options={"retry": 3})], 1, ["retry", "retries"]),
    "bad value of a tag": ([A, cell("y = x", "stage:b", options={"timeout": "soon"})], 1, ["timeout"]),
    "bad name of a tag": ([A, cell("y = x", "stage:b c")], 1, ["b c"]),
    "duplicate": ([A, "%%mlstage b\ny = x", "%%mlstage a\nz = 1"], 2, ["'a'"]),
    "duplicate but for case": ([A, "%%mlstage A\ny = x"], 1, ["'A'", "'a'"]),
    "undefined name": ([A, "%%mlstage b\ny = x + missing_name"], 1, ["missing_name", "'b'"]),
    "name that is a typing error": (["value = 1", A, "%%mlstage b\ny = vlaue"], 2, ["vlaue"]),
    "name defined below": (["%%mlstage a\nx = later", "%%mlstage b\nlater = 1"], 0, ["later"]),
    "deleted name": ([A, "%%mlstage b\ny = x\ndel x", "%%mlstage c\nz = x"], 2, ["x"]),
    "syntax error": ([A, "%%mlstage b\ny = = x"], 1, []),
    "syntax error in setup": (["def f(:\n    pass", "%%mlstage b\ny = f()"], 0, []),
    "after itself": ([A, "%%mlstage b --after b\ny = x"], 1, ["b"]),
    "after nobody": ([A, "%%mlstage b --after c\ny = x"], 1, ["'c'"]),
    "magic not on the first line": ([A, "import os\n%%mlstage b\ny = x"], 1, ["%%mlstage"]),
    "value of a report cell": (
        [A, "table = print(x)\nprint(table)\nq = input and 3\nprint(q)", "%%mlstage b\ny = q"],
        1,
        ["'b'", "'q'", "tag setup"],
    ),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_with_an_error(project: Project, name: str) -> None:
    """An error in a cell stops the run before anything runs, and names the cell."""
    cells, index, parts = NOTEBOOKS[name]
    path = project.write(cells)
    before = path.read_bytes()
    refused(project.run("out.ipynb"), "nb.ipynb", *parts, index=index)
    assert path.read_bytes() == before
    assert not (project.folder / "out.ipynb").exists()


@pytest.mark.parametrize("name", ["duplicate", "undefined name", "syntax error", "unknown option"])
def test_check_lists_it(project: Project, name: str) -> None:
    """`check --json` lists the same error as a diagnostic, exit 1."""
    cells, index, parts = NOTEBOOKS[name]
    project.write(cells)
    done = project.call("check", "nb.ipynb", "--json")
    assert (done.code, "Traceback" in done.err) == (1, False)
    errors = [item for item in done.data["diagnostics"] if item["severity"] == "error"]
    assert [item["cell"] for item in errors] == [index]
    assert {"code", "severity", "cell", "line", "stage", "message", "fix"} <= set(errors[0])
    assert all(part in errors[0]["message"] + errors[0]["fix"] for part in parts)


@pytest.mark.parametrize("verb", ["graph", "status"])
def test_other_verbs_tell_errors_without_traceback(project: Project, verb: str) -> None:
    """`graph` and `status` on a notebook with errors answer with JSON and an exit code that is not 0."""
    project.write(NOTEBOOKS["undefined name"][0])
    done = project.call(verb, "nb.ipynb", *(["--format", "json"] if verb == "graph" else ["--json"]))
    assert (done.code in {1, 2}, "Traceback" in done.err) == (True, False)
    assert "missing_name" in json.dumps(done.data)


def test_cycle_through_after(project: Project) -> None:
    """A cycle names its stages and one of its cells."""
    project.write(["%%mlstage a --after c\nx = 1", "%%mlstage b\ny = x", "%%mlstage c\nz = y"])
    done = project.run()
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1)
    assert done.data["error"]["cell"] in {0, 1, 2}
    assert done.data["error"]["fix"]
    assert all(name in done.err for name in ("nb.ipynb", "a -> b -> c -> a", "--after"))


def test_stage_in_the_middle_of_another(project: Project) -> None:
    """A stage that must come between two cells of another is a cycle."""
    project.write([cell("x = 1", "stage:a"), cell("y = x", "stage:b"), cell("z = y", "stage:a")])
    done = project.run()
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert done.data["error"]["fix"]


OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "unknown parameter": (["-p", "CC", "1"], ["CC", "'C'"]),
    "parameter far from any": (["-p", "whatever", "1"], ["whatever"]),
    "parameter that is no name": (["-p", "a-b", "1"], ["a-b"]),
    "parameter that is a keyword": (["-p", "class", "1"], ["class"]),
    "text for an int": (["-p", "n", "many"], ["n", "int", "many"]),
    "bool for an int": (["-p", "n", "true"], ["n", "int"]),
    "list for a float": (["-p", "C", "[1]"], ["C", "float"]),
    "broken YAML": (["-p", "n", "[1, "], ["n"]),
    "YAML alias": (["-p", "n", "*x"], ["n"]),
    "YAML tag": (["-p", "n", "!!python/object/apply:os.getcwd []"], ["n"]),
    "value missing": (["-p", "n"], ["-p"]),
    "no such file": (["-f", "none.yaml"], ["none.yaml"]),
    "unknown stage": (["--stage", "trian"], ["trian", "train"]),
    "unknown forced stage": (["--force-stage", "trian"], ["trian", "train"]),
    "unknown option": (["--workerz", "2"], ["--workerz"]),
    "no workers": (["--workers", "0"], ["workers"]),
    "words for workers": (["--workers", "two"], ["workers", "two"]),
    "unknown executor": (["--executor", "nowhere"], ["nowhere"]),
    "two outputs": (["out.ipynb", "out2.ipynb"], ["out2.ipynb"]),
    "store that is no URL": (["--store", "nosuch://bucket/x"], ["nosuch"]),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_option(pipeline: Project, name: str) -> None:
    """An option, parameter or name that cannot be meant: exit 2, one line."""
    words, parts = OPTIONS[name]
    done = pipeline.run(*words)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.data["error"]["fix"]
    assert all(part in done.err for part in parts)
    assert not list((pipeline.folder / ".nbmlops").glob("runs/*"))


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "n: [1\n", "n: 1\nn: 2\n", "1: 2\n", "n: &a 1\nC: *a\n", "nn: 3\n", "\x00"])
def test_wrong_parameter_file(pipeline: Project, text: str) -> None:
    """A parameter file that is no mapping of known names to plain values."""
    (pipeline.folder / "p.yaml").write_text(text, encoding="utf-8")
    done = pipeline.run("-f", "p.yaml")
    assert (done.code, "Traceback" in done.err, len(done.err.strip().splitlines())) == (2, False, 1), done.err
    assert done.data["error"]["fix"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["rnu", "nb.ipynb"], ["rnu", "run"]),
        (["why", "nb.ipynb", "trian"], ["trian", "train"]),
        (["why", "nb.ipynb"], []),
        (["run"], []),
        (["graph", "nb.ipynb", "--format", "png"], ["png"]),
        (["store", "show", "abc123"], ["abc123"]),
        (["store", "get", "abc123", "train", "model", "-o", "x"], ["abc123"]),
        (["status", "missing.ipynb"], ["missing.ipynb"]),
        (["check", "missing.ipynb"], ["missing.ipynb"]),
        (["graph", "missing.ipynb"], ["missing.ipynb"]),
    ],
)
def test_wrong_words_of_other_verbs(pipeline: Project, words: list[str], parts: list[str]) -> None:
    """Every verb refuses what cannot be meant the same way."""
    done = pipeline.call(*words)
    assert (done.code, "Traceback" in done.err + done.out, len(done.err.strip().splitlines())) == (2, False, 1), done.err
    assert all(part in done.err for part in parts)


@pytest.mark.parametrize(
    ("name", "value"), [("NBMLOPS_WORKERS", "many"), ("NBMLOPS_SEED", "-1"), ("NBMLOPS_TRACKERS", "mlfow"), ("NBMLOPS_OUTPUT_LIMIT_BYTES", "1MB")]
)
def test_wrong_setting(pipeline: Project, name: str, value: str) -> None:
    """A setting that cannot be meant is named, before anything runs."""
    done = pipeline.run(env={name: value})
    assert (done.code, "Traceback" in done.err, len(done.err.strip().splitlines())) == (2, False, 1), done.err
    assert value in done.err


@pytest.mark.parametrize("text", ["[tool.nbmlops]\nworkerz = 2\n", "[tool.nbmlops]\nworkers = 'two'\n", "[tool\n"])
def test_wrong_project_file(pipeline: Project, text: str) -> None:
    """A `pyproject.toml` that cannot be read, or that sets what is not known."""
    (pipeline.folder / "pyproject.toml").write_text(text, encoding="utf-8")
    done = pipeline.run()
    assert (done.code, "Traceback" in done.err, len(done.err.strip().splitlines())) == (2, False, 1), done.err
    assert "pyproject.toml" in done.err


def test_store_that_is_a_file(pipeline: Project) -> None:
    """A store that cannot be made is told in one line, exit 1 or 2."""
    (pipeline.folder / "afile").write_text("x", encoding="utf-8")
    done = pipeline.run("--store", "afile")
    assert (done.code in {1, 2}, "Traceback" in done.err) == (True, False), done.err
    assert done.data["error"]["fix"]
    assert "afile" in done.err


UNSTORABLE: list[tuple[str, str]] = [
    ("import threading\nheld = threading.Lock()", "lock"),
    ("held = (i for i in range(3))", "generator"),
    ("held = open('/dev/null')", "file"),
    ("import socket\nheld = {'deep': [socket.socket()]}", "socket"),
    ("import sqlite3\nheld = sqlite3.connect(':memory:')", "Connection"),
]


@pytest.mark.parametrize(("source", "kind"), UNSTORABLE, ids=[item[1] for item in UNSTORABLE])
def test_output_that_cannot_be_stored(project: Project, source: str, kind: str) -> None:
    """Found while running: the stage failed, exit 1; the line names stage, variable, type and remedy."""
    project.write(["%%mlstage a\nx = 1", f"%%mlstage b\n{source}", "%%mlstage c\ny = held"])
    done = project.run("out.ipynb")
    assert (done.code, "Traceback" in done.err) == (1, False), done.err
    assert done.statuses == {"a": "ran", "b": "failed", "c": "not-run"}
    error: dict[str, Any] = done.stage("b")["error"]
    assert error["cell"] == 1
    assert all(part.lower() in error["message"].lower() for part in ("held", kind))
    assert [line for line in done.err.splitlines() if "held" in line and "cell 1" in line and ";" in line]


def test_output_that_was_promised_and_not_bound(project: Project) -> None:
    """A name of `--out` that the stage never binds is refused before anything runs."""
    project.write(["%%mlstage a --out y\nx = 1"])
    refused(project.run(), "nb.ipynb", "'y'", index=0)


def test_output_that_no_line_binds(project: Project) -> None:
    """A name of `--out` that no line of the stage binds: misuse, before anything runs."""
    project.write(["%%mlstage a --out y\nx = 1"])
    done = project.run()
    assert done.code == 2
    assert "NB206" in done.err


def test_unstorable_value_that_nobody_reads(project: Project) -> None:
    """A value that no later cell reads may be anything."""
    project.write(["%%mlstage a\nimport threading\nlock = threading.Lock()\nx = 1", "%%mlstage b\ny = x"])
    assert project.run().code == 0


def test_input_file_that_is_missing(project: Project) -> None:
    """An error of the user's code is shown in one line on stderr, and wholly in the notebook."""
    project.write(["%%mlstage a\ntext = open('none.csv').read()", "print(text)"])
    done = project.run("out.ipynb")
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert done.stage("a")["error"]["type"] == "FileNotFoundError"
    assert "none.csv" in done.err


@pytest.mark.parametrize("verb", ["run", "graph", "check", "status", "why", "stage", "store", "doctor"])
def test_help_has_an_example(project: Project, verb: str) -> None:
    """Every verb's help shows one example."""
    done = project.call(verb, "--help")
    assert (done.code, "example" in done.out.lower()) == (0, True)


def test_bare_command_shows_the_verbs(project: Project) -> None:
    """`nbmlops` alone is misuse, and shows what can be said."""
    done = project.call()
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert "run" in done.out + done.err
