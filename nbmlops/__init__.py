"""Turn tagged notebook cells into a pipeline: incremental, reproducible, tracked.

``%load_ext nbmlops`` in a notebook, ``nbmlops run notebook.ipynb`` in a shell, `nbmlops.open` in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from great_expectations.core import ExpectationSuite
    from IPython.core.interactiveshell import InteractiveShell
    from optuna.trial import Trial
    from pandas import DataFrame

    from nbmlops.gates.explanation import Explanation
    from nbmlops.gates.slices import Slices
    from nbmlops.gates.validation import Validation
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

    from nbmlops.session.compare import compare_runs  # noqa: PLC0415
    from nbmlops.settings import load_settings  # noqa: PLC0415
    from nbmlops.store.store import Store  # noqa: PLC0415

    settings = load_settings(Path.cwd(), **options)
    refs = [run if isinstance(run, str) else run.id for run in runs]
    return compare_runs(Store(settings.store, settings=settings), settings.project_root, refs)


def explain(
    model: Any,  # noqa: ANN401 - whatever predicts
    X: Any,  # noqa: ANN401, N803 - scikit-learn's own name
    y: Any,  # noqa: ANN401
    *,
    method: str = "auto",
    n_repeats: int = 5,
    max_rows: int = 5000,
    seed: int = 0,
) -> Explanation:
    """Tell what each feature matters to a model; the last line of a cell shows it as a table and a small picture.

    Parameters
    ----------
    model : object
        Fitted, with a method ``predict``; a scikit-learn pipeline is explained by the features that go into it.
    X : DataFrame or array of shape (n_rows, n_features)
        Rows that the model was not fitted on. It is not changed.
    y : sequence
        What is true of them.
    method : {"auto", "permutation", "shap"}
        ``auto`` is permutation importance, on every machine: how much the score falls when a feature's values are shuffled (the area under
        the ROC curve for two classes, else the model's own score). ``shap`` takes SHAP values, which need the extra ``shap`` and a model of trees.
    n_repeats : int
        How often each feature is shuffled.
    max_rows : int
        From how many rows at most, drawn by `seed`; for SHAP at most 1,000.
    seed : int

    Returns
    -------
    Explanation
        Its `frame` has the columns ``feature``, ``importance`` and ``std``, the most important first. It can be handed on to later stages.

    Raises
    ------
    nbmlops.errors.UsageError
        If the model cannot score the rows, or SHAP cannot explain it here.
    nbmlops.errors.MissingDependency
        If SHAP is asked for and not installed.

    Examples
    --------
    >>> nbmlops.explain(model, X_test, y_test).frame.head(3)  # doctest: +SKIP
    """
    from nbmlops.gates.explanation import explain as explain_now  # noqa: PLC0415 - `import nbmlops` stays light

    return explain_now(model, X, y, method=method, n_repeats=n_repeats, max_rows=max_rows, seed=seed)


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


def slices(
    y_true: Any,  # noqa: ANN401 - whatever numpy can read
    y_score: Any,  # noqa: ANN401
    by: Any,  # noqa: ANN401
    *,
    metrics: Iterable[str] | str | None = None,
    min_size: int = 100,
    threshold: float = 0.5,
    sensitive: Iterable[str] | str = (),
    seed: int = 0,
) -> Slices:
    """Compare how well a model does between groups of rows; the last line of a cell shows it as tables.

    In a stage it logs ``worst_METRIC_by_COLUMN`` and ``gap_METRIC_by_COLUMN``, which gates may ask for:
    ``--require "gap_roc_auc_by_origin <= 0.05"``. Where a group's metric is not defined, as the area under the ROC curve of a group of one
    class, worst and gap are NaN, which passes no gate. Called several times in one stage, the worst counts.

    Parameters
    ----------
    y_true : sequence
        Classes as 0 and 1, or numbers.
    y_score : sequence
        For classes the scores of class 1, such as ``model.predict_proba(X)[:, 1]``; else predictions.
    by : DataFrame, Series or mapping
        A column for each way to make groups, with the same rows in the same order. What is missing is a group of its own.
    metrics : iterable of str, optional
        Of ``roc_auc``, ``average_precision``, ``log_loss``, ``brier``, ``accuracy``, ``precision``, ``recall`` for classes, and ``rmse``, ``mae``
        for numbers; by default ``roc_auc``, or ``rmse`` and ``mae``.
    min_size : int
        Smaller groups are shown, marked, and left out of worst and gap.
    threshold : float
        From which score on a row is predicted to be of class 1.
    sensitive : iterable of str
        Columns of people's traits. What the groups of others show is called group performance, and not demographic fairness.
    seed : int
        Of the bootstrap that the intervals come from.

    Returns
    -------
    Slices
        ``found["origin"]`` is a frame with a row for each group.

    Raises
    ------
    nbmlops.errors.UsageError
        If rows do not belong together, values are missing, a metric does not fit, or a column makes no groups.

    Examples
    --------
    >>> nbmlops.slices(y_test, model.predict_proba(X_test)[:, 1], by=test[["origin", "carrier"]])  # doctest: +SKIP
    """
    from nbmlops.gates.slices import slices as slices_now  # noqa: PLC0415 - `import nbmlops` stays light

    return slices_now(y_true, y_score, by, metrics=metrics, min_size=min_size, threshold=threshold, sensitive=sensitive, seed=seed)


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


def validate(df: DataFrame, suite: str | Path | ExpectationSuite, *, name: str | None = None, stop: bool = True) -> Validation:
    """Hold a frame to a suite of Great Expectations, show the result, and leave it as evidence with the stage that runs.

    An expectation of severity ``warning`` that is not met passes with a mark; a critical one, or one that cannot be computed, refuses.

    Parameters
    ----------
    df : pandas.DataFrame
        It is not changed.
    suite : str, Path or great_expectations.ExpectationSuite
        A name means ``expectations/NAME.json`` in the notebook's folder, else in the project's.
    name : str, optional
        What the evidence is called; by default the suite's name. Two frames that are held to one suite in a stage need two.
    stop : bool
        Whether a refusal ends the stage here. If not, the stage ends refused when its code has run.

    Raises
    ------
    nbmlops.errors.GateRefused
        If a critical expectation is not met, or the frame has no rows.
    nbmlops.errors.UsageError
        If there is no such suite, it cannot be read, or `df` is no frame.

    Examples
    --------
    >>> found = nbmlops.validate(flights, "flights", stop=False)  # doctest: +SKIP
    >>> found.passed, [check.told for check in found.refusing]  # doctest: +SKIP
    (False, ["expect_column_values_to_be_in_set(origin): 3 of 27,004 values, such as XXX"])
    """
    from nbmlops.gates.expectations import validate as hold  # noqa: PLC0415 - `import nbmlops` stays light
    from nbmlops.views.validation import show_validation  # noqa: PLC0415

    return hold(df, suite, name=name, stop=stop, show=show_validation)


def expect(name: str, lines: str, *, on: DataFrame | None = None, first_line: int = 1) -> Validation | None:
    """Write a suite of expectations to ``expectations/NAME.json``: what a cell of ``%%mlexpect`` does.

    Parameters
    ----------
    name : str
    lines : str
        One expectation a line, in Great Expectations' own names: with its values in the order of its fields, or as a call with literals.
    on : pandas.DataFrame, optional
        Is held to it at once; a refusal is left as evidence, and raises nothing.
    first_line : int
        The number of the first line, for messages.

    Raises
    ------
    nbmlops.errors.UsageError
        If a line is none; nothing is written.

    Examples
    --------
    >>> nbmlops.expect("flights", "expect_column_values_to_be_between distance 1 6000 severity=warning")  # doctest: +SKIP
    """
    from nbmlops.gates.writing import expect as write  # noqa: PLC0415 - `import nbmlops` stays light
    from nbmlops.views.validation import show_validation  # noqa: PLC0415

    return write(name, lines, on=on, first_line=first_line, show=show_validation)


def propose_suite(df: DataFrame, name: str, *, replace: bool = False) -> ExpectationSuite:
    """Write a first suite of what holds of a frame to ``expectations/NAME.json``, and return it.

    Its columns, their types, which have missing values, the ranges of numbers with a tenth of room, the words of columns with few, and what
    is unique. The frame itself passes it, and the same frame gives the same suite. Read it before you trust it: it knows one frame.

    Parameters
    ----------
    df : pandas.DataFrame
    name : str
    replace : bool
        Whether it may take the place of a suite of that name that says something else.

    Raises
    ------
    nbmlops.errors.UsageError
        If the frame is empty, or there is another suite of that name.

    Examples
    --------
    >>> len(nbmlops.propose_suite(flights, "flights").expectations)  # doctest: +SKIP
    31
    """
    from nbmlops.gates.proposing import propose_suite as propose  # noqa: PLC0415 - `import nbmlops` stays light

    suite: ExpectationSuite = propose(df, name, replace=replace)
    return suite


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
