"""Faults of the whole command: full disks, floods, many processes, late results, other clocks, secrets."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nbmlops
from nbmlops.errors import StoreError
from nbmlops.tracking.outbox import Outbox
from tests.acceptance.project import PIPELINE, Project, cell, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

EIGHT = 8


def counted(project: Project, body: str) -> str:
    """Return code that leaves a mark each time it runs, by a way that nbmlops does not see: the file is not to be its input."""
    return f"import ctypes\nctypes.CDLL(None).system(b'echo once >> {project.folder.parent / 'log'}')\n{body}"


def test_eight_processes_on_one_notebook(project: Project) -> None:
    """Of eight runs at once, each stage is computed by one; all give the same values."""
    names = ["a", "b", "c"]
    bodies = ["import time\ntime.sleep(1)\na = 1", "b = a + 1", "c = b * 10"]
    cells = [f"%%mlstage {name}\n{counted(project, body)}" for name, body in zip(names, bodies, strict=True)]
    project.write([*cells, "%%mlstage d --metrics m\nm = {'value': c}"])
    words = [("run", "nb.ipynb", f"out{number}.ipynb", "--json", "--workers", "1") for number in range(EIGHT)]
    running = [project.fork(*item) or project.start(*item) for item in words]
    done = [project.finish(process) for process in running]
    assert [item.code for item in done] == [0] * EIGHT, [item.err for item in done]
    assert [item.stage("d")["metrics"] for item in done] == [{"value": 20}] * EIGHT
    for name in names:
        assert sorted(item.statuses[name] for item in done) == ["ran", *["reused"] * (EIGHT - 1)]
    assert (project.folder.parent / "log").read_text() == "once\n" * 3
    assert project.call("store", "verify").code == 0


def test_gc_beside_runs(project: Project) -> None:
    """Collecting again and again while runs go on takes nothing from them, however old it is."""
    project.write(PIPELINE)
    assert project.run().code == 0
    day_ago = time.time() - 86400
    for number in range(3, 7):
        # all that earlier runs have left looks old: only being reachable, or in use, keeps it
        for path in (project.folder / ".nbmlops").rglob("*"):
            os.utime(path, (day_ago, day_ago), follow_symlinks=False)
        words = ("run", "nb.ipynb", "--json", "-p", "n", number, "--workers", "1")
        running = project.fork(*words) or project.start(*words)
        while running.poll() is None:
            assert project.call("store", "gc", env={"NBMLOPS_RETENTION_RUNS": "0", "NBMLOPS_RETENTION_DAYS": "0"}).code == 0
        done = project.finish(running)
        assert done.code == 0, done.err
        assert done.stage("evaluate")["metrics"] == {"total": 0.5 * sum(i * i for i in range(number)) + 1}
        assert project.call("store", "verify").code == 0


def test_late_result_of_an_earlier_run_is_refused(project: Project) -> None:
    """A stage whose command was killed, and which could go on, is not recorded beside the one that took its place."""
    log = project.folder.parent / "log"
    nap = counted(project, "import os, time\ntime.sleep(float(os.environ.get('NAP', '0')))\nx = os.getpid()")
    project.write([f"%%mlstage a\n{nap}", "%%mlstage b --metrics m\nm = {'pid': x}"])
    first = project.start("run", "nb.ipynb", "--json", env={"NAP": "5"})
    end = time.monotonic() + 60
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.05)
    workers = [pid for pid, line in project.processes().items() if "zygote" in line]
    for pid in workers:  # all that could end the stage is held, so that the orphan lives on while the next run computes
        os.kill(pid, signal.SIGSTOP)
    first.kill()
    first.wait()
    second = project.run()
    for pid in workers:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue
    assert second.code == 0, second.err
    assert project.left_after(20) == {}
    project.finish(first)
    third = project.run()
    assert third.statuses == {"a": "reused", "b": "reused"}
    assert third.stage("b")["metrics"] == second.stage("b")["metrics"]
    assert log.read_text() == "once\n" * 2


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Project]:
    """Give a project on a file system of 3 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", folder], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    project = Project(folder / "project")
    yield project
    project.kill_left_over()
    subprocess.run(["umount", "-l", folder], check=True)


