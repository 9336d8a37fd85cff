"""Lines of `%%mlexpect`: plain values and nothing else."""

from __future__ import annotations

import pytest

from nbmlops.errors import UsageError
from nbmlops.gates.expectationlines import parse_lines

TAKEN = {
    "expect_a distance 1 6000": (("distance", 1, 6000), {}),
    "  expect_a 'a b' [1, 'x y'] # why": (("a b", [1, "x y"]), {}),
    "expect_a x -1.5 mostly=0.9 severity=warning": (("x", -1.5), {"mostly": 0.9, "severity": "warning"}),
    "expect_a(column='x', min_value=-1, set=[True, None, 'a'])": ((), {"column": "x", "min_value": -1, "set": [True, None, "a"]}),
    "expect_a('x', 1)": (("x", 1), {}),
    "expect_a x '^[a-z]+$' {'a': (1, 2)}": (("x", "^[a-z]+$", {"a": [1, 2]}), {}),
    "expect_a x true null ''": (("x", True, None, ""), {}),
    "expect_a a.b:c y#2 \"#1\" 'it\\'s'": (("a.b:c", "y#2", "#1", "it's"), {}),
}
REFUSED = {
    "expect_a x=__import__('os')": "__import__",
    "expect_a(x=open('/etc/passwd').read())": "no plain value",
    "expect_a(*a)": r"\*a",
    "expect_a(**a)": r"\*\*",
    "expect_a(x=f'{a}')": "no plain value",
    "expect_a(x=1 if a else 2)": "no plain value",
    "expect_a(x=b'1')": "no plain value",
    "expect_a(x=1e999)": "no plain value",
    "expect_a(x=-1e999)": "no plain value",
    "expect_a(x=1); y": "cannot be read",
    "expect_a(x=1, x=2)": "twice",
    "expect_a x [1": r"no closing \]",
    "expect_a x 'a": "no closing '",
    "expect_a x a=1 2": "behind values",
    "expect_a x a=1 a=2": "twice",
    "expect_a x ^a+$": "quotes",
    "1x": "does not begin",
    "x.y(1)": "does not begin",
    "expect_a " + "-" * 9000 + "1": "no plain value",
    "expect_a " + "[" * 4000 + "]" * 4000: "no plain value",
    "expect_a " + "x" * 20_000: "longer than",
}


@pytest.mark.parametrize(("text", "found"), TAKEN.items())
def test_lines_are_names_and_literals(text: str, found: tuple[object, object]) -> None:
    """Values by place and by name, words without quotes, lists with their blanks."""
    (line,) = parse_lines(text)
    assert (line.name, line.values, line.named) == ("expect_a", *found)


@pytest.mark.parametrize(("text", "said"), REFUSED.items(), ids=[text[:30] for text in REFUSED])
def test_anything_else_is_refused_with_its_line(text: str, said: str) -> None:
    """No call, no name, no operator is evaluated."""
    with pytest.raises(UsageError, match=f"line 3 .*{said}"):
        parse_lines(f"\n{text}", first_line=2)


def test_blank_lines_and_comments_are_counted() -> None:
    """The number is that of the line in its cell."""
    assert [line.number for line in parse_lines("# a\n\nexpect_a x\n  # b\nexpect_b y", first_line=2)] == [4, 6]
