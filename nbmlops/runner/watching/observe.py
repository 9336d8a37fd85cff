"""Watch what code does outside its namespace while it runs, and tell it to an `Observation`.

An audit hook cannot be removed from a process, so there is one, and it is idle unless a stage is being watched.
"""

from __future__ import annotations

import _posixsubprocess
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmlops.runner.environment import EVERY_VARIABLE
from nbmlops.runner.watching.fileevents import FILE_EVENTS, note_event, watching_lookups
from nbmlops.runner.watching.lookups import noticing_lookups
from nbmlops.runner.watching.readers import wrap_loaded_readers, wrap_when_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from nbmlops.runner.watching.observation import Observation

__all__ = ["observing", "unobserved"]

# of the standard library, what hands a look-up of the environment on; the rest looks for itself
_PASSING = frozenset({"_collections_abc", "collections.abc", "configparser", "copy", "getpass", "os", "pathlib", "posixpath", "string"})

_current: Observation | None = None
_start_process = _posixsubprocess.fork_exec
_installed = False


@contextmanager
def observing(observation: Observation, namespace: dict[str, Any]) -> Iterator[Observation]:
    """Watch files, environment and other processes while the body runs."""
    global _current  # noqa: PLW0603 - an audit hook has no other way to know whether it is wanted
    _install()
    wrap_loaded_readers(_opened_natively)
    plain: Any = os.environ.__class__
    os.environ.__class__ = os.environb.__class__ = _WatchedEnviron
    observation.works_in(namespace)
    _current = observation

    def own(frame: FrameType) -> bool:
        return not observation.active and observation.is_own(frame)

    try:
        with watching_lookups(observation), noticing_lookups(own, observation.looked_for, lambda spec: wrap_when_loaded(spec, _opened_natively)):
            yield observation
    finally:
        _current = None
        os.environ.__class__ = os.environb.__class__ = plain


@contextmanager
def unobserved() -> Iterator[None]:
    """Do something of our own while a stage runs: neither it nor a child that it forks is what the stage's code did."""
    observation = _current
    if observation is None:
        yield
        return
    before, observation.active = observation.active, True
    try:
        yield
    finally:
        observation.active = before


def _install() -> None:
    global _installed  # noqa: PLW0603 - a process has one audit hook of ours
    if not _installed:
        _installed = True
        sys.addaudithook(_audit)
        _posixsubprocess.fork_exec = _fork_exec


def _opened_natively(path: str, mode: str) -> None:
    _audit("open", (path, mode, 0))


def _fork_exec(args: Any, *others: Any, **named: Any) -> Any:  # noqa: ANN401 - what `_posixsubprocess.fork_exec` takes
    """Start a process, and tell of it: `multiprocessing` and joblib start their workers without an audit event."""
    if _current is not None and not _current.active:
        _current.started(args)
    return _start_process(args, *others, **named)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    observation = _current
    # asking for the frame is an event too
    if observation is None or observation.active:
        return
    if event in {"subprocess.Popen", "os.system"}:
        observation.started(*((args[1], args[2]) if event == "subprocess.Popen" else args))
    elif event in FILE_EVENTS:
        note_event(observation, event, args, sys._getframe(1))  # noqa: SLF001 - who lists is told by the stack alone


class _WatchedEnviron(os._Environ):  # type: ignore[type-arg]  # noqa: SLF001 - the class of `os.environ` has no public name
    """`os.environ` that notes which variables the notebook's own code looks up."""

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - of `os.environb` it is bytes
        _note_lookup(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        _note_lookup(key)
        return super().__contains__(key)

    def __iter__(self) -> Iterator[Any]:
        _note_lookup(EVERY_VARIABLE)
        return super().__iter__()

    def __len__(self) -> int:
        _note_lookup(EVERY_VARIABLE)
        return super().__len__()

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401
        _note_variable(os.fsdecode(key))
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:  # noqa: ANN401
        _note_variable(os.fsdecode(key))
        super().__delitem__(key)


def _note_lookup(key: object) -> None:
    if _current is not None and not _current.active and isinstance(key, (str, bytes)) and _called_from(_current, skip=3):
        _current.environment_read(os.fsdecode(key))


def _note_variable(key: str) -> None:
    observation = _current
    if observation is not None and not observation.in_setup and not observation.active:
        observation.active = True  # looking at what it was is no reading
        try:
            observation.environment_set(key, sys._getframe(2), direct=_called_from(observation, skip=3))  # noqa: SLF001 - who sets is told by the stack alone
        finally:
            observation.active = False


def _called_from(observation: Observation, depth: int = 4, skip: int = 2) -> bool:
    """Tell whether the notebook's code is among the nearest callers: libraries read dozens of variables of their own."""
    frame: FrameType | None = sys._getframe(skip)  # noqa: SLF001 - `inspect` takes milliseconds for what this tells at once
    for _ in range(depth):
        if frame is None:
            return False
        if observation.is_own(frame):
            return True
        if frame.f_globals.get("__name__") not in _PASSING:
            return False
        frame = frame.f_back
    return False