def fill(project: Project, leave_bytes: int) -> Path:
    """Fill the project's disk but for some bytes."""
    status = os.statvfs(project.folder)
    filler = project.folder.parent / "filler"
    filler.write_bytes(b"\0" * max(0, status.f_bavail * status.f_frsize - leave_bytes))
    return filler


def test_a_full_disk_at_any_time(tiny: Project) -> None:
    """Whatever no longer fits: a clear error, the earlier notebook and the store as they were; with room again, all is done."""
    tiny.write([cell("n = 1", "parameters"), "%%mlstage a\nx = [n] * 10", "%%mlstage b --metrics m\nm = {'v': sum(x)}\nprint('y' * 3000)"])
    assert tiny.run("out.ipynb").code == 0
    before = (tiny.folder / "out.ipynb").read_bytes()
    for number, room in enumerate([0, 1 << 12, 3 << 12, 5 << 12, 8 << 12, 11 << 12], start=2):
        filler = fill(tiny, room)
        failed = tiny.run("out.ipynb", "-p", "n", number)
        assert "Traceback" not in failed.err, failed.err
        assert failed.code == 1 or room > 1 << 15, failed.err
        assert failed.code == 0 or "NB" in failed.err, failed.err
        written = (tiny.folder / "out.ipynb").read_bytes()
        assert written == before or json.loads(written)["cells"]
        filler.unlink()
        assert tiny.call("store", "verify").code == 0
    done = tiny.run("out.ipynb", "-p", "n", 2)
    assert done.code == 0, done.err
    assert done.stage("b")["metrics"] == {"v": 20}


def test_a_read_only_store(tiny: Project) -> None:
    """What is recorded is served, and an OUTPUT elsewhere written; what would have to be recorded is one clear error before anything runs."""
    tiny.write([cell("n = 1", "parameters"), "%%mlstage a --metrics m\nm = {'n': n}"])
    assert tiny.run().code == 0
    subprocess.run(["mount", "-o", "remount,ro", tiny.folder.parent], check=True)
    output = tiny.folder.parents[1] / "out.ipynb"
    served = tiny.run(output)
    assert (served.code, served.ran, served.stage("a")["metrics"], output.exists()) == (0, [], {"n": 1}, True), served.err
    refused = tiny.run("-p", "n", 2)
    assert refused.code == 1
    assert refused.data["error"]["message"].endswith("Read-only file system")
    assert refused.err.startswith("NB")
    assert refused.err.count("\n") == 1, "nothing has run"


FLOODS = [
    "for i in range(1_000_000):\n    print('line', i)",
    "print('x' * 100_000_000)",
    "import os\nos.system('head -c 100000000 /dev/zero | tr \"\\\\0\" x')",
]


def test_floods_of_output(project: Project) -> None:
    """A million lines, and a line of 100 MB by Python or by a program: fast, kept whole as objects, cut in the notebook."""
    project.write([f"%%mlstage s{number}\n{code}\nx{number} = 1" for number, code in enumerate(FLOODS)])
    begun = time.monotonic()
    done = project.run("out.ipynb", "--workers", "1")
    assert done.code == 0, done.err
    assert time.monotonic() - begun < 120
    path = project.folder / "out.ipynb"
    assert path.stat().st_size < 10_000_000
    objects = project.folder / ".nbmlops" / "objects"
    for number, size in ((0, 11_888_890), (1, 100_000_001), (2, 100_000_000)):
        shown = text_of(json.loads(path.read_text(encoding="utf-8"))["cells"][number]["outputs"][0])
        digest = shown.partition("nbmlops store show ")[2][:64]
        whole = (objects / digest[:2] / digest).read_bytes()
        assert len(whole) == size
        assert number or whole.count(b"\n") == 1_000_000


def test_clock_that_jumps(project: Project) -> None:
    """A day forward or back makes nothing stale and loses nothing."""
    project.write(PIPELINE)
    first = project.run()
    jump = "import datetime as dt, sys, time_machine\ntime_machine.travel(dt.timedelta(days={days})).start()\n"
    jump += "from nbmlops.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    for days in (1, -1):
        (project.folder / "jump.py").write_text(jump.format(days=days))
        again = project.finish(project.start("run", "nb.ipynb", "--json", module="jump"))
        assert again.code == 0, again.err
        assert set(again.statuses.values()) == {"reused"}
        assert again.data["run_id"] == first.data["run_id"]
        new = project.finish(project.start("run", "nb.ipynb", "--json", "-p", "n", 10 + days, module="jump"))
        assert new.statuses["ingest"] == "ran"
        assert project.run("-p", "n", 10 + days).statuses["ingest"] == "reused"


