"""The IPython shell that a stage's cells run in, feeding a recorder instead of a front end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets import Type
from traitlets.config import Config

from nbmlops.runner.memory import lift_memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.runner.namespace import Namespace
    from nbmlops.runner.outputs import OutputRecorder

__all__ = ["StageShell", "make_shell", "run_cell"]


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

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - IPython's signature
        """Show the error that ends the stage, with room to do so."""
        lift_memory_limit()
        super().showtraceback(*args, **kwargs)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        self.recorder.error(etype.__name__, str(evalue), list(stb))

    def transform_cell(self, raw_cell: str) -> str:
        """Translate IPython's syntax. Whether a word is a magic without its sign is looked up in the namespace, which is no reading of the code's."""
        with self.user_ns.unwatched():
            transformed: str = super().transform_cell(raw_cell)  # type: ignore[no-untyped-call]
        return transformed

    def should_run_async(self, raw_cell: str, *, transformed_cell: str | None = None, preprocessing_exc_tuple: Any = None) -> bool:  # noqa: ANN401 - IPython's signature
        """Tell whether a cell awaits: only one that names it is compiled to find out."""
        if transformed_cell is not None and "async" not in transformed_cell and "await" not in transformed_cell:
            return False
        asked = super().should_run_async(raw_cell, transformed_cell=transformed_cell, preprocessing_exc_tuple=preprocessing_exc_tuple)
        return bool(asked)

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:  # noqa: ARG002 - IPython's signature
        """Keep nothing of the streams beside the recorder: IPython's history would hold each of a million lines in memory."""
        yield

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
