"""Parameters as a user gives them: read as YAML 1.2, checked against the notebook's own."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbmlops.errors import UsageError
from nbmlops.pipeline.model import Parameter
from nbmlops.runner.task import StageTask
from nbmlops.session.parameters import check_parameters, parse_value, read_parameter_file

if TYPE_CHECKING:
    from pathlib import Path


def declared(name: str, default: Any, *, literal: bool = True) -> dict[str, Parameter]:
    return {name: Parameter(name=name, type=type(default).__name__, default=default, literal=literal, help="", cell=1, line=1)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("yes", "yes"),
        ("true", True),
        ("[a, b]", ["a", "b"]),
        ("null", None),
        ("0o17", 15),
        ("017", 17),
        ("'1'", "1"),
        ("{a: 1}", {"a": 1}),
        ("2013-01-01", "2013-01-01"),
    ],
)
def test_a_value_is_yaml_1_2(text: str, value: Any) -> None:
    """Words and numbers mean what YAML 1.2 says, not what YAML 1.1 said."""
    found = parse_value("x", text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[&a 1, *a]", "[1", "!!python/object/apply:os.system [ls]"])
def test_aliases_tags_and_broken_yaml_are_refused(text: str) -> None:
    """What is not plain data is one error that names the parameter."""
    with pytest.raises(UsageError, match="'x'"):
        parse_value("x", text)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """A slip of the pen is told apart from a wrong idea."""
    with pytest.raises(UsageError, match="did you mean 'learning_rate'"):
        check_parameters({"learnin_rate": 1.0}, declared("learning_rate", 0.1), "n.ipynb")


@pytest.mark.parametrize("name", ["not valid", "class", "p\nimport os", ""])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    """A name never becomes code."""
    with pytest.raises(UsageError, match="no name of a parameter"):
        check_parameters({name: 1}, declared("x", 1), "n.ipynb")


@pytest.mark.parametrize(
    ("default", "given", "kept"),
    [(0.5, 1, 1.0), (1, 2.5, 2.5), (1, None, None), (None, "a", "a"), ("a", "b", "b"), (True, False, False), ([1], [2, "x"], [2, "x"])],
)
def test_a_value_of_the_default_s_type_is_kept(default: Any, given: Any, kept: Any) -> None:
    """An int may become a float, and null stands for nothing given."""
    found = check_parameters({"x": given}, declared("x", default), "n.ipynb")["x"]
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(("default", "given"), [(0.5, "a"), (1, True), (True, 1), ("a", 1), ([1], {"a": 1}), (1, [1])])
def test_a_value_that_the_default_rules_out_is_refused(default: Any, given: Any) -> None:
    """The message names the parameter, the cell and the wanted type."""
    with pytest.raises(UsageError, match=f"cell 1.*'x'.*give an? {type(default).__name__}"):
        check_parameters({"x": given}, declared("x", default), "n.ipynb")


@pytest.mark.parametrize("given", [{1: 2}, (1, 2), {1, 2}, b"x", 1j, object()])
def test_a_value_that_would_not_come_back_is_refused(given: Any) -> None:
    """Nothing is turned into its text silently."""
    with pytest.raises(UsageError, match="would not come back"):
        check_parameters({"x": given}, declared("x", None), "n.ipynb")


class _Word(str):
    __slots__ = ()


class _Level(enum.IntEnum):
    HIGH = 3


_SCALARS = st.none() | st.booleans() | st.integers() | st.integers(2**53, 2**70) | st.floats() | st.text(st.characters(codec=None), max_size=4)
_PLAIN = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3), max_leaves=6)
_ODD = st.sampled_from(
    [
        *(np.float64(0.1), np.int64(3), np.bool_(1), np.str_("a"), np.array([1]), Decimal("0.1"), Fraction(1, 3), 1j, dt.date(2020, 1, 1)),
        *(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.timedelta(1), b"x", bytearray(b"x"), (1, 2), {1}, frozenset({1}), range(3), {1: 2}, {None: 1}),
        *(_Word("a"), _Level.HIGH, OrderedDict(a=1), [(1,)], {"a": {1}}, object(), int, 10**400, -(10**400), -0.0, 2**53 + 1),
    ]
)


def _equal(left: Any, right: Any) -> bool:
    """Tell whether two values are the same in type and value, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return repr(left) == repr(right)


@settings(max_examples=300)
@given(default=st.sampled_from([None, 0.5, 1, True, "a", [1], {"a": 1}, (1,)]), given_=_PLAIN | _ODD)
@example(default=0.5, given_=10**400)
@example(default=0.5, given_=2**53 + 1)
def test_a_value_comes_back_as_it_was_or_is_refused(default: Any, given_: Any) -> None:
    """Whatever is given, what a stage process finds is the very value, or the same number as a float where the default is one."""
    try:
        kept = check_parameters({"x": given_}, declared("x", default), "n.ipynb")
    except UsageError:
        return
    fields = dict.fromkeys(("run_id", "attempt", "notebook", "folder", "stage", "store", "project_root"), "")
    told = StageTask(**fields, steps=(), parameters=kept)  # type: ignore[arg-type]
    found = StageTask.from_json(json.loads(json.dumps(told.to_json()).encode())).parameters["x"]
    widened = type(given_) is int and type(default) is float
    assert _equal(found, float(given_) if widened else given_)
    assert not widened or (found == given_ and math.isfinite(found))


def test_a_file_gives_names_and_values(tmp_path: Path) -> None:
    """A parameter file is a YAML mapping."""
    path = tmp_path / "p.yaml"
    path.write_text("learning_rate: 0.2\nnames: [a]\n")
    assert read_parameter_file(path) == {"learning_rate": 0.2, "names": ["a"]}


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just text", "a: [1"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """The message names the file."""
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"p\.yaml"):
        read_parameter_file(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is one line."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_parameter_file(tmp_path / "none.yaml")
