"""Ranges of parameters: as text, as notes in the notebook, as Optuna's distributions."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nbmlops.errors import UsageError
from nbmlops.pipeline.model import Parameter
from nbmlops.sweeps.space import Range, check_grid, noted_ranges, parse_range, range_of

GOOD = [
    ("float(0.001, 0.3, log)", FloatDistribution(0.001, 0.3, log=True), "float(0.001, 0.3, log)"),
    ("float(0, 1)", FloatDistribution(0.0, 1.0), "float(0.0, 1.0)"),
    ("float( 0.1 , 0.9 , step=0.2 )", FloatDistribution(0.1, 0.9, step=0.2), "float(0.1, 0.9, step=0.2)"),
    ("float(1e-5, 1e-1, log)", FloatDistribution(1e-5, 1e-1, log=True), "float(1e-05, 0.1, log)"),
    ("int(2, 8)", IntDistribution(2, 8), "int(2, 8)"),
    ("int(16, 256, log)", IntDistribution(16, 256, log=True), "int(16, 256, log)"),
    ("int(0, 100, step=25)", IntDistribution(0, 100, step=25), "int(0, 100, step=25)"),
    ("int(3, 3)", IntDistribution(3, 3), "int(3, 3)"),
    ("choice(a, b)", CategoricalDistribution(["a", "b"]), "choice(a, b)"),
    ("choice(1, 2.5, true, null)", CategoricalDistribution([1, 2.5, True, None]), "choice(1, 2.5, true, null)"),
    ("choice('1', \"two words\", yes)", CategoricalDistribution(["1", "two words", "yes"]), 'choice("1", "two words", "yes")'),
    ("choice([50], [50, 25])", CategoricalDistribution(["[50]", "[50, 25]"]), "choice([50], [50, 25])"),
]


@pytest.mark.parametrize(("text", "distribution", "shown"), GOOD)
def test_a_range_is_read_and_written(text: str, distribution: object, shown: str) -> None:
    """A range gives Optuna's distribution, and its own text gives the same range again."""
    found = parse_range("x", text)
    assert found.distribution() == distribution
    assert str(found) == shown
    assert parse_range("x", shown) == found


BAD = [
    ("float(0.3, 0.1)", "empty"),
    ("int(8, 2)", "empty"),
    ("float(0, 1, log)", "above 0"),
    ("int(-1, 8, log)", "above 0"),
    ("float(1, 2, log, step=0.1)", "exclude"),
    ("float(0, 1, step=0)", "step"),
    ("float(0, 1, step=-1)", "step"),
    ("float(0, .inf)", "finite"),
    ("float(.nan, 1)", "finite"),
    ("int(2, 8.5)", "whole number"),
    ("float(a, b)", "no number"),
    ("float(1)", "no range"),
    ("float(1, 2, 3)", "no range"),
    ("int(1, 8, linear)", "no range"),
    ("int(true, 8)", "whole number"),
    ("choice()", "nothing to choose"),
    ("choice(a, a)", "twice"),
    ("choice(a], [b)", "cannot be read"),
    ("uniform(0, 1)", "no range"),
    ("0.1", "no range"),
    ("", "no range"),
    ("choice(!!python/object:os.system x)", "cannot be read"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_range_is_told_in_one_line(text: str, why: str) -> None:
    """The line names the parameter, what is wrong and what to write."""
    with pytest.raises(UsageError) as raised:
        parse_range("rate", text)
    line = str(raised.value)
    assert "rate" in line
    assert why in line
    assert "write float(" in line or "once" in line
    assert "\n" not in line


def test_choices_come_back_as_they_were_given() -> None:
    """A list is drawn as text and handed to the notebook as a list; 1, 1.0 and True are three choices."""
    layers = parse_range("layers", "choice([50], [50, 25])")
    assert layers.value("[50, 25]") == [50, 25]
    mixed = Range(name="x", kind="choice", choices=(1, 1.0, True))
    assert [type(mixed.value(drawn)) for drawn in (1, 1.0, True)] == [int, float, bool]


@pytest.mark.parametrize(
    "given", ["int(2, 8)", IntDistribution(2, 8), Range(name="x", kind="int", low=2, high=8)], ids=["text", "distribution", "range"]
)
def test_a_range_may_be_given_in_three_ways(given: object) -> None:
    """Text, Optuna's distribution and a range are the same."""
    assert range_of("x", given) == Range(name="x", kind="int", low=2, high=8)


def test_a_list_is_a_choice_and_a_number_is_nothing() -> None:
    """What is no range is refused by its type."""
    assert range_of("x", ["a", "b"]).choices == ("a", "b")
    with pytest.raises(UsageError, match=r"int is no range"):
        range_of("x", 3)


def parameter(name: str, note: str) -> Parameter:
    return Parameter(name=name, type="float", default=0.1, literal=True, help=note, cell=3, line=1)


def test_ranges_are_noted_behind_parameters_and_as_annotations() -> None:
    """A comment after other words, a string annotation and one in Annotated all count."""
    source = 'rate = 0.1\ndepth: "int(2, 8)" = 3\nkind: Annotated[str, "choice(a, b)"] = "a"\nname: "str" = "x"\n'
    notes = {"rate": "how fast it learns; sweep: float(0.01, 0.3, log)", "depth": "", "kind": "", "name": "sweep the floor"}
    found = noted_ranges({3: source}, {name: parameter(name, note) for name, note in notes.items()}, "nb.ipynb")
    assert {name: str(item) for name, item in found.items()} == {"depth": "int(2, 8)", "kind": "choice(a, b)", "rate": "float(0.01, 0.3, log)"}


def test_a_bad_note_is_told_with_its_place() -> None:
    """A slip of the pen in a note is not passed over."""
    with pytest.raises(UsageError, match=r"nb\.ipynb, cell 3: the space of 'rate'"):
        noted_ranges({}, {"rate": parameter("rate", "sweep: float(1, 0)")}, "nb.ipynb")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("int(2, 5)", [2, 3, 4, 5]),
        ("int(0, 10, step=4)", [0, 4, 8]),
        ("choice(a, 2)", ["a", 2]),
        ("float(0, 0.3, step=0.1)", [0.0, 0.1, 0.2, pytest.approx(0.3)]),
    ],
)
def test_a_grid_has_every_value(text: str, values: list[Any]) -> None:
    """The values of a range are all of them, in order."""
    assert parse_range("x", text).grid() == values


@pytest.mark.parametrize("text", ["float(0, 1)", "int(1, 100, log)", "float(0.1, 1, log)"])
def test_a_grid_wants_an_end(text: str) -> None:
    """A range without end is refused with the remedy."""
    with pytest.raises(UsageError, match="give it a step"):
        check_grid({"x": parse_range("x", text)})
