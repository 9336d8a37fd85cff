"""Great Expectations, kept quiet: nothing sent, nothing printed, nothing left in files, environment or the user's own project of it."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["arguments_of", "configured", "kind_of", "quiet", "run_suite"]

_ANALYTICS = "GX_ANALYTICS_ENABLED"
_EXAMPLES = 5
_ABOUT_THE_EXPECTATION = frozenset({"severity", "notes", "description", "meta"})
# what every expectation has, or many have beside what they are about: given by name only
_BY_NAME = frozenset({
    "id", "result_format", "catch_exceptions", "rendered_content", "windows", "batch_id", "mostly", "row_condition", "condition_parser",
    "ignore_row_if", *_ABOUT_THE_EXPECTATION,
})  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Let Great Expectations work without its telling anybody."""
    before, told = os.environ.get(_ANALYTICS), logging.getLogger("great_expectations")
    level = told.level
    os.environ[_ANALYTICS] = "False"  # it is read when the package is imported
    told.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        told.setLevel(level)
        if before is None:
            os.environ.pop(_ANALYTICS, None)
        else:
            os.environ[_ANALYTICS] = before


def kind_of(name: str, where: str) -> Any:  # noqa: ANN401 - a class of Great Expectations
    """Return the class of an expectation.

    Parameters
    ----------
    name : str
        As Great Expectations has it.
    where : str
        Where it is written, for the message.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    with quiet():
        import great_expectations.expectations  # noqa: F401 - seconds, for those who validate
        from great_expectations.exceptions.exceptions import ExpectationNotFoundError
        from great_expectations.expectations.registry import (
            get_expectation_impl,
            list_registered_expectation_implementations,
        )

        try:
            return get_expectation_impl(name)
        except ExpectationNotFoundError:
            near = close_matches(name, list_registered_expectation_implementations())
    raise UsageError(
        f"{where}: there is no expectation {name!r}",
        code="NB632",
        fix=f"did you mean {near[0]}?" if near else "use a name of Great Expectations' own, such as expect_column_values_to_not_be_null",
    )


def arguments_of(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a class of Great Expectations
    """Return what an expectation may be given by place, in the order of its own fields."""
    return tuple(name for name in kind.__fields__ if name not in _BY_NAME)


def configured(item: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - an expectation of Great Expectations
    """Return an expectation as Great Expectations has it.

    Parameters
    ----------
    item : mapping
        With ``type`` and ``kwargs``, and perhaps ``severity``, ``notes``, ``description``, ``meta`` and ``id``.
    where : str
        Where it is written, for messages.

    Raises
    ------
    UsageError
        If there is none of that name, or it does not take what it is given.
    """
    kind = kind_of(item["type"], where)
    with quiet():
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        try:
            return ExpectationConfiguration(**item).to_domain_obj()
        except Exception as error:  # noqa: BLE001 - what its checks raise is of many kinds, and all mean that the arguments are wrong
            problem = _said_of(error, kind)
    raise UsageError(f"{where}: {item['type']} {problem}", code="NB633", fix=f"it takes: {', '.join((*arguments_of(kind), 'mostly', 'severity'))}")


def _said_of(error: Exception, kind: Any) -> str:  # noqa: ANN401
    """Return what is wrong with the arguments, in our words."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return f"cannot be: {error}"
    told = []
    for item in errors():
        name, message = ".".join(map(str, item["loc"])), str(item["msg"])
        if item["type"] == "value_error.extra":
            near = close_matches(name, kind.__fields__)
            told.append(f"does not take {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        elif item["type"] == "value_error.missing":
            told.append(f"needs {name!r}")
        else:
            told.append(message if name == "__root__" else f"does not take this as {name!r}: {message}")
    return "; ".join(dict.fromkeys(told))


def run_suite(df: Any, name: str, items: Sequence[Mapping[str, Any]], place: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # noqa: ANN401 - a pandas.DataFrame
    """Hold a frame to a suite.

    Parameters
    ----------
    df : pandas.DataFrame
        It is not changed.
    name : str
    items : sequence of mapping
        As of `configured`.
    place : str
        Where the suite came from, for messages.

    Returns
    -------
    tuple of dict and list of dict
        Great Expectations' own result as JSON, and the part of each expectation, in the order of `items`.

    Raises
    ------
    UsageError
        If the suite cannot be run at all.
    """
    numbered = [{**item, "id": f"00000000-0000-4000-8000-{number:012d}"} for number, item in enumerate(items)]
    for number, item in enumerate(items, 1):
        configured(item, f"expectation {number} of {place}")
    with quiet():
        from great_expectations import get_context
        from great_expectations.core import ExpectationSuite
        from great_expectations.data_context.data_context.context_factory import project_manager
        from great_expectations.exceptions.exceptions import DataContextRequiredError

        try:
            own = project_manager.get_current_project()
        except DataContextRequiredError:
            own = None
        try:
            context = get_context(mode="ephemeral")
            context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
            suite = ExpectationSuite(name=name, expectations=numbered)
            asset = context.data_sources.add_pandas("nbmlops").add_dataframe_asset("frame")
            # a view of its own: what Great Expectations might hang on the frame stays with it
            batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": df.copy(deep=False)})
            found = batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES})
            report = _bare(found.to_json_dict())  # type: ignore[no-untyped-call]
        except Exception as error:
            raise UsageError(f"Great Expectations cannot run {place}: {error}", code="NB636", fix="mend the suite") from error
        finally:
            project_manager.set_project(own)
    by_id = {result["expectation_config"].get("id"): result for result in report["results"]}
    ordered = [by_id.get(item["id"], {}) for item in numbered]
    report["results"] = [result for result in ordered if result]
    return report, ordered


def _bare(report: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from run to run and machine to machine: times, and tracebacks with their paths."""
    kept: dict[str, Any] = _without(report, {"exception_traceback"})
    kept["meta"] = {key: value for key, value in kept.get("meta", {}).items() if key == "great_expectations_version"}
    return kept


def _without(data: Any, names: set[str]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(data, dict):
        return {key: _without(value, names) for key, value in data.items() if key not in names}
    return [_without(value, names) for value in data] if isinstance(data, list) else data