def test_notebook_that_is_edited_while_it_runs(project: Project) -> None:
    """What runs is what was planned; the edit counts from the next run on."""
    cells = ["%%mlstage a\nimport subprocess\np = subprocess.Popen(['sleep', '2']).wait()", "%%mlstage b --metrics m\nm = {'v': 1 + p}"]
    project.write(cells)
    running = project.start("run", "nb.ipynb", "out.ipynb", "--json")
    project.wait_for_process("sleep 2")
    project.write([cells[0], "%%mlstage b --metrics m\nm = {'v': 2 + p}"])
    done = project.finish(running)
    assert done.stage("b")["metrics"] == {"v": 1}
    assert "1 + p" in (project.folder / "out.ipynb").read_text(encoding="utf-8")
    assert project.run().stage("b")["metrics"] == {"v": 2}


def test_canaries_are_nowhere(project: Project) -> None:
    """Secrets in variables, parameters, prints, errors and pieces, of stages that end and that are killed, are in no file and no answer."""
    chance = random.Random(3)
    canaries = [f"canary{chance.randrange(10**12):012d}" for _ in range(10)]
    token = "ghp_" + "".join(chance.choices("abcdefghij0123456789", k=36))
    secrets = {f"S{number}": value for number, value in enumerate(canaries[:5])}
    in_parts = "for part in (os.environ['S4'][:9], os.environ['S4'][9:]):\n    print(part, end='', flush=True)"
    flags = " ".join(f"--secret {name}" for name in secrets)
    project.write(
        [
            "import os, time",
            cell("db_password = 'x'\napi_token = 'x'", "parameters"),
            f"%%mlstage a {flags}\nprint(os.environ['S0'], os.environ['S1'])\n!echo $S2\nraise ValueError(os.environ['S3'])",
            f"%%mlstage b\n{in_parts}\nos.write(2, db_password.encode())\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)",
            "%%mlstage c --metrics m\nn = len(api_token)\nm = {'t': 'Bearer ' + api_token}\nprint({api_token: 1})",
            f"%%mlstage d\nprint('gh' + {token[2:]!r})",
        ]
    )
    given = ("-p", "db_password", canaries[5], "-p", "api_token", canaries[6])
    done = project.run("out.ipynb", *given, env={**secrets, "NBMLOPS_TRACKERS": "wandb", "WANDB_MODE": "offline"})
    assert done.statuses == {"a": "failed", "b": "failed", "c": "ran", "d": "ran"}
    digest = done.stage("c")["outputs"]["m"]["digest"]
    texts = {"out": done.out, "err": done.err}
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    texts |= {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}
    assert len(texts) > 20
    # an artifact is never altered: the one that is made of the secret is what its stage has made
    del texts[str(project.folder / ".nbmlops" / "objects" / digest[:2] / digest)]
    found = [(name, secret) for name, text in texts.items() for secret in [*canaries, token] if secret in text]
    assert found == [], [(name, texts[name][max(0, texts[name].index(secret) - 200) :][:300]) for name, secret in found]


def test_run_that_cannot_go_on_lets_go(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that lives on, such as a kernel, a run that breaks off holds no lock, and its trackers hear that it has ended."""
    monkeypatch.setenv("NBMLOPS_TRACKERS", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    project.write(["%%mlstage a\nx = 1", "%%mlstage b\ny = x"])
    session = nbmlops.open(project.folder / "nb.ipynb")
    attempts = project.folder / ".nbmlops" / "attempts"
    attempts.parent.mkdir()
    attempts.touch()
    with pytest.raises(StoreError, match="stage 'a' cannot be started") as caught:
        session.run()
    assert caught.value.code == "NB601"
    outbox = Outbox(project.folder / ".nbmlops" / "outbox")
    assert [outbox.journal(run_id).finished for run_id in outbox.undelivered()] == [True]
    attempts.unlink()
    assert nbmlops.open(project.folder / "nb.ipynb").run(track=False).status == "done"
