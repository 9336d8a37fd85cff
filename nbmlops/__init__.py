"""Turn tagged notebook cells into a pipeline: incremental, reproducible, tracked.

``%load_ext nbmlops`` in a notebook, ``nbmlops run notebook.ipynb`` in a shell, `nbmlops.open` in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell
    from optuna.trial import Trial

    from nbmlops.promotion.packing import Registration
    from nbmlops.promotion.state import History, ModelState, PromotionEvent
    from nbmlops.session.batch import Session
    from nbmlops.session.comparison import Comparison
    from nbmlops.session.promotions import Promotions
    from nbmlops.session.run import Run
    from nbmlops.session.sweep import Sweep
    from nbmlops.sweeps.state import SweepState

__all__ = [
    "compare",
    "history",
    "load_ipython_extension",
    "log_metric",
    "models",
    "open",
    "promote",
    "register_model",
    "report",
    "rollback",
    "sweep",
    "unload_ipython_extension",
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

    from nbmlops.session.compare import compare_runs  # noqa: PLC0415
    from nbmlops.settings import load_settings  # noqa: PLC0415
    from nbmlops.store.store import Store  # noqa: PLC0415

    settings = load_settings(Path.cwd(), **options)
    refs = [run if isinstance(run, str) else run.id for run in runs]
    return compare_runs(Store(settings.store, settings=settings), settings.project_root, refs)


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Log a metric of the stage that runs, beside those that its ``--metrics`` names.

    Parameters
    ----------
    name : str
    value : float
        The last value of a name is the metric. NaN is kept, and passes no gate.
    step : int, optional
        From 0: trackers show the course of the metric.

    Raises
    ------
    nbmlops.errors.UsageError
        If the value is no number, or the step no whole number from 0.
    """
    from nbmlops.runner.logged import log_metric as log  # noqa: PLC0415 - `import nbmlops` stays light

    log(name, value, step)


def register_model(
    model: Any,  # noqa: ANN401 - any model
    name: str,
    *,
    example: Any = None,  # noqa: ANN401 - what the model takes
    metrics: Mapping[str, float] | None = None,
    evaluation: tuple[Any, Any] | None = None,
    serialization: str | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    requirements: Iterable[str] | None = None,
) -> Registration:
    """Leave a model with the stage that runs; the run registers it in MLflow when it ends, with the evidence of all its stages.

    The same model is the same version, in whatever run it was made.

    Parameters
    ----------
    model : object
        A model of scikit-learn, xgboost, lightgbm, catboost, PyTorch or Keras, or a ``mlflow.pyfunc.PythonModel``. It is not changed.
    name : str
        The registered model: letters, digits, ``-`` and ``_``.
    example : object, optional
        A few rows as the model takes them: they are kept as its input example, and give its signature.
    metrics : mapping of str to float, optional
        What is said of the model; what the run logs counts too. NaN is kept, and passes no gate.
    evaluation : (array of shape (n_samples,), array of shape (n_samples,) or (n_samples, n_classes)), optional
        The true values and the scores by which it was judged: they are kept with the model, so that it can be compared with another one.
    serialization : {"skops", "cloudpickle", "pickle"}, optional
        Of a model of scikit-learn, by default skops: the other two run code when they are loaded.
    skops_trusted_types : iterable of str, optional
        Types that skops loads though it does not know them; the error that asks for it says which.
    requirements : iterable of str, optional
        For pip; by default the distributions that the model refers to, with the versions that are installed here.

    Raises
    ------
    nbmlops.errors.UsageError
        If an argument cannot be meant.
    nbmlops.errors.NotStorable
        If the model cannot be written in that form.

    Examples
    --------
    >>> nbmlops.register_model(model, "flight-delay", example=X_test.head(), metrics={"roc_auc": auc})  # doctest: +SKIP
    """
    from nbmlops.promotion.packing import register_model as pack  # noqa: PLC0415 - `import nbmlops` stays light

    return pack(
        model,
        name,
        example=example,
        metrics=metrics,
        evaluation=evaluation,
        serialization=serialization,
        skops_trusted_types=skops_trusted_types,
        requirements=requirements,
    )


