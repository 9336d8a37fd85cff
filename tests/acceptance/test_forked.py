"""A command that tests fork is what a new process would be."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.project import COMMANDS, PROGRAMS

if TYPE_CHECKING:
    from tests.acceptance.forked import Template
    from tests.acceptance.project import Outcome, Project

PROBE = """
import json, os, signal, sys, tempfile, threading, time
print(json.dumps({
    "words": sys.argv[1:], "name": __name__, "main": sys.modules["__main__"].__dict__ is globals(), "folder": os.getcwd(), "path": sys.path,
    "environment": dict(os.environ), "zone": time.tzname, "read": sys.stdin.read(), "temporary": tempfile.gettempdir(),
    "leads": os.getsid(0) == os.getpid(), "threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd")),
    "signals": {item.name: str(signal.getsignal(item)) for item in signal.valid_signals() if isinstance(item, signal.Signals)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "numpy": "numpy" in sys.modules,
}))
"""
ENDS = {
    "end": "print('it ended')",
    "code": "raise SystemExit(3)",
    "words": "raise SystemExit('too bad')",
    "error": "1 / 0",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "interrupted": "raise KeyboardInterrupt",
    "at the end": "import atexit, threading\natexit.register(print, 'last')\nthreading.Thread(target=print, args=('thread',)).start()",
}


def both(project: Project, template: Template, code: str, **variables: str) -> tuple[Outcome, Outcome]:
    """Run a program as a fork and as a new process."""
    (project.folder / "probe.py").write_text(code, encoding="utf-8")
    words, env = ("probe", "a word"), {"NBMLOPS_X": "é", **variables}
    forked = project.fork(*words, env=env, module="probe", template=template)
    assert forked is not None
    return project.finish(forked), project.finish(project.start(*words, env=env, module="probe"))


@pytest.mark.parametrize("template", [COMMANDS, PROGRAMS], ids=["command", "program"])
def test_fork_is_what_a_new_process_is(project: Project, template: Template) -> None:
    """Words, folder, environment, search path, streams, signals: all the same; a command holds one descriptor more, of its spare process."""
    variables = {"TZ": "Asia/Tokyo", "TMPDIR": str(project.folder), "PYTHONPATH": str(project.folder / "lib")}
    forked, new = (json.loads(done.out) for done in both(project, template, PROBE, **variables))
    spared: dict[str, Any] = {"descriptors": new["descriptors"] + 1} if template is COMMANDS else {"numpy": forked["numpy"]}
    assert forked == new | spared


@pytest.mark.parametrize("name", ENDS)
def test_fork_ends_as_a_new_process_does(project: Project, name: str) -> None:
    """With the same exit code and the same words."""
    forked, new = both(project, COMMANDS, ENDS[name])
    assert (forked.code, forked.out, forked.err.splitlines()[-1:]) == (new.code, new.out, new.err.splitlines()[-1:])
    assert project.left_after(5) == {}


def test_fork_is_found_and_killed(project: Project) -> None:
    """What a fork leaves running is seen, although the system shows the environment of another process for it."""
    code = "import os, time\nif os.fork():\n    os._exit(0)\nos.close(1), os.close(2)\ntime.sleep(305)"
    (project.folder / "probe.py").write_text(code, encoding="utf-8")
    assert project.call(module="probe", template=PROGRAMS).code == 0
    assert len(project.left_after(0)) == 1
    project.kill_left_over()
    assert project.left_after(5) == {}


def test_what_a_fork_has_done_is_done_for_new_processes(finished: Project) -> None:
    """All forks of commands have one hash seed: with others, every key is the same."""
    for seed in ("7", "8"):
        assert finished.run(env={"PYTHONHASHSEED": seed}).ran == []


def test_environment_that_only_a_new_interpreter_reads(project: Project) -> None:
    """Then there is no fork."""
    assert project.fork("--version", env={"PYTHONHASHSEED": "5"}) is None
    assert project.fork("--version", env={"LC_ALL": "C"}) is None
    killed = project.fork("run", "none.ipynb")
    assert killed is not None
    killed.kill()
    assert killed.wait(60) in {-signal.SIGKILL, 2}
    killed.communicate(60)
