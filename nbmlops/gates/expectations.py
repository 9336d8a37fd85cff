"""Hold a frame to a suite of expectations: the gate in front of everything that is computed from data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import GateRefused, NotStorable, UsageError
from nbmlops.gates.suites import Suite, read_suite
from nbmlops.gates.validation import Check, Validation
from nbmlops.nearest import close_matches
from nbmlops.runner.logged import add_evidence, open_logbook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["check_frame", "judge_frame", "validate"]

_COLUMNS = ("column", "column_A", "column_B")
_CELL, _SENTENCE = 80, 400
_ROW_COUNTS = frozenset({"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"})


def validate(
    df: Any,  # noqa: ANN401 - anything may be given
    suite: object,
    *,
    name: Any = None,  # noqa: ANN401
    stop: bool = True,
    show: Callable[[Validation], None] | None = None,
) -> Validation:
    """Hold a frame to a suite: see `nbmlops.validate`.

    Parameters
    ----------
    df, suite, name, stop
        As there.
    show : callable, optional
        Gets the result before anything is raised.
    """
    check_frame(df)
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise UsageError(f"{name!r} cannot name what validate leaves as evidence", code="NB631", fix="give a text, or leave it out")
    read = suite if isinstance(suite, Suite) else read_suite(suite)
    found = judge_frame(df, read if name is None else replace(read, name=name))
    add_evidence(found.evidence())
    if show is not None:
        show(found)
    if stop and not found.passed:
        raise GateRefused(f"{found.name} is refused: {found.refusal}", code="NB635", fix="mend the data, or what the suite expects")
    return found


def check_frame(df: Any) -> None:  # noqa: ANN401 - anything may be given
    """Refuse what is no frame whose columns can be told apart.

    Raises
    ------
    UsageError
        If it is not.
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        kind = f"{type(df).__module__.partition('.')[0]}.{type(df).__qualname__}".removeprefix("builtins.")
        way = next((f"give df.{way}()" for way in ("to_pandas", "toPandas", "to_frame") if hasattr(df, way)), "give a pandas.DataFrame")
        raise UsageError(f"expectations are held against a pandas.DataFrame, and this is a {kind}", code="NB634", fix=way)
    doubled = list(dict.fromkeys(df.columns[df.columns.duplicated()]))
    if doubled:
        raise UsageError(
            f"the frame has more than one column {doubled[0]!r}" + (f" and {len(doubled) - 1} more such names" if len(doubled) > 1 else ""),
            code="NB634",
            fix="give each column a name of its own",
        )


def judge_frame(df: Any, suite: Suite) -> Validation:  # noqa: ANN401 - a pandas.DataFrame
    """Return what a suite says about a frame."""
    from nbmlops.gates.greatexpectations import run_suite  # noqa: PLC0415 - pandas alone tells that a value is no frame

    report, results = run_suite(df, suite.name, suite.expectations, suite.place)
    columns = [str(column) for column in df.columns]
    checks = tuple(_check(item, result, columns) for item, result in zip(suite.expectations, results, strict=True))
    unlooked = not len(df) and not any(check.met and check.expectation in _ROW_COUNTS for check in checks)
    return Validation(
        name=suite.name,
        rows=len(df),
        checks=checks,
        reason="the frame has no rows, so that nothing was checked; an expectation of the row count may say that this is right" if unlooked else "",
        digests=_digests(df, suite),
        report=_kept(report),
    )


def _check(item: Mapping[str, Any], result: Mapping[str, Any], columns: list[str]) -> Check:
    kwargs = dict(item["kwargs"])
    named = [kwargs.pop(key) for key in _COLUMNS if key in kwargs] + list(kwargs.pop("column_list", ()))
    details = result.get("result") or {}
    raised = _raised(result)
    missing = [name for name in named if name not in columns]
    reason = _no_column(missing[0], columns) if missing and (raised or not details) else raised
    if not result:
        reason = "Great Expectations gave no result for it"
    met, observed = bool(result.get("success")) and not reason, details.get("observed_value")
    looked_at, absent = details.get("element_count"), details.get("missing_count")
    if met and looked_at and absent == looked_at:
        reason = f"all {looked_at:,} values are missing, so that none was looked at"
    if met and looked_at == 0 and kwargs.get("row_condition"):
        reason = "no row fulfils its row_condition, so that none was looked at"
    return Check(
        expectation=item["type"],
        about=", ".join(map(str, named)),
        wanted=kwargs,
        severity=str(item.get("severity", "critical")),
        met=met,
        observed=observed if isinstance(observed, (int, float)) or observed is None else _short(observed),
        unexpected=details.get("unexpected_count"),
        looked_at=looked_at,
        examples=tuple(_short(value) for value in details.get("partial_unexpected_list") or ()),
        reason=reason,
        notes=_noted(item.get("notes")),
    )


def _noted(notes: object) -> str:
    return " ".join(map(str, notes)) if isinstance(notes, list) else str(notes or "")


def _short(value: object, limit: int = _CELL) -> str:
    """Return a value, such as an example of those that fail: a few dozen characters tell."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _raised(result: Mapping[str, Any]) -> str:
    """Return what an expectation has raised; Great Expectations tells it in one of two shapes."""
    told = result.get("exception_info") or {}
    infos = [told] if "raised_exception" in told else [info for info in told.values() if isinstance(info, dict)]
    messages = dict.fromkeys(str(info.get("exception_message")) for info in infos if info.get("raised_exception"))
    return f"it could not be computed: {_short(' '.join('; '.join(messages).split()), _SENTENCE)}" if messages else ""


def _no_column(name: str, columns: Iterable[str]) -> str:
    near = close_matches(name, columns)
    return f"the frame has no column {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _digests(df: Any, suite: Suite) -> dict[str, str]:  # noqa: ANN401 - a pandas.DataFrame
    """Return what was looked at: of the frame the digest that it has as an artifact."""
    return {name: digest for name, digest in _pairs(df, suite) if digest}


def _pairs(df: Any, suite: Suite) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - a pandas.DataFrame
    from nbmlops.store.objects import digest_of_buffers  # noqa: PLC0415 - with the store's serializers, for those who validate
    from nbmlops.store.serializers import Context, encode  # noqa: PLC0415

    try:
        yield "frame", digest_of_buffers(encode(df, Context()).buffers)
    except NotStorable:
        yield "frame", ""
    plain = json.dumps([dict(item) for item in suite.expectations], sort_keys=True, default=str)
    yield "suite", digest_of_buffers([plain.encode()])


def _kept(report: Mapping[str, Any]) -> str | None:
    """Keep Great Expectations' result in the store of the stage that runs."""
    logbook = open_logbook()
    return None if logbook is None else logbook.add_report(json.dumps(report, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))
