"""What a stage's code calls: it logs, holds data to suites, looks at groups and features, and leaves models to be registered.

`import nbmlops` brings these names and loads nothing for them: each imports what it needs when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from great_expectations.core import ExpectationSuite
    from pandas import DataFrame

    from nbmlops.gates.explanation import Explanation
    from nbmlops.gates.slices import Slices
    from nbmlops.gates.validation import Validation
    from nbmlops.promotion.packing import Registration

__all__ = ["expect", "explain", "log_metric", "propose_suite", "register_model", "report", "slices", "validate"]


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
