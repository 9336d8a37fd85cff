"""Stages that raise, die, hang, are refused or skipped."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.project import Project, cell

DEATHS = [
    ("os.kill(os.getpid(), signal.SIGKILL)", {"signal": "SIGKILL"}),
    ("os.kill(os.getpid(), signal.SIGSEGV)", {"signal": "SIGSEGV"}),
    ("os.abort()", {"signal": "SIGABRT"}),
    ("os._exit(0)", {"exit_code": 0}),
    ("os._exit(7)", {"exit_code": 7}),
    ("sys.exit(3)", {"exit_code": 3}),
    ("raise SystemExit(0)", {"exit_code": 0}),
    ("sys.exit('sorry')", {"exit_code": 1}),
]


@pytest.mark.parametrize(("code", "expected"), DEATHS, ids=[item[0] for item in DEATHS])
def test_stage_that_dies_has_failed(project: Project, code: str, expected: dict[str, object]) -> None:
    """Whatever the exit code, a stage that ends without a result has failed; the true code or signal is told."""
    project.write(["import os, signal, sys", "%%mlstage a\nx = 1", f"%%mlstage b\ny = x\n{code}", "%%mlstage c\nz = y", "%%mlstage d\nw = 2"])
    done = project.run()
    assert (done.code, done.data["status"]) == (1, "failed")
    assert done.statuses == {"a": "ran", "b": "failed", "c": "not-run", "d": "ran"}
    error = done.stage("b")["error"]
    assert {key: error[key] for key in expected} == expected
    assert error["cell"] == 2
    assert "Traceback" not in done.err


def test_stage_that_dies_leaves_no_temporary_file(project: Project) -> None:
    """What its forked children had told goes with the attempt."""
    temporary = project.folder.parent / "tmp"
    temporary.mkdir()
    forks = "import os\nif not os.fork():\n    open('nb.ipynb').close()\n    os._exit(0)\nos.wait()"
    project.write([f"%%mlstage a\n{forks}\nos.kill(os.getpid(), 9)"])
    done = project.run(env={"TMPDIR": str(temporary)})
    assert done.statuses == {"a": "failed"}
    assert list(temporary.iterdir()) == []


def test_failed_run_goes_on_where_it_failed(project: Project) -> None:
    """Finished stages of a failed run are kept, and the failed one is tried again."""
    cells = ["%%mlstage a\nx = 1", "%%mlstage b\ny = x / 0", "%%mlstage c\nz = y"]
    project.write(cells)
    assert project.run().code == 1
    again = project.run()
    assert (again.code, again.statuses) == (1, {"a": "reused", "b": "failed", "c": "not-run"})
    cells[1] = "%%mlstage b\ny = x / 1"
    project.write(cells)
    assert project.run().statuses == {"a": "reused", "b": "ran", "c": "ran"}


def test_retries(project: Project) -> None:
    """`--retries 2` tries three times; the third attempt counts."""
    count = project.folder.parent / "count"
    source = f"with open({str(count)!r}, 'a+') as f:\n    f.write('x')\n    f.seek(0)\n    tries = len(f.read())\n"
    source += "if tries < 3:\n    raise OSError('not yet')"
    project.write([f"%%mlstage a --retries 2\n{source}", "%%mlstage b\ny = tries"])
    done = project.run()
    assert done.code == 0, done.err
    assert (count.read_text(), done.statuses) == ("xxx", {"a": "ran", "b": "ran"})


def test_retries_run_out(project: Project) -> None:
    """After the last attempt the stage has failed with the last error."""
    project.write(["%%mlstage a --retries 1\nraise OSError('never')"])
    done = project.run()
    assert (done.code, done.stage("a")["status"], done.stage("a")["error"]["message"]) == (1, "failed", "never")


def test_timeout(project: Project) -> None:
    """A stage beyond its `--timeout` is ended with all that it started: timed-out, exit 1."""
    project.write(
        [
            "import subprocess, time",
            "%%mlstage a --timeout 1\nsubprocess.Popen(['sleep', '301'])\nx = 1\ntime.sleep(100)",
            "%%mlstage b\ny = x",
            "%%mlstage c\nz = 1",
        ]
    )
    start = time.monotonic()
    done = project.run()
    assert time.monotonic() - start < 60
    assert (done.code, done.data["status"]) == (1, "failed")
    assert done.statuses == {"a": "timed-out", "b": "not-run", "c": "ran"}
    assert project.left_after(5) == {}


def test_timeout_of_code_that_catches_everything(project: Project) -> None:
    """A stage cannot refuse to be ended."""
    hold = "while True:\n    try:\n        time.sleep(100)\n    except BaseException:\n        pass"
    project.write(["import signal, time", f"%%mlstage a --timeout 1s\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{hold}"])
    done = project.run()
    assert (done.code, done.statuses) == (1, {"a": "timed-out"})


def test_background_children_end_with_the_stage(project: Project) -> None:
    """What a stage leaves running ends with it, and does not hold the run up."""
    project.write(["import subprocess", "%%mlstage a\np = subprocess.Popen(['sleep', '302']).pid > 0"])
    start = time.monotonic()
    done = project.run()
    assert done.code == 0, done.err
    assert time.monotonic() - start < 60
    assert project.left_after(5) == {}


def test_require_refuses(project: Project) -> None:
    """A gate that does not hold: exit 3, refused, its outputs offered to nobody, independent stages run."""
    project.write(
        [
            "%%mlstage a --metrics m --require 'auc >= 0.7' --require 'auc <= 1'\nm = {'auc': 0.6}\nmodel = 1",
            "%%mlstage b\ny = model",
            "%%mlstage c\nz = 1",
        ]
    )
    for _ in range(2):
        done = project.run()
        assert (done.code, done.data["status"]) == (3, "refused")
        assert done.statuses["a"] == "refused"
        assert done.statuses["b"] == "not-run"
    gates = [(item["value"], item["threshold"], item["passed"]) for item in done.stage("a")["gates"]]
    assert gates == [(0.6, 0.7, False), (0.6, 1, True)]


def test_gate_that_holds_is_evidence(project: Project) -> None:
    """A gate that holds is in the answer, of the reused stage too."""
    project.write(["%%mlstage a --metrics m --require 'auc >= 0.7'\nm = {'auc': 0.9}"])
    for _ in range(2):
        done = project.run()
        assert done.code == 0, done.err
        assert [item["passed"] for item in done.stage("a")["gates"]] == [True]


def test_changed_gate_judges_again(project: Project) -> None:
    """A stricter gate refuses what is recorded already."""
    project.write(["%%mlstage a --metrics m --require 'auc >= 0.7'\nm = {'auc': 0.9}"])
    assert project.run().code == 0
    project.write(["%%mlstage a --metrics m --require 'auc >= 0.95'\nm = {'auc': 0.9}"])
    assert project.run().code == 3


def test_nan_metric_refuses(project: Project) -> None:
    """NaN satisfies no gate, and the answer is still JSON."""
    project.write(["%%mlstage a --metrics m --require 'auc >= 0.7'\nm = {'auc': float('nan')}"])
    done = project.run()
    assert done.code == 3
    assert done.stage("a")["metrics"] == {"auc": "NaN"}


def test_false_condition_skips_it_and_what_is_below(project: Project) -> None:
    """Below a false `--if` everything is skipped, and the run is done."""
    project.write(
        [
            cell("big = 1", "parameters"),
            "%%mlstage a\nx = 1",
            "%%mlstage b --if 'big > 10'\ny = x",
            "%%mlstage c\nz = y",
            "%%mlstage d\nw = x",
        ]
    )
    done = project.run()
    assert (done.code, done.data["status"]) == (0, "done")
    assert done.statuses == {"a": "ran", "b": "skipped", "c": "skipped", "d": "ran"}
    assert project.run("-p", "big", "11").statuses == {"a": "reused", "b": "ran", "c": "ran", "d": "reused"}


def test_fail_fast_stops_independent_stages(project: Project) -> None:
    """With `--fail-fast` nothing new starts after a failure."""
    project.write(["%%mlstage a\nraise ValueError('no')", "%%mlstage b\nx = 1", "%%mlstage c\ny = x"])
    done = project.run("--fail-fast", "--workers", "1")
    assert done.code == 1
    assert done.statuses["a"] == "failed"
    assert done.statuses["c"] in {"not-run", "cancelled"}


def test_output_larger_than_the_limit_is_cut(project: Project) -> None:
    """A stage that prints without end leaves a notebook of a sane size and finishes."""
    project.write(["%%mlstage a\nfor i in range(50_000):\n    print('line', i, '.' * 200)\nx = 1", "print(x)"])
    done = project.run("out.ipynb")
    assert done.code == 0, done.err
    assert (project.folder / "out.ipynb").stat().st_size < 5_000_000


def test_secret_is_redacted(project: Project) -> None:
    """The value of a `--secret` variable is in no output, answer or record."""
    project.write(["import os", "%%mlstage a --secret TOKEN\nprint('token is', os.environ['TOKEN'])\nraise ValueError(os.environ['TOKEN'])"])
    done = project.run("out.ipynb", env={"TOKEN": "s3cr3t-v4lue-1234"})
    assert done.code == 1
    texts = [done.out, done.err, (project.folder / "out.ipynb").read_text(encoding="utf-8")]
    texts += [path.read_text(encoding="utf-8", errors="replace") for path in (project.folder / ".nbmlops").rglob("*") if path.is_file()]
    assert not [text for text in texts if "s3cr3t-v4lue-1234" in text]


def test_a_secret_in_what_a_stage_logs_is_redacted(project: Project) -> None:
    """Names of metrics, evidence and its report, in records and answers; the run's record has them as its events have."""
    found = "{'name': secret, 'judge': 't', 'value': api_token, 'passed': True, 'report': book.add_report(secret.encode())}"
    logged = f"book = open_logbook()\nbook.add_evidence({found})\nbook.log('by step ' + secret, 1, 0)\nscores = {{'auc ' + api_token: 1}}"
    project.write(
        [
            cell("api_token = 'tok-default-12345'", "parameters"),
            "import os\nfrom nbmlops.runner.logged import open_logbook",
            f"%%mlstage a --secret TOKEN --metrics scores\nsecret = os.environ['TOKEN']\n{logged}",
        ]
    )
    done = project.run("out.ipynb", env={"TOKEN": "s3cr3t-v4lue-1234"})
    assert done.code == 0, done.err
    texts = [done.out, done.err, *(path.read_text(encoding="utf-8", errors="replace") for path in project.folder.rglob("*") if path.is_file())]
    assert not [text for text in texts if "s3cr3t-v4lue-1234" in text]
    record = project.folder / ".nbmlops" / "runs" / f"{done.data['run_id']}.json"
    assert "tok-default-12345" not in record.read_text(encoding="utf-8")


def test_memory_limit_is_enforced(project: Project) -> None:
    """A stage that wants more than its `--memory` fails with MemoryError; the others go on."""
    project.write(["%%mlstage a --memory 2GiB\nx = bytearray(4 << 30)", "%%mlstage b\ny = 1"])
    done = project.run()
    assert (done.code, done.statuses) == (1, {"a": "failed", "b": "ran"})
    assert done.stage("a")["error"]["type"] == "MemoryError"
