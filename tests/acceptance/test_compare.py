"""`nbmlops compare` and `%mlcompare`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.acceptance.kernel import Kernel

if TYPE_CHECKING:
    from tests.acceptance.project import Project


def test_command(finished: Project) -> None:
    """Text on stdout; one JSON object with `--json`, for a mistake too."""
    first = finished.run().data["run_id"]
    second = finished.run("-p", "C", "2.0").data["run_id"]
    done = finished.call("compare", first, second[:10])
    assert (done.code, done.err) == (0, "")
    assert [" ".join(line.split()) for line in done.out.split("\n\n")[1].splitlines()] == [f"parameter {first[:8]} {second[:8]}", "C 0.5 2.0"]
    data = finished.call("compare", first, "--json", second).data
    assert {name: list(data[name]) for name in ("parameters", "metrics", "stages", "artifacts", "code", "environment")} == {
        "parameters": ["C"],
        "metrics": ["total"],
        "stages": ["train", "evaluate"],
        "artifacts": ["model", "scores"],
        "code": [],
        "environment": [],
    }
    wrong = finished.call("compare", first, "nothing", "--json")
    assert (wrong.code, json.loads(wrong.out)["error"]["code"], wrong.err.count("\n")) == (2, "NB004", 1)
    elsewhere = finished.call("compare", first, second, "--store", "other")
    assert (elsewhere.code, f"the store holds no run '{first}'" in elsewhere.err) == (2, True)


def test_magic(finished: Project) -> None:
    """It shows a card, and returns what `Session.compare` and `nbmlops.compare` return; the kernel's notebook need not be known."""
    first = finished.run().data["run_id"]
    second = finished.run("-p", "C", "2.0").data["run_id"]
    kernel = Kernel(finished)
    try:
        kernel.run("%load_ext nbmlops")
        done = kernel.run(f"found = %mlcompare {first[:8]} {second}")
        assert "parameter  " in done.text
        assert "<th" in done.outputs[0]["data"]["text/html"]
        assert kernel.value("found.parameters.differ") == "{'C': (0.5, 2.0)}"
        again = f"import nbmlops; [nbmlops.compare('{first}', '{second}') == found, nbmlops.open('nb.ipynb').compare('{first}', '{second}') == found]"
        assert kernel.value(again) == "[True, True]"
        assert kernel.run(f"%mlcompare {first} {second};").outputs[-1]["output_type"] == "display_data"
        assert kernel.complete("%mlcompare a b --s") == ["--store"]
        assert "NB004: the store holds no run 'nothing'" in kernel.run(f"%mlcompare {first} nothing").text
        assert f"NB004: the store holds no run '{first}'" in kernel.run(f"%mlcompare {first} {second} --store other").text
    finally:
        kernel.close()
