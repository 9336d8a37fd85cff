"""The IPython shell that a stage's cells run in, feeding a recorder instead of a front end."""

from __future__ import annotations

import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets import Type
from traitlets.config import Config

from nbmlops.runner.randomness import loaded_numpy_random, random_states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from nbmlops.runner.namespace import Namespace
    from nbmlops.runner.outputs import OutputRecorder

__all__ = ["ComingSeed", "StageShell", "make_shell", "run_cell", "seed_random", "seed_when_imported", "untouched_since"]

_SEED_LIMIT = 2**32


class _Compiler(CachingCompiler):
    """Name code after its cell, the same in every process, so that tracebacks and pickles say where it stands."""

    cell_name = "setup"

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:  # noqa: ARG002 - IPython's signature
        """Return the file name that tracebacks show."""
        return f"<{self.cell_name}>"

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        """Return how a traceback names the code: "cell 7 (train)"."""
        return ("Cell", name.strip("<>").removeprefix("cell ")) if name.startswith("<cell") else super().format_code_name(name)


class _DisplayHook(DisplayHook):
    """Hand the value of a cell's last expression to the recorder."""

    shell: StageShell

    def write_output_prompt(self) -> None:
        """Write none: a notebook has its own."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        """Record the value's representations."""
        self.shell.recorder.result(self.shell.execution_count, format_dict, md_dict)


class _DisplayPublisher(DisplayPublisher):
    """Hand display data to the recorder."""

    shell: StageShell

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: str | None = None,  # noqa: ARG002
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> None:
        """Record display data, or replace what has the same display id."""
        recorder = self.shell.recorder
        (recorder.update if update else recorder.display)(data, metadata, transient)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's signature
        """Drop what the cell has shown."""
        self.shell.recorder.clear(wait=wait)


class StageShell(InteractiveShell):
    """An InteractiveShell whose outputs go to `recorder`.

    It is the process's shell (`get_ipython()`), so magics, ``!cmd`` and ``display`` work as in a kernel.
    """

    recorder: OutputRecorder
    compile: _Compiler
    is_stage_process = True
    compiler_class = Type(_Compiler)
    displayhook_class = Type(_DisplayHook)
    display_pub_class = Type(_DisplayPublisher)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        self.recorder.error(etype.__name__, str(evalue), list(stb))

    def enable_gui(self, gui: str | None = None) -> None:
        """Enable none: ``%matplotlib inline`` needs no event loop, and a stage has no screen."""

    def ask_exit(self) -> None:
        """End the stage as ``sys.exit(0)`` would: `exit` and `quit` come here."""
        raise SystemExit(0)


def make_shell(namespace: Namespace, recorder: OutputRecorder) -> StageShell:
    """Return the process's shell, made once: it costs 50 ms, so a server makes it before it forks.

    Parameters
    ----------
    namespace : Namespace
        Becomes the globals of the code that the shell runs.
    recorder : OutputRecorder
    """
    config = Config()
    config.HistoryManager.enabled = False
    namespace.setdefault("__name__", "__main__")
    shell = StageShell.instance(user_ns=namespace, config=config)
    shell.recorder = recorder
    if shell.history_manager is not None:
        shell.history_manager.enabled = False
    return shell


def run_cell(shell: StageShell, source: str, name: str, *, keep_history: bool) -> BaseException | None:
    """Run one cell and return what it raised, or None.

    Parameters
    ----------
    shell : StageShell
    source : str
    name : str
        How tracebacks call the cell.
    keep_history : bool
        Whether ``_`` and ``Out`` get its value.
    """
    shell.compile.cell_name = name
    result: ExecutionResult = shell.run_cell(source, store_history=keep_history, silent=False)  # type: ignore[no-untyped-call]
    return result.error_before_exec or result.error_in_exec


def seed_random(seed: int, *, only: frozenset[str] = frozenset({"random", "numpy"})) -> None:
    """Seed the global random state of `random`, and of numpy if it is loaded."""
    if "random" in only:
        random.seed(seed)
    numpy_random = loaded_numpy_random()
    if numpy_random is not None and "numpy" in only:
        numpy_random.seed(seed % _SEED_LIMIT)


def untouched_since(seed: int) -> frozenset[str]:
    """Return which global random states are still as `seed_random(seed)` left them."""
    found = {"random"} if random.getstate() == random.Random(seed).getstate() else set()  # noqa: S311 - what the user draws from
    numpy_random = loaded_numpy_random()
    if numpy_random is not None:
        now, fresh = numpy_random.get_state(), numpy_random.RandomState(seed % _SEED_LIMIT).get_state()
        if now[2:] == fresh[2:] and (now[1] == fresh[1]).all():
            found.add("numpy")
    return frozenset(found)


@dataclass(slots=True)
class ComingSeed:
    """What numpy's global random state is seeded with once it is there, and where the state that it has then is noted."""

    seed: int
    states: dict[str, Any] = field(default_factory=dict)


@contextmanager
def seed_when_imported(seed: int) -> Iterator[ComingSeed]:
    """Seed numpy's global random state if numpy is imported while the body runs: it would be seeded from entropy."""
    coming = ComingSeed(seed)
    finder = _SeedingFinder(coming)
    if "numpy.random" in sys.modules:
        yield coming
        return
    sys.meta_path.insert(0, finder)
    try:
        yield coming
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class _SeedingFinder(MetaPathFinder):
    def __init__(self, coming: ComingSeed) -> None:
        self._coming = coming

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ANN401
        if fullname != "numpy.random":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None and spec.loader is not None:
                spec.loader = _SeedingLoader(spec.loader, self._coming)
                return spec
        return None


class _SeedingLoader(Loader):
    def __init__(self, loader: Any, coming: ComingSeed) -> None:  # noqa: ANN401
        self._loader = loader
        self._coming = coming

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.seed(self._coming.seed % _SEED_LIMIT)
        self._coming.states.setdefault("numpy", random_states()["numpy"])
