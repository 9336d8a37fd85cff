"""How well a model does in each group of its rows: the worst group, how far groups lie apart, and how sure that is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.errors import UsageError
from nbmlops.gates.scores import SCORES, Score
from nbmlops.gates.showing import Shown
from nbmlops.nearest import close_matches
from nbmlops.runner.logged import open_logbook

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Values = np.ndarray[Any, np.dtype[Any]]

__all__ = ["MISSING", "ColumnSlices", "Gap", "Slices", "slices"]

MISSING = "(missing)"
_RESAMPLES = 200
_LIMITS = (0.025, 0.975)
_MOST_GROUPS = 1000
_CLASSES = {0.0, 1.0}
_TWO = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far the groups of a column lie apart by one metric.

    Parameters
    ----------
    metric : str
    worst_group : str or None
        None where it cannot be told.
    worst, gap, low, high : float
        The worst group's value; the largest value less the smallest, and its 95 % interval. NaN where they are not defined.
    why : str
        Why they are not defined; "" where they are.
    """

    metric: str
    worst_group: str | None
    worst: float
    gap: float
    low: float
    high: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSlices:
    """The groups of one column.

    Parameters
    ----------
    column : str
    sensitive : bool
        Whether the column was named as one of people's traits: what its groups show is a matter of demographic fairness then.
    frame : DataFrame
        A row for each group, the largest first: ``group``, ``rows``, ``small``, and for each metric ``METRIC``, ``METRIC_low`` and
        ``METRIC_high``, the ends of a 95 % interval. NaN is "not defined".
    gaps : tuple of Gap
        For each metric.
    """

    column: str
    sensitive: bool
    frame: pd.DataFrame
    gaps: tuple[Gap, ...]

    @property
    def small(self) -> tuple[str, ...]:
        """The groups that are too small to be judged."""
        return tuple(self.frame.loc[self.frame["small"], "group"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices(Shown):
    """How well a model does in each group.

    Parameters
    ----------
    columns : mapping of str to ColumnSlices
    overall : mapping of str to float
        Each metric of all rows.
    rows, min_size : int
        How many rows there are, and from how many on a group is judged.
    metrics : mapping of str to float
        What was logged: ``worst_METRIC_by_COLUMN`` and ``gap_METRIC_by_COLUMN``.
    """

    view: ClassVar[str] = "slices"
    columns: Mapping[str, ColumnSlices]
    overall: Mapping[str, float]
    rows: int
    min_size: int
    metrics: Mapping[str, float]

    def __getitem__(self, column: str) -> pd.DataFrame:
        """Return the groups of a column, a row for each."""
        return self.columns[column].frame


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
    """Compare a model's performance between groups: see `nbmlops.slices`."""
    table = _table(by)
    truth, score = _values(y_true, y_score, table)
    chosen = _chosen(metrics, truth, score)
    if type(min_size) is not int or min_size < 1:
        raise UsageError(f"slices: min_size is {min_size!r}", code="NB637", fix="give a number of rows from 1")
    if type(seed) is not int or not _is_finite(threshold):
        raise UsageError(f"slices: seed is {seed!r}, threshold {threshold!r}", code="NB637", fix="give a whole number, and a score")
    if not isinstance(sensitive, Iterable):
        raise _column_error(f"sensitive is {sensitive!r}", "name columns of `by`, or leave it out")
    traits = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    for name in traits:
        if name not in table:
            raise _column_error(f"sensitive names {name!r}, which `by` does not have", f"name one of: {', '.join(table)}")
    comparison = _Comparison(truth, score, chosen, float(threshold), min_size, seed)
    columns = {name: comparison.column(name, values, sensitive=name in traits) for name, values in table.items()}
    logged = _logged_names(columns)
    _log(logged, chosen)
    return Slices(columns=columns, overall=comparison.overall(), rows=len(truth), min_size=min_size, metrics=logged)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - whatever is given
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _table(by: Any) -> dict[str, Any]:  # noqa: ANN401 - what the user gives
    import pandas as pd

    if isinstance(by, pd.Series):
        by = by.to_frame(by.name if by.name is not None else "group")
    if isinstance(by, pd.DataFrame):
        given = [(str(name), by.iloc[:, number]) for number, name in enumerate(by.columns)]
    elif isinstance(by, Mapping):
        given = [(str(name), values if hasattr(values, "iloc") else pd.Series(list(values), dtype=object).array) for name, values in by.items()]
    else:
        raise _column_error(f"`by` is a {type(by).__name__}", 'give columns of a frame, such as by=df[["origin", "carrier"]]')
    if not given:
        raise _column_error("`by` has no column", 'give at least one, such as by=df[["origin"]]')
    plain: dict[str, str] = {}
    for name, _ in given:
        if _identifier(name) in plain:
            raise _column_error(f"the columns {plain[_identifier(name)]!r} and {name!r} of `by` would give metrics of one name", "rename one of them")
        plain[_identifier(name)] = name
    return dict(given)


def _column_error(what: str, fix: str) -> UsageError:
    return UsageError(f"slices: {what}", code="NB639", fix=fix)


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _values(y_true: Any, y_score: Any, table: Mapping[str, Any]) -> tuple[Values, Values]:  # noqa: ANN401
    """Return what is true and what the model says as numbers, once it is sure that their rows belong together."""
    given = {"y_true": y_true, "y_score": y_score, **{f"by[{name!r}]": values for name, values in table.items()}}
    truth, score = (_numbers(name, given[name]) for name in ("y_true", "y_score"))
    for name, values in given.items():
        if len(values) != len(truth):
            raise UsageError(f"slices: y_true has {len(truth):,} rows and {name} {len(values):,}", code="NB637", fix="give the same rows to each")
    if not len(truth):
        raise UsageError("slices: there are no rows", code="NB637", fix="give the rows that the model is judged on")
    indexed = {name: values.index for name, values in given.items() if hasattr(values, "iloc")}
    first = next(iter(indexed), "")
    for name, index in indexed.items():
        # rows are taken in order, and those of two frames in different orders would be mixed up
        if not index.equals(indexed[first]):
            raise UsageError(f"slices: {name} has another index than {first}", code="NB637", fix=f"take the same rows, such as df.loc[{first}.index]")
    return truth, score


def _numbers(name: str, given: Any) -> Values:  # noqa: ANN401
    import numpy as np

    masked = isinstance(given, np.ma.MaskedArray)
    try:
        plain = np.asarray(given)
        # of times and complex numbers numpy would take the nanoseconds, or the real part; below a mask lies what is missing
        values = np.asarray("" if plain.dtype.kind in "cmM" else plain, dtype=float)
        values = np.where(np.ma.getmaskarray(given), np.nan, values) if masked else values
    except (TypeError, ValueError):
        raise UsageError(f"slices: {name} holds what is no number", code="NB637", fix="give classes as 0 and 1, or numbers") from None
    if values.ndim == _TWO and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        fix = "give the scores of class 1, such as model.predict_proba(X)[:, 1]"
        raise UsageError(f"slices: {name} has the shape {values.shape}", code="NB637", fix=fix)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise UsageError(f"slices: {name} has {bad:,} missing or infinite values", code="NB637", fix="leave those rows out of y_true, y_score and by")
    return values


def _chosen(metrics: Iterable[str] | str | None, truth: Values, score: Values) -> tuple[Score, ...]:
    """Return the metrics that are asked for, or those that the values suggest."""
    classes = set(truth[:1000].tolist()) <= _CLASSES and set(truth.tolist()) <= _CLASSES
    if metrics is None:
        metrics = ("roc_auc",) if classes else ("rmse", "mae")
    if not isinstance(metrics, Iterable):
        raise UsageError(f"slices: metrics is {metrics!r}", code="NB638", fix=f"name some of: {', '.join(SCORES)}")
    names = (metrics,) if isinstance(metrics, str) else tuple(dict.fromkeys(metrics))
    if not names:
        raise UsageError("slices: metrics is empty", code="NB638", fix=f"name some of: {', '.join(SCORES)}")
    for name in names:
        if name not in SCORES:
            near = close_matches(str(name), list(SCORES))
            fix = f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(SCORES)}"
            raise UsageError(f"slices: there is no metric {name!r}", code="NB638", fix=fix)
        if SCORES[name].classes and not classes:
            raise UsageError(f"slices: {name} needs y_true of 0 and 1", code="NB638", fix="give classes as 0 and 1, or take rmse or mae")
        if SCORES[name].probabilities and (score.min() < 0 or score.max() > 1):
            fix = "give predict_proba(X)[:, 1], or take roc_auc"
            raise UsageError(
                f"slices: {name} needs scores from 0 to 1, and these go from {score.min():.6g} to {score.max():.6g}", code="NB638", fix=fix
            )
    return tuple(SCORES[name] for name in names)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The rows and the metrics by which groups are compared."""

    truth: Values
    score: Values
    metrics: tuple[Score, ...]
    threshold: float
    min_size: int
    seed: int

    def overall(self) -> dict[str, float]:
        return {metric.name: metric.of(self.truth, self.score, self.threshold) for metric in self.metrics}

    def column(self, name: str, values: Any, *, sensitive: bool) -> ColumnSlices:  # noqa: ANN401
        import pandas as pd

        codes, labels = _groups(name, values)
        by_group = self._by_group(codes)
        sizes = pd.Series(codes).value_counts()
        order = sorted(range(len(labels)), key=lambda code: (-int(sizes[code]), labels[code]))
        samples = {code: self._resampled(codes == code, name, labels[code]) for code in order if sizes[code] >= self.min_size}
        frame = pd.DataFrame(
            {
                "group": pd.Series([labels[code] for code in order], dtype=object),
                "rows": [int(sizes[code]) for code in order],
                "small": [code not in samples for code in order],
            }
        )
        gaps = []
        for place, metric in enumerate(self.metrics):
            point = {code: float(by_group[metric.name][code]) for code in order}
            ends = {code: _ends(samples[code][place]) if code in samples else (math.nan, math.nan) for code in order}
            frame[metric.name] = [point[code] for code in order]
            frame[f"{metric.name}_low"] = [ends[code][0] for code in order]
            frame[f"{metric.name}_high"] = [ends[code][1] for code in order]
            gaps.append(self._gap(metric, {labels[code]: point[code] for code in samples}, [samples[code][place] for code in samples]))
        return ColumnSlices(column=name, sensitive=sensitive, frame=frame, gaps=tuple(gaps))

    def _by_group(self, codes: Values) -> pd.DataFrame:
        """Return each group's metrics, by fairlearn."""
        from fairlearn.metrics import MetricFrame

        functions = {metric.name: lambda y, score, metric=metric: metric.of(y, score, self.threshold) for metric in self.metrics}
        found: pd.DataFrame = MetricFrame(metrics=functions, y_true=self.truth, y_pred=self.score, sensitive_features=codes).by_group
        return found

    def _resampled(self, rows: Values, column: str, group: str) -> Values:
        """Return each metric of a group that is drawn again and again from its own rows.

        Not by fairlearn's own ``n_boot``, which takes 2 s for each resample of 300,000 rows: it makes an object of every number.
        """
        import zlib  # noqa: PLC0415

        import numpy as np

        order = np.argsort(self.score[rows], kind="stable")  # what is in order is sorted again in no time
        truth, score = self.truth[rows][order], self.score[rows][order]
        # of its own, so that another group more or less does not change this one's interval
        own = zlib.crc32(repr((column, group)).encode("utf-8", "surrogatepass"))
        generator = np.random.default_rng([self.seed % 2**32, own])
        found = np.empty((len(self.metrics), _RESAMPLES))
        for number in range(_RESAMPLES):
            drawn = np.repeat(np.arange(len(truth)), np.bincount(generator.integers(0, len(truth), len(truth)), minlength=len(truth)))
            found[:, number] = [metric.of(truth[drawn], score[drawn], self.threshold) for metric in self.metrics]
        return found

    def _gap(self, metric: Score, point: dict[str, float], samples: list[Values]) -> Gap:
        import numpy as np

        undefined = [group for group, value in point.items() if math.isnan(value)]
        why = ""
        if not point:
            why = f"no group has {self.min_size:,} rows"
        elif undefined:
            why = f"{metric.name} is not defined for the group {undefined[0]!r}" + (f" and {len(undefined) - 1} more" if undefined[1:] else "")
        if why:
            return Gap(metric=metric.name, worst_group=None, worst=math.nan, gap=math.nan, low=math.nan, high=math.nan, why=why)
        worst = metric.worst(list(point.values()))
        group = next(name for name, value in point.items() if value == worst)
        if len(point) < _TWO:
            why = "there is only one group to judge"
            return Gap(metric=metric.name, worst_group=group, worst=worst, gap=math.nan, low=math.nan, high=math.nan, why=why)
        every = np.array(samples)
        low, high = _ends(every.max(axis=0) - every.min(axis=0))
        gap = max(point.values()) - min(point.values())
        return Gap(metric=metric.name, worst_group=group, worst=worst, gap=gap, low=low, high=high)


def _groups(name: str, values: Any) -> tuple[Values, list[str]]:  # noqa: ANN401
    """Return each row's group as a number, and what the groups are called; what is missing is a group of its own."""
    import pandas as pd

    try:
        codes, found = pd.factorize(values, use_na_sentinel=True)
    except TypeError:
        raise _column_error(f"the column {name!r} holds values that make no groups", "give a column of words or numbers") from None
    labels = [str(value) for value in found]
    if len(set(labels)) < len(labels):
        labels = [repr(value) for value in found]  # 1 and "1" are two groups
    if (codes < 0).any():
        codes = codes.copy()
        codes[codes < 0] = len(labels)
        labels.append(MISSING if MISSING not in labels else f"{MISSING} here")
    if len(labels) > _MOST_GROUPS:
        raise _column_error(f"the column {name!r} makes {len(labels):,} groups", f"put its values into at most {_MOST_GROUPS:,}, as pandas.cut does")
    return codes, labels


def _ends(samples: Values) -> tuple[float, float]:
    """Return the ends of an interval; NaN where most resamples have no value."""
    import numpy as np

    defined = samples[~np.isnan(samples)]
    if _TWO * len(defined) <= len(samples):
        return math.nan, math.nan
    low, high = np.quantile(defined, _LIMITS)
    return float(low), float(high)


def _logged_names(columns: Mapping[str, ColumnSlices]) -> dict[str, float]:
    found = {}
    for name, column in columns.items():
        for gap in column.gaps:
            found[f"worst_{gap.metric}_by_{_identifier(name)}"] = gap.worst
            found[f"gap_{gap.metric}_by_{_identifier(name)}"] = gap.gap
    return found


def _log(found: Mapping[str, float], metrics: Iterable[Score]) -> None:
    """Log what gates may ask for; of several calls in one stage the worst counts, so that no good one hides a bad one."""
    book = open_logbook()
    if book is None:
        return
    highest = {f"worst_{metric.name}_by_" for metric in metrics if not metric.higher_is_better}
    for name, value in found.items():
        known = book.metrics.get(name)
        if known is not None and not math.isnan(known) and not math.isnan(value):
            upward = name.startswith(("gap_", *highest))
            book.log(name, max(known, value) if upward else min(known, value))
        elif known is None or math.isnan(value):
            book.log(name, value)
