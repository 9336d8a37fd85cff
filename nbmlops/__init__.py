"""Turn tagged notebook cells into a pipeline: incremental, reproducible, tracked.

``%load_ext nbmlops`` in a notebook, ``nbmlops run notebook.ipynb`` in a shell, `nbmlops.open` in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.instage import expect, explain, log_metric, propose_suite, register_model, report, slices, validate
from nbmlops.promoting import history, models, promote, rollback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell
    from optuna.trial import Trial

    from nbmlops.session.batch import Session
    from nbmlops.session.comparing.comparison import Comparison
    from nbmlops.session.run import Run
    from nbmlops.session.sweep import Sweep
    from nbmlops.sweeps.state import SweepState

__all__ = [
    "compare",
    "expect",
    "explain",
    "history",
    "load_ipython_extension",
    "log_metric",
    "models",
    "open",
    "promote",
    "propose_suite",
    "register_model",
    "report",
    "rollback",
    "slices",
    "sweep",
    "unload_ipython_extension",
    "validate",
]
__version__ = "0.1.0"


def open(path: Path | str, **options: Any) -> Session:  # noqa: A001, ANN401 - nbmlops.open reads well; fields of Settings
    """Open a notebook for `graph`, `check`, `status`, `why`, `run`, `runs` and `compare`.

    Parameters
    ----------
    path : path
        An ``.ipynb``, or a ``.py`` in jupytext's percent format.
    **options
        Settings that win over the environment and the project's file, such as ``store="s3://bucket/store"``.

    Raises
    ------
    nbmlops.errors.NotebookError
        If it is not a notebook that can be run here.
    """
    from nbmlops.session.batch import open_notebook  # noqa: PLC0415 - `import nbmlops` stays light

    return open_notebook(path, **options)


def compare(*runs: Run | str, **options: Any) -> Comparison:  # noqa: ANN401 - fields of Settings
    """Return what differs between runs: parameters, metrics, stages, artifacts, code and environment.

    Parameters
    ----------
    *runs : Run or str
        Two or more. A text is a run's id, the beginning of one, or SWEEP/NUMBER for a trial of a sweep; it is looked for in the store of the
        project of the working directory.
    **options
        Settings that win over the environment and the project's file, such as ``store="s3://bucket/store"``.

    Raises
    ------
    nbmlops.errors.UsageError
        If there are fewer than two, one cannot be meant, or two mean the same run.

    Examples
    --------
    >>> nbmlops.compare("8f3a", "flight_delay/7").to_json()["parameters"]  # doctest: +SKIP
    {'learning_rate': [0.1, 0.07]}
    """
    from pathlib import Path  # noqa: PLC0415 - `import nbmlops` stays light

    from nbmlops.session.comparing.compare import compare_runs  # noqa: PLC0415
    from nbmlops.settings import load_settings  # noqa: PLC0415
    from nbmlops.store.store import Store  # noqa: PLC0415

    settings = load_settings(Path.cwd(), **options)
    refs = [run if isinstance(run, str) else run.id for run in runs]
    return compare_runs(Store(settings.store, settings=settings), settings.project_root, refs)


def sweep(  # noqa: PLR0913 - the options of the verb
    notebook: Path | str,
    *,
    trials: int,
    maximize: str | Iterable[str] = (),
    minimize: str | Iterable[str] = (),
    space: Mapping[str, object] | Callable[[Trial], Mapping[str, Any]] | None = None,
    constraints: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    workers: int | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    name: str = "",
    storage: str | None = None,
    seed: int | None = None,
    track: bool = True,
    watcher: Callable[[SweepState], None] | None = None,
    **options: Any,  # noqa: ANN401 - fields of Settings
) -> Sweep:
    """Run a notebook with parameters that Optuna chooses, until `trials` trials have ended.

    A trial re-runs only what its parameters touch. The same call continues a sweep that was stopped or killed.

    Parameters
    ----------
    notebook : path
    trials : int
        How many finished trials are wanted in all, from 1; those of earlier calls under the same name count.
    maximize, minimize : str or iterable of str
        Metrics. Several give a Pareto front.
    space : mapping or callable, optional
        By parameter its range: text such as ``"float(0.01, 0.3, log)"``, a list of choices, or one of Optuna's distributions. A callable takes
        Optuna's trial and returns the parameters, for spaces in which one choice decides about others. By default the ranges that the
        parameters cell notes: ``learning_rate = 0.1  # sweep: float(0.01, 0.3, log)``.
    constraints : callable, optional
        Takes a trial's metrics and parameters, and returns numbers, by name or in order, none of which is above 0 for a trial that is feasible.
    parameters : mapping, optional
        Values of parameters that are not swept.
    workers : int, optional
        How many stages may run at once; by default one per CPU. With one worker, the same seed, space and data give the same trials.
    sampler : {"tpe", "random", "grid", "cmaes", "gp", "nsga2"}
    pruner : {"none", "median", "percentile", "hyperband", "halving"}
        What ends a trial early, by what its stages `report`.
    name : str
        By default the notebook's name.
    storage : str, optional
        A URL that Optuna can open, such as ``sqlite:///sweeps.db``; by default a journal in the store.
    seed : int, optional
        Of the sampler; by default the setting ``seed``.
    track : bool
        Whether the trackers of the settings get the sweep.
    watcher : callable, optional
        Gets the state whenever a trial begins or ends.
    **options
        Settings that win over the environment and the project's file.

    Raises
    ------
    nbmlops.errors.UsageError
        If a parameter, a metric or a range cannot be meant; nothing has run.
    nbmlops.errors.NotebookError
        If the notebook has errors; nothing has run.

    Examples
    --------
    >>> sweep = nbmlops.sweep("train.ipynb", trials=20, maximize="roc_auc", space={"learning_rate": "float(0.01, 0.3, log)"})  # doctest: +SKIP
    >>> sweep.best.parameters, sweep.best_run["model"]  # doctest: +SKIP
    """
    from nbmlops.session.batch import open_notebook  # noqa: PLC0415 - `import nbmlops` stays light
    from nbmlops.session.sweep import SweepOptions  # noqa: PLC0415

    wanted = SweepOptions(
        trials=trials,
        maximize=(maximize,) if isinstance(maximize, str) else tuple(maximize),
        minimize=(minimize,) if isinstance(minimize, str) else tuple(minimize),
        space={} if space is None or callable(space) else dict(space),
        suggest=space if callable(space) else None,
        constraints=constraints,
        parameters=dict(parameters or {}),
        workers=workers,
        sampler=sampler,
        pruner=pruner,
        name=name,
        storage=storage,
        seed=seed,
        track=track,
    )
    return open_notebook(notebook, **options).sweep(wanted).run(watcher)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext nbmlops``."""
    from nbmlops.magics import register  # noqa: PLC0415

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics out again: ``%unload_ext nbmlops``."""
    from nbmlops.magics import unregister  # noqa: PLC0415

    unregister(shell)
