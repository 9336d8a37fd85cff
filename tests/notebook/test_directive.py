"""The options of a stage."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.errors import NotebookError
from nbmlops.notebook.directive import OPTIONS, Directive, directive_from_metadata, parse_directive, split_magic

EVERYTHING = (
    "train --in X,y --in C --out model --after split,clean --after load --file data/a.csv --writes 'out/*.png' --env HOME "
    '--metrics scores --require "roc_auc >= 0.7" --require "gap < max(0.1, champion.gap)" --if "C > 0" --retries 2 --timeout 1h30m '
    "--cpus 0.5 --memory 4GiB --gpus 1 --image team/image:1 --secret TOKEN --seed 7 --no-cache"
)
WHOLE = Directive(
    name="train",
    ins=("X", "y", "C"),
    outs=("model",),
    after=("split", "clean", "load"),
    files=("data/a.csv",),
    writes=("out/*.png",),
    env=("HOME",),
    metrics=("scores",),
    require=("roc_auc >= 0.7", "gap < max(0.1, champion.gap)"),
    condition="C > 0",
    retries=2,
    timeout_s=5400,
    cpus=0.5,
    memory_bytes=4 << 30,
    gpus=1,
    image="team/image:1",
    secrets=("TOKEN",),
    seed=7,
    cache=False,
)


def test_magic_line_gives_every_option() -> None:
    """Each option of the table reaches its field."""
    assert parse_directive(EVERYTHING) == WHOLE


def test_metadata_give_the_same_directive() -> None:
    """Lists, text with commas and plain JSON values say the same as the magic line."""
    options = {
        "in": ["X", "y", "C"],
        "out": "model",
        "after": "split,clean,load",
        "file": ["data/a.csv"],
        "writes": "out/*.png",
        "env": "HOME",
        "metrics": ["scores"],
        "require": ["roc_auc >= 0.7", "gap < max(0.1, champion.gap)"],
        "if": "C > 0",
        "retries": 2,
        "timeout": "1h30m",
        "cpus": 0.5,
        "memory": "4GiB",
        "gpus": 1,
        "image": "team/image:1",
        "secret": ["TOKEN"],
        "seed": 7,
        "no-cache": True,
    }
    assert directive_from_metadata("train", options) == WHOLE


def test_given_options_give_the_directive_back() -> None:
    """What a directive says can be written as metadata."""
    assert directive_from_metadata("train", WHOLE.given_options()) == WHOLE
    assert Directive(name="a").given_options() == {}


def test_table_names_every_field_once() -> None:
    """No field of a directive is without an option."""
    assert sorted(option.field for option in OPTIONS) == sorted({item.name for item in fields(Directive)} - {"name", "kept_tags"})


def test_name_alone_leaves_inference_on() -> None:
    """Without options inputs and outputs are to be inferred."""
    directive = parse_directive("train")
    assert (directive.ins, directive.outs, directive.cache) == (None, None, True)


@pytest.mark.parametrize(
    ("line", "outs"), [('a --out ""', ()), ("a --out=", ()), ("a --out=x,y", ("x", "y")), ("--out x a", ("x",)), ("a --out x,x", ("x",))]
)
def test_forms_of_a_list(line: str, outs: tuple[str, ...]) -> None:
    """An empty list says that there is none; the equals sign and any order work."""
    assert parse_directive(line).outs == outs


@pytest.mark.parametrize(
    ("options", "cache"), [({"cache": False}, False), ({"cache": True}, True), ({"no-cache": True}, False), ({"no-cache": False}, True)]
)
def test_cache_in_metadata(options: dict[str, Any], cache: bool) -> None:  # noqa: FBT001
    """Both names of the cache option work."""
    assert directive_from_metadata("a", options).cache is cache


def test_metadata_skip_what_runs_write() -> None:
    """An executed notebook, with each stage's status in its metadata, can be read again."""
    assert directive_from_metadata("a", {"run": {"status": "ran"}, "status": "ran", "seed": None}) == Directive(name="a")


def test_result_options_hold_what_changes_the_result() -> None:
    """The stage key sees neither the name nor what only says how to run."""
    assert sorted(WHOLE.result_options()) == ["env", "file", "if", "in", "metrics", "out", "seed", "writes"]
    assert parse_directive("a --retries 3 --timeout 1m --no-cache --after b").result_options() == {}