def report(value: float, step: int) -> None:
    """Report how the objective of a sweep stands while a stage runs; a trial that does badly ends here.

    Outside a sweep, and in one with several objectives, it logs the metric ``reported`` and nothing more.

    Parameters
    ----------
    value : float
        What the sweep's objective would be if the stage ended now.
    step : int
        From 0, such as the epoch; trials are compared at equal steps.

    Examples
    --------
    >>> for epoch in range(100):  # doctest: +SKIP
    ...     model.partial_fit(X, y)
    ...     nbmlops.report(roc_auc_score(y_val, model.decision_function(X_val)), epoch)
    """
    from nbmlops.runner.logged import report as report_now  # noqa: PLC0415 - `import nbmlops` stays light

    report_now(value, step)


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


def promote(
    model: str,
    version: int,
    *,
    to: str,
    reason: str,
    override: str = "",
    approver: str = "",
    **options: Any,  # noqa: ANN401 - fields of Settings
) -> PromotionEvent:
    """Let an alias mean a version of a registered model, if every gate of it holds and its files verify.

    Parameters
    ----------
    model : str
    version : int
    to : str
        The alias, one of the setting ``promotion_aliases``.
    reason : str
        Why; it is recorded.
    override : str
        Why it is promoted although a gate refuses; it is recorded.
    approver : str
        The second person, where the setting ``promotion_approver`` asks for one.
    **options
        Settings that win over the environment and the project's file.

    Returns
    -------
    PromotionEvent
        The entry of the log.

    Raises
    ------
    nbmlops.errors.GateRefused
        If a gate does not hold and no override is stated.
    nbmlops.errors.LostRace
        If somebody else has moved the alias meanwhile, or is moving one of this model.
    nbmlops.errors.Tampered
        If the version's files, its evidence or the log is not what was written.
    nbmlops.errors.UsageError
        If the model, version, alias or approver cannot be meant, or the reason is empty.
    nbmlops.errors.TrackerUnavailable
        If the registry does not answer. Except in this case, nothing has changed after an error.

    Examples
    --------
    >>> nbmlops.promote("flight-delay", 2, to="champion", reason="better on every route").from_version  # doctest: +SKIP
    1
    """
    with _promotions(options) as promotions:
        return promotions.promote(model, version, to, reason, override=override, approver=approver)


def rollback(
    model: str,
    *,
    reason: str,
    alias: str = "",
    approver: str = "",
    **options: Any,  # noqa: ANN401 - fields of Settings
) -> PromotionEvent:
    """Let an alias mean what it meant before, by the log; each call goes one promotion further back.

    Parameters
    ----------
    model : str
    reason : str
    alias : str
        By default the first of the setting ``promotion_aliases``.
    approver : str
        As of `promote`.
    **options
        Settings that win over the environment and the project's file.
    """
    with _promotions(options) as promotions:
        return promotions.rollback(model, alias, reason, approver=approver)


def history(model: str, **options: Any) -> History:  # noqa: ANN401 - fields of Settings
    """Return who moved which alias of a model and why, the newest first, and whether that is still what was written.

    Parameters
    ----------
    model : str
    **options
        Settings that win over the environment and the project's file.
    """
    with _promotions(options) as promotions:
        return promotions.history(model)


def models(model: str, **options: Any) -> ModelState:  # noqa: ANN401 - fields of Settings
    """Return how a registered model stands: its versions with gates and metrics, what differs from the one in use, aliases and log.

    Parameters
    ----------
    model : str
    **options
        Settings that win over the environment and the project's file.
    """
    with _promotions(options) as promotions:
        return promotions.look(model)


def _promotions(options: dict[str, Any]) -> Promotions:
    from pathlib import Path  # noqa: PLC0415 - `import nbmlops` stays light

    from nbmlops.session.promotions import Promotions  # noqa: PLC0415
    from nbmlops.settings import load_settings  # noqa: PLC0415

    return Promotions(load_settings(Path.cwd(), **options))


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext nbmlops``."""
    from nbmlops.magics import register  # noqa: PLC0415

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics out again: ``%unload_ext nbmlops``."""
    from nbmlops.magics import unregister  # noqa: PLC0415

    unregister(shell)
