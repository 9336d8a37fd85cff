"""Run code that awaits while the kernel's own event loop is running."""

from __future__ import annotations

import asyncio
from asyncio import events, tasks
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["own_loop"]


@contextmanager
def own_loop(shell: InteractiveShell) -> Iterator[None]:
    """Let cells that await run in an event loop of their own, as in a stage's process.

    A stage cell runs inside the cell that the kernel's loop executes: `run_until_complete` refuses that.
    """
    runner = shell.loop_runner
    shell.loop_runner = _run
    try:
        yield
    finally:
        shell.loop_runner = runner


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the coroutine gives
    outer = events._get_running_loop()  # noqa: SLF001 - the public one raises where there is none
    task = asyncio.current_task() if outer is not None else None
    if outer is not None and task is not None:
        tasks._leave_task(outer, task)  # noqa: SLF001 - newer versions refuse a task within a task
    events._set_running_loop(None)  # noqa: SLF001 - there is no public way to run a loop inside another
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as own:
            return own.run(coroutine)
    finally:
        events._set_running_loop(outer)  # noqa: SLF001
        if outer is not None and task is not None:
            tasks._enter_task(outer, task)  # noqa: SLF001