def test_result_options_do_not_depend_on_order() -> None:
    """Two lists of the same names are the same option."""
    assert parse_directive("a --out x,y").result_options() == parse_directive("b --out y --out x").result_options()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "has no stage name; write: %%mlstage NAME"),
        ("--seed 1", "has no stage name"),
        ("1a", "stage name '1a'"),
        ("a.b", "stage name 'a.b'"),
        ("a" * 64, "up to 63"),
        ("é", "stage name"),
        ("a --ouput x", "unknown option 'ouput'; did you mean --out?"),
        ("a --zzz x", "known are: in, out,"),
        ("a -o x", "two dashes"),
        ("a b", "unexpected word 'b'"),
        ("a --out x, y", "without spaces"),
        ("a --out x ,y", "without spaces: --out NAME,..."),
        ("a --require roc_auc >= 0.7", "quote the expression"),
        ("a --out", "gives --out no value; write: --out NAME,..."),
        ("a --out --seed 1", "gives --out no value"),
        ("a --out x,,y", "empty item"),
        ("a --out class", "value 'class'"),
        ("a --out x.y", "value 'x.y'"),
        ('a --after ""', "gives --after nothing"),
        ("a --after 9", "names of stages"),
        ("a --env A-B", "environment variables"),
        ("a --seed 1 --seed 2", "gives --seed twice"),
        ("a --seed -1", "whole number from 0"),
        ("a --seed 4294967296", "whole number from 0 to 4294967295"),
        ("a --retries 1.5", "whole number"),
        ("a --retries ²", "whole number"),
        ("a --timeout 0", "time above 0"),
        ("a --timeout 10x", "10m or 1h30m"),
        ("a --timeout ''", "time above 0"),
        ("a --cpus nan", "number above 0"),
        ("a --cpus inf", "number above 0"),
        ("a --cpus " + "9" * 400, "number above 0"),
        ("a --memory 4GX", "4GiB, 500MB"),
        ("a --memory 4iB", "4GiB, 500MB"),
        ("a --memory 0.1", "at least one byte"),
        ("a --image 'a b'", "image reference"),
        ("a --no-cache=1", "write only --no-cache"),
        ("a --no-cache 1", "unexpected word '1'"),
        ("a --if 'x if y else z'", "is not allowed"),
        ("a --require 'open(1)'", "is not allowed"),
        ("a --require '1 <'", "Python cannot read it"),
        ("a --require \"'auc >= 0.9'\"", "names nothing"),
        ("a --require 'auc - 0.9'", "compares nothing"),
        ("a --out 'x", "close the quotes"),
        ("a --out x \\", "write a backslash twice"),
    ],
)
def test_bad_line_is_one_line_that_names_the_cell(line: str, part: str) -> None:
    """A wrong directive says what is wrong, in which cell, and what to write."""
    with pytest.raises(NotebookError) as caught:
        parse_directive(line, cell=3, notebook="n.ipynb")
    text = str(caught.value)
    assert caught.value.code == "NB105"
    assert text.startswith("n.ipynb, cell 3: %%mlstage ")
    assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "options",
    [
        [],
        "out=x",
        {"ouput": "x"},
        {"out": 1},
        {"out": [1]},
        {"out": {"x": 1}},
        {"seed": True},
        {"seed": 1.0},
        {"seed": "x"},
        {"timeout": True},
        {"timeout": 10**400},
        {"memory": []},
        {"cpus": float("nan")},
        {"image": 1},
        {"cache": "no"},
        {"no-cache": 1},
        {"if": 1},
        {"if": ["x"]},
        {"require": [1]},
        {"require": ""},
        {"file": ["a\nb"]},
        {"after": []},
        {1: 2},
    ],
)
def test_bad_metadata_are_one_line_that_names_the_cell(options: object) -> None:
    """Wrong types in metadata are told like wrong words in the magic line."""
    with pytest.raises(NotebookError) as caught:
        directive_from_metadata("a", options, cell=3, notebook="n.ipynb")
    assert str(caught.value).startswith("n.ipynb, cell 3: the cell's metadata")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1d", 86400), ("0.5h", 1800), ("1H", 3600), ("2m5", 125)],
)
def test_forms_of_a_duration(text: str, seconds: float) -> None:
    """A time is in seconds or in units, the largest first."""
    assert parse_directive(f"a --timeout {text}").timeout_s == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("4GiB", 4 << 30), ("500MB", 500_000_000), ("4Gi", 4 << 30), ("4g", 4_000_000_000), ("1.5KiB", 1536), ("8B", 8)],
)
def test_forms_of_a_size(text: str, size: int) -> None:
    """A size is in bytes, or in decimal or binary units."""
    assert parse_directive(f"a --memory {text}").memory_bytes == size


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%%mlstage a --out x\ny = 1\n", ("a --out x", "\ny = 1\n")),
        ("\n  \n%%mlstage a\ny", ("a", "\n\n\ny")),
        ("%%mlstage", ("", "")),
        ("%%mlstage a\r\ny\r\n", ("a", "\ny\r\n")),
        ("  %%mlstage a\n  y", ("a", "\n  y")),
        ("%%mlstage a\n%%capture out\ny", ("a", "\n%%capture out\ny")),
        ("%%mlstages a\ny", None),
        ("%mlstage a\ny", None),
        ("# note\n%%mlstage a\ny", None),
        ("", None),
    ],
)
def test_magic_is_split_off_with_line_numbers_kept(source: str, expected: tuple[str, str] | None) -> None:
    """The body has an empty line where the directive stood."""
    assert split_magic(source) == expected


@given(st.text())
def test_any_line_is_a_directive_or_refused(line: str) -> None:
    """No text makes the parser fail in another way."""
    try:
        parse_directive(line)
    except NotebookError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
