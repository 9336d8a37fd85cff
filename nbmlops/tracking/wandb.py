"""Weights & Biases: one W&B run for each run of a pipeline, offline where there is no key."""

from __future__ import annotations

import hashlib
import logging
import math
import netrc
import os
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbmlops.errors import MissingDependency, NbmlopsError, TrackerUnavailable
from nbmlops.executors.events import Event, RunFinished, RunStarted
from nbmlops.store.replacing import make_folder
from nbmlops.tracking.offline_run import is_whole
from nbmlops.tracking.pages import name_of_run, numbers, series, stages, text_of, texts
from nbmlops.tracking.sweep_page import SweepPart, run_finished, sweep_part, trial_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import wandb

__all__ = ["WandbTracker", "wandb_id"]

_INIT_TIMEOUT_S = 20.0
_FLUSH_TIMEOUT_S = 5.0
_COLUMNS = ["stage", "status", "seconds", "reason", "key"]


class WandbTracker:
    """Sends a run to W&B, whole, once it has ended.

    The files are in ``.nbmlops/wandb`` at the project root. Without a key (``WANDB_API_KEY``, or W&B's entry in the netrc
    file) the run is written there for ``wandb sync``. ``WANDB_MODE`` wins over both.

    Parameters
    ----------
    project_root : Path
    """

    def __init__(self, project_root: Path) -> None:
        self.folder = project_root.absolute() / ".nbmlops" / "wandb"
        self._module: Any = None

    def deliver(self, history: Sequence[Event], *, new: int, reference: Mapping[str, str]) -> dict[str, str] | None:
        """Send the run if it has ended; see `nbmlops.tracking.base.Tracker.deliver`."""
        del new, reference  # a whole run is sent at once, under an id that follows from ours
        started, finished = history[0], run_finished(history)
        if not isinstance(started, RunStarted):
            return None
        mode, part = _mode(), sweep_part(started)
        if part is not None and part.role == "sweep":
            # The group of its trials shows a sweep: a run of its own would be one more among them.
            return {"run_id": part.group, "experiment": _project(started.experiment), "mode": mode, "group": part.group}
        if finished is None:
            return None
        found = {"run_id": wandb_id(started.run_id), "experiment": _project(started.experiment), "mode": mode}
        if mode == "disabled":
            return found
        try:
            if mode == "offline":
                found["path"] = str(self._write_offline(started, finished, history))
            else:
                self._send(started, finished, history, mode, self.folder)
        except NbmlopsError:
            raise
        except Exception as error:
            line = " ".join(str(error).split())[:300]
            raise TrackerUnavailable(
                f"W&B cannot be used now: {line or type(error).__name__}",
                code="NB902",
                fix="the run stays in the outbox; `nbmlops track sync` sends it",
            ) from error
        return found

    def close(self) -> None:
        """End W&B's own process."""
        if self._module is not None:
            self._module.teardown()
            self._module = None

    def _write_offline(self, started: RunStarted, finished: RunFinished, history: Sequence[Event]) -> Path:
        # Offline W&B makes a new folder at each attempt: ours gets its place, the same each time, only when it is whole.
        stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime(started.time_s))
        target = self.folder / "wandb" / f"offline-run-{stamp}-{wandb_id(started.run_id)}"
        if target.exists():
            return target
        attempt = self.folder / "unfinished" / wandb_id(started.run_id)
        shutil.rmtree(attempt, ignore_errors=True)
        written = self._send(started, finished, history, "offline", attempt)
        self._await_end(next(written.glob("run-*.wandb")))
        make_folder(target.parent)
        written.rename(target)
        shutil.rmtree(attempt, ignore_errors=True)
        return target

    def _await_end(self, path: Path) -> None:
        # `finish()` has been seen to return before the last block was in the file.
        deadline_s = time.monotonic() + _FLUSH_TIMEOUT_S
        while not is_whole(path):
            if time.monotonic() > deadline_s:
                raise TrackerUnavailable("W&B has not written the end of the run", code="NB902", fix="run `nbmlops track sync`")
            time.sleep(0.05)

    def _send(self, started: RunStarted, finished: RunFinished, history: Sequence[Event], mode: str, folder: Path) -> Path:
        self.folder.parent.mkdir(mode=0o700, exist_ok=True)
        make_folder(folder)
        module = self._import()
        part = sweep_part(started)
        run: wandb.Run = module.init(
            project=_project(started.experiment),
            id=wandb_id(started.run_id),
            name=_name(started, part),
            group=part.group if part is not None and part.role != "best" else None,  # a group is a sweep's trials, each once
            job_type=part.role if part is not None else None,
            config=_config(started, part),
            tags=_tags(started, finished),
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=_settings(module, mode, folder, started),
        )
        # A second sending of the same step is ignored by the server, so each is there once.
        steps = _steps(history)
        for step, values in steps:
            run.log(values, step=step)
        if part is None or part.role != "trial":
            run.log({"stages": module.Table(columns=_COLUMNS, data=_rows(history))}, step=steps[-1][0] if steps else 0)
        run.summary.update(_summary(finished, history) if part is None or part.role != "trial" else _trial_summary(finished, history))
        run.finish(exit_code=0 if finished.status in {"done", "pruned"} else 1)
        return Path(run.dir).parent

    def _import(self) -> Any:  # noqa: ANN401 - the module
        if self._module is None:
            # What a table's artifact is made of stays beside the run, which `wandb sync` needs it for.
            os.environ.setdefault("WANDB_DATA_DIR", str(self.folder / "data"))
            os.environ.setdefault("WANDB_CACHE_DIR", str(self.folder / "cache"))
            try:
                import wandb  # a second
            except ModuleNotFoundError as error:
                raise MissingDependency("wandb", "", "tracking in Weights & Biases") from error
            logging.getLogger("wandb").setLevel(logging.ERROR)
            self._module = wandb
        return self._module


