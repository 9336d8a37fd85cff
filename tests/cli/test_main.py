"""The entry point: verbs, help, and errors as one line."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

import nbmlops
from nbmlops.cli.main import VERBS, main

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_verb_the_overview_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Misuse is exit 2, and the overview names every verb."""
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert main(["--version"]) == 0
    assert nbmlops.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_s_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help is exit 0 and ends with a command to try."""
    assert main([verb, "--help"]) == 0
    assert f"example: nbmlops {verb}" in capsys.readouterr().out


def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the pen is one line and exit 2."""
    assert main(["rnu"]) == 2
    assert capsys.readouterr().err == "NB002: there is no verb 'rnu'; did you mean 'run'?\n"


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse's usage block is not printed."""
    assert main(["run", "x.ipynb", "--colour"]) == 2
    shown = capsys.readouterr().err
    assert "--colour" in shown
    assert shown.count("\n") == 1


def test_a_misspelt_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """As a misspelt verb does."""
    assert main(["run", "nb.ipynb", "--wrkers=3"]) == 2
    assert capsys.readouterr().err == "NB004: nbmlops run: unrecognized arguments: --wrkers=3; did you mean --workers?\n"


def test_a_notebook_with_several_errors_says_how_many_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is told, and the command that lists all."""
    path = tmp_path / "nb.py"
    path.write_text("# %%\n%%mlstage a --sed 1\nx = 1\n# %%\n%%mlstage b\ny = z\n# %%\n%%mlstage b\nw = 1\n", encoding="utf-8")
    assert main(["run", str(path)]) == 2
    first, more = capsys.readouterr().err.splitlines()
    assert first.endswith("cell 0: %%mlstage has the unknown option 'sed'; did you mean --seed?")
    assert more == f"2 more errors: nbmlops check {path}"


def test_with_json_an_error_is_one_object_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts find the error where they look for the result."""
    assert main(["run", str(tmp_path / "none.ipynb"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "NB101"
    assert error["fix"]


@pytest.mark.parametrize("beside", ["", "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"], ids=["alone", "a thread"])
def test_an_interrupt_in_code_from_a_text_is_exit_130(tmp_path: Path, beside: str) -> None:
    """`python -m` would end itself by SIGINT, although that was caught, and a script that looks for 130 would not know."""
    (tmp_path / "stop.py").write_text(
        "import sys\nfrom nbmlops.cli import main, store\n"
        f"{beside}\ndef stop(options):\n    exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)')\n"
        "store.run = stop\nsys.argv[1:] = ['store', 'ls', '--json']\nsys.exit(main.main())\n"
    )
    done = subprocess.run([sys.executable, "-m", "stop"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (130, "NB010"), done.stderr


@pytest.mark.parametrize(
    "raising",
    ["try:\n    raise KeyboardInterrupt\nfinally:\n    os.close(-1)", "class Made:\n    item = Named()"],
    ids=["a clean-up that fails", "the making of a class"],
)
def test_an_interrupt_that_became_another_error_is_one(raising: str) -> None:
    """Exit code 130, and one JSON object, whatever hid the interrupt on its way."""
    code = (
        "import os, sys\nimport nbmlops.cli.main as main\n"
        "class Named:\n    def __set_name__(self, owner, name):\n        raise KeyboardInterrupt\n"
        f"def dispatch(words):\n{textwrap.indent(raising, '    ')}\n"
        "main._dispatch = dispatch\nsys.argv = ['nbmlops', 'run', '--json']\nmain.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "NB010"
