"""An expression that is compiled when it is used behaves as a compiled one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from nbmlops.pattern import pattern


def test_it_answers_as_a_compiled_one() -> None:
    """Methods, attributes and flags."""
    late, compiled = pattern(r"a(?P<rest>b+)", re.IGNORECASE), re.compile(r"a(?P<rest>b+)", re.IGNORECASE)
    for _ in range(2):
        assert late.findall("abb xAB") == compiled.findall("abb xAB") == ["bb", "B"]
        assert late.sub("-", "abAB") == compiled.sub("-", "abAB")
    assert (late.pattern, late.flags, late.groupindex) == (compiled.pattern, compiled.flags, compiled.groupindex)


def test_it_is_compiled_when_it_is_used() -> None:
    """A text that is no expression is an error then, not before."""
    late = pattern("(")
    with pytest.raises(re.error, match="unterminated"):
        late.match("")


def test_a_command_compiles_none_of_ours_before_it_reads_a_notebook() -> None:
    """Of all the expressions that importing the command reaches."""
    code = (
        "import re, sys\n"
        "made, plain = [], re._compiler.compile\n"
        "def noted(*asked):\n"
        "    frame = sys._getframe(1)\n"
        "    while frame.f_globals['__name__'].startswith('re'): frame = frame.f_back\n"
        "    made.append(frame.f_globals['__name__'])\n"
        "    return plain(*asked)\n"
        "re._compiler.compile = noted\n"
        "import nbmlops.session.batch, nbmlops.cli.run\n"
        "print([name for name in made if name.startswith('nbmlops')], len(made))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.startswith("[] "), told
    assert told.split()[-1] != "0", "nothing was compiled at all: the standard library's are seen too"