def wandb_id(run_id: str) -> str:
    """Return the W&B id of our run `run_id`: the same each time, in the letters that W&B takes."""
    if re.fullmatch(r"[a-z0-9_-]{1,64}", run_id):
        return run_id
    return hashlib.blake2b(run_id.encode(), digest_size=8).hexdigest()


def _mode() -> str:
    named = os.environ.get("WANDB_MODE", "").lower()
    if named in {"online", "offline", "disabled"}:
        return named
    return "online" if _has_key() else "offline"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    paths = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else [Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(_names_host(path, host) for path in paths)


def _names_host(path: Path, host: str) -> bool:
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _settings(module: Any, mode: str, folder: Path, started: RunStarted) -> wandb.Settings:  # noqa: ANN401
    settings: wandb.Settings = module.Settings(
        mode=mode,
        root_dir=str(folder),
        silent=True,
        quiet=True,
        show_errors=False,
        console="off",
        symlink=False,
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        init_timeout=_INIT_TIMEOUT_S,
        git_commit=started.tags.get("git_commit"),
    )
    return settings


def _project(experiment: str) -> str:
    return re.sub(r"[/\\#?%:]", "-", text_of(experiment))[:128] or "nbmlops"


def _tags(started: RunStarted, finished: RunFinished) -> list[str]:
    return ["nbmlops", finished.status, *([commit[:12]] if (commit := started.tags.get("git_commit")) else [])]


def _name(started: RunStarted, part: SweepPart | None) -> str:
    return f"{part.name[:100]} trial {part.number}" if part is not None and part.role == "trial" else name_of_run(started)


def _config(started: RunStarted, part: SweepPart | None) -> dict[str, Any]:
    own = {
        "run_id": started.run_id,
        "notebook": started.notebook,
        "seed": started.seed,
        "tags": started.tags,
        "environment": started.environment,
    }
    # Parameters are identifiers: a dash keeps ours apart from any of them.
    trial = {} if part is None else {"nbmlops-trial": part.number, "nbmlops-sweep": asdict(part)}
    return {**{name: _finite(value) for name, value in started.parameters.items()}, "nbmlops-run": own, **trial}


def _steps(history: Sequence[Event]) -> list[tuple[int, dict[str, float]]]:
    rows: dict[int, dict[str, float]] = {}
    for item in series(history):
        rows.setdefault(item.step, {})[item.name] = item.value
    # W&B takes steps in their order and none below 0, where Python code may begin at -1.
    first = min(rows, default=0)
    return [(step - min(first, 0), rows[step]) for step in sorted(rows)]


def _trial_summary(finished: RunFinished, history: Sequence[Event]) -> dict[str, Any]:
    trial = trial_page(history)
    return {
        **_summary(finished, history),
        **{item.name: _finite(item.value) for item in trial.numbers},
        "nbmlops-state": trial.state,
        "nbmlops-ran": list(trial.ran),
        "nbmlops-reused": list(trial.reused),
    }


def _summary(finished: RunFinished, history: Sequence[Event]) -> dict[str, Any]:
    return {
        **{item.name: _finite(item.value) for item in numbers(history)},
        **texts(history),
        **{f"stage_seconds/{stage.stage}": stage.seconds for stage in stages(history) if stage.seconds > 0},
        "nbmlops-status": finished.status,
        "nbmlops-seconds": finished.seconds,
    }


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    # W&B would show null.
    return text_of(value) if isinstance(value, float) and not math.isfinite(value) else value


def _rows(history: Sequence[Event]) -> list[list[Any]]:
    return [[stage.stage, stage.status, float(stage.seconds), text_of(stage.reason), stage.key or ""] for stage in stages(history)]
