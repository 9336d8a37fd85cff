"""What happens around the cells of a kernel: they are noticed, and tag-only stages become stage cells."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nbmlops.runner.randomness import random_states
from nbmlops.session.live.loaded import note_packages, watch_imports
from nbmlops.session.live.process import snapshot

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from nbmlops.runner.watching.observation import Observation
    from nbmlops.session.live.kernel import KernelSession

__all__ = ["Hooks"]

_FROM_TAG = "--from-tag"


class Hooks:
    """The event handlers of one shell, and its session.

    Parameters
    ----------
    shell : InteractiveShell
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.busy = 0
        self._session: KernelSession | None = None
        self._before: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._pending: list[tuple[str, dict[str, Any], str | None, int | None]] = []
        # the last one is the cell that loads the extension
        history = shell.history_manager.input_hist_raw[:-1] if shell.history_manager else []
        self._earlier = [(count, source) for count, source in enumerate(history) if source.strip() and not _is_stage(source)]
        self._process = snapshot()
        watch_imports()
        self.cell_id: str | None = None
        self._asked: tuple[str, str | None] = ("", None)
        self._watched: Observation | None = None
        self._watching = ExitStack()

    @property
    def session(self) -> KernelSession:
        """The session of this kernel, made when it is first needed."""
        if self._session is None:
            from nbmlops.session.live.kernel import KernelSession  # noqa: PLC0415 - loading the extension stays light

            self._session = KernelSession(self.shell, self._earlier, self._process)
            for source, metadata, cell_id, count in self._pending:
                self._session.cell_ran(source, metadata, cell_id, {}, count=count)
            self._session.cell_begins(process=self._process)
            self._pending.clear()
        return self._session

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the cell that runs, where the front end tells it (JupyterLab does, nbclient does not)."""
        return self._metadata

    @property
    def count(self) -> int | None:
        """The number in the prompt of the cell that runs; `execution_count` is the next one's in some versions of IPython."""
        history = self.shell.history_manager
        return len(history.input_hist_raw) - 1 if history is not None else None

    def install(self) -> None:
        """Register the handlers."""
        self.shell.events.register("pre_run_cell", self.before_cell)
        self.shell.events.register("post_run_cell", self.after_cell)
        self.shell.input_transformers_cleanup.append(self.tag_to_magic)
        from nbmlops.magics.completion import install_completion  # noqa: PLC0415 - beside its only use

        install_completion(self.shell, lambda: self.session.known())  # noqa: PLW0108 - the session is made when somebody completes

    def remove(self) -> None:
        """Unregister the handlers."""
        self.shell.events.unregister("pre_run_cell", self.before_cell)
        self.shell.events.unregister("post_run_cell", self.after_cell)
        self.shell.input_transformers_cleanup.remove(self.tag_to_magic)
        from nbmlops.magics.completion import remove_completion  # noqa: PLC0415 - beside its only use

        remove_completion(self.shell)
        if self._session is not None:
            self._session.workers.close()

    def before_cell(self, info: ExecutionInfo) -> None:
        """Note the state of things before a cell; provide what a reused stage has not loaded."""
        if self.busy:
            return
        self._metadata = dict(_parent(self.shell).get("metadata") or {})
        self.cell_id = info.cell_id
        self._before = random_states()
        source = str(info.raw_cell)
        if self._session is not None:
            self._session.cell_begins(source)
        if self._session is not None and not _is_stage(source) and not self._tagged_stage():
            self._provide(source)
            self._watch(self._session, source)

    def after_cell(self, result: ExecutionResult) -> None:
        """Tell the session about a cell that has run; stage cells have told it themselves."""
        watched, self._watched = self._watched, None
        if self.busy == 0:
            self._watching.close()
        source = str(result.info.raw_cell) if result.info is not None else ""
        if self.busy or not source.strip():
            return
        note_packages()
        if _is_stage(source) or self._tagged_stage():
            if self._session is not None:
                self._session.cell_ended(f"[{self.count}]")
        elif self._session is None and source.strip() == "%load_ext nbmlops":
            self._pending.append((source, self._metadata, self.cell_id, self.count))
        elif result.success:
            self.session.cell_ran(source, self._metadata, self.cell_id, self._before, watched, count=self.count)
        else:
            self.session.cell_failed(source, self.cell_id, watched, count=self.count)

    def _watch(self, session: KernelSession, source: str) -> None:
        """Note what the cell reads, for the case that it is setup."""
        from nbmlops.runner.watching.observe import observing  # noqa: PLC0415 - the session is there, so this is too

        self._watching.close()
        tags = tuple((_parent(self.shell).get("metadata") or {}).get("tags") or ())
        if session.may_change_setup(source, tags, self.cell_id):
            session.setup_changes.begin(session)
        self._watched = session.observation()
        watched = self._watched
        session.live.begin(lambda: session.left_behind(source), watched)
        self._watching.enter_context(observing(watched, self.shell.user_ns))

    def tag_to_magic(self, lines: list[str]) -> list[str]:
        """Put the magic line before a cell that is a stage by its tag alone."""
        if self.busy or not lines or _is_stage("".join(lines)):
            return lines
        if "".join(lines).strip() != str((_parent(self.shell).get("content") or {}).get("code", "")).strip():
            return lines  # a completion, or code that the cell runs itself
        name = self._tagged_stage()
        return lines if name is None else [f"%%mlstage {name} {_FROM_TAG}\n", *lines]

    def _tagged_stage(self) -> str | None:
        """Return the stage that the cell belongs to without a magic line, where the front end tells what it knows of the cell."""
        parent = _parent(self.shell)
        metadata = parent.get("metadata") or {}
        tags = tuple(tag for tag in metadata.get("tags") or () if isinstance(tag, str))
        if not tags and not metadata.get("cellId"):
            return None
        request = str((parent.get("header") or {}).get("msg_id") or "")
        if not request or request != self._asked[0]:
            source = str((parent.get("content") or {}).get("code", ""))
            self._asked = (request, self.session.cells.stage_of(source, tags, metadata.get("cellId")))
        return self._asked[1]

    def _provide(self, source: str) -> None:
        """Compute what a cell reads and a reused stage did not keep."""
        missing = self.session.missing_for(source)
        for stage in dict.fromkeys(missing.values()):
            names = ", ".join(repr(name) for name, other in missing.items() if other == stage)
            print(f"{names} of stage {stage} was not kept: the stage runs again")
            self.busy += 1
            try:
                self.session.run_again(stage)
            finally:
                self.busy -= 1


def split_tag_mark(line: str) -> tuple[str, bool]:
    """Return a magic line without the mark that `tag_to_magic` puts there, and whether it stood there."""
    words = line.split()
    return (" ".join(word for word in words if word != _FROM_TAG), True) if _FROM_TAG in words else (line, False)


def _is_stage(source: str) -> bool:
    return source.lstrip().startswith(("%%mlstage", "%%mlexpect"))


def _parent(shell: InteractiveShell) -> dict[str, Any]:
    """Return the request that runs the cell; empty in a terminal."""
    get = getattr(shell, "get_parent", None)
    try:
        return dict(get() or {}) if get is not None else {}
    except LookupError:
        return {}
