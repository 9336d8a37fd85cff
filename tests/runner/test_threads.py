"""Threads of the user's code that still run when a stage ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.runner.leaving.threads import busy_threads

if TYPE_CHECKING:
    from tests.runner.bench import Bench

_CHANGING = """%%mlstage a
import threading
import numpy as np
x = np.zeros(1_000_000)
def fill():
    while True:
        x[:] += 1
threading.Thread(target=fill, daemon=True).start()
while x[-1] < 2:
    pass
"""
_WAITING = """%%mlstage a
import threading
x = [1]
def wait():
    threading.Event().wait()
threading.Thread(target=wait, daemon=True).start()
"""


def test_value_that_changes_while_it_is_stored_is_refused(bench: Bench) -> None:
    """Half of it would be old and half new, under a digest that is that of neither; nothing of it stays in the store as if it were sound."""
    done = bench.outcome(_CHANGING, wants=("x",))
    assert (done.status, done.error.code if done.error else None) == ("failed", "NB671")
    assert "fill()" in (done.error.message if done.error else "")
    objects = [path for path in (bench.folder / ".nbmlops/objects").rglob("*") if path.is_file()]
    assert all(bench.store.objects.sound(path.name) for path in objects)


def test_thread_that_waits_is_told(bench: Bench) -> None:
    """Its values are stored as they are, and what it would do after the stage is a warning."""
    done = bench.outcome(_WAITING, wants=("x",))
    assert (done.status, done.effects.left_behind) == ("ran", (("thread", "wait", "0"),))


def test_threads_of_libraries_are_none_of_the_users() -> None:
    """Workers that wait for work in a library's code change nothing of the user's."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert busy_threads([Path("/nowhere")]) == ()
    end.set()
    thread.join()


def test_a_thread_is_named_by_what_it_called_first(tmp_path: Path) -> None:
    """The function that was given to it, not the one that it stands in."""
    ready, end = threading.Event(), threading.Event()
    space: dict[str, object] = {"ready": ready, "end": end}
    exec(compile("def outer(): inner()\ndef inner():\n    ready.set()\n    end.wait()\n", str(tmp_path / "own.py"), "exec"), space)
    thread = threading.Thread(target=space["outer"])  # type: ignore[arg-type]
    thread.start()
    ready.wait()
    assert busy_threads([tmp_path]) == ("outer",)
    end.set()
    thread.join()
