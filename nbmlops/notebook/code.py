"""Notebook code as Python: IPython's syntax is turned into calls before it is parsed."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from typing import Any

from nbmlops.pattern import pattern

__all__ = ["parse_code", "to_python"]

# What IPython's transformers look for, wherever a line may have it: a false alarm only costs the
# transformation, which reads tokens and leaves strings and operators alone.
_MAY_NEED_IPYTHON = pattern(
    r"""
    ^[ \t]*[%!?,;/]          # magics, shell, help, autocall
    | =[ \t]*[%!]            # x = %magic, x = !command
    | \?[ \t]*\r?$           # name?
    | ^[ \t]*(?:>>>|\.\.\.|In[ ]\[)  # pasted prompts
    | \A(?:[ \t]*\r?\n)*[ \t]+\S     # a cell that is indented as a whole
    """,
    re.MULTILINE | re.VERBOSE,
)
# `ls *.csv` and `pip install x` as a cell's only line: IPython takes it for a magic unless a variable has that name
_AUTOMAGIC = pattern(
    r"""
    (?P<name>
        alias|bookmark|cat|cd|conda|config|cp|debug|dhist|dirs|edit|env|gui|hist|history|killbgscripts|ldir|lf|lk|ll|load|load_ext|ls
        |lsmagic|lx|macro|magic|mamba|matplotlib|micromamba|mkdir|mv|notebook|page|pastebin|pdb|pdef|pdoc|pfile|pinfo|pinfo2|pip|popd|pprint
        |precision|prun|psearch|psource|pushd|pwd|pycat|pylab|quickref|recall|rehashx|reload_ext|rep|rerun|reset|reset_selective|rm|rmdir|run
        |save|sc|set_env|store|sx|system|tb|time|timeit|unalias|unload_ext|uv|who|who_ls|whos|xdel|xmode
    )
    (?![\w.])[ \t]*(?P<rest>(?![=,]).*)
    """,
    re.VERBOSE,
)
_LEADING_EMPTY_LINES = pattern(r"\A(?:[ \t]*\r?\n)*")


def to_python(source: str) -> str:
    """Turn IPython syntax into Python, where `source` has any.

    The first statement keeps its line number.

    Raises
    ------
    SyntaxError
        If IPython cannot make sense of it.
    """
    if _MAY_NEED_IPYTHON.search(source) is None:
        return source
    source = source.replace("\r\n", "\n")
    leading = _LEADING_EMPTY_LINES.match(source)
    skipped = leading.end() if leading else 0
    # IPython drops empty lines at the top, which would shift every line that a message names
    return "\n" * source.count("\n", 0, skipped) + str(_transformer().transform_cell(source[skipped:]))


@functools.lru_cache(maxsize=1024)  # a kernel reads every cell of its notebook again around each cell that runs
def parse_code(source: str) -> ast.Module:
    """Parse the code of a cell; equal code is one tree, which nobody may change.

    Raises
    ------
    SyntaxError
        If it is not Python with IPython's additions.
    """
    with warnings.catch_warnings():
        # an invalid escape is a warning of the kernel that runs the cell, not of each reading
        warnings.simplefilter("ignore")
        try:
            return _guard_automagic(ast.parse(to_python(source)), source)
        except SyntaxError:
            automagic = _automagic(source)
            if automagic is None:
                raise
            return ast.parse(automagic)
        except (RecursionError, MemoryError):
            raise SyntaxError("the code is nested too deeply") from None
        except ValueError as error:
            raise SyntaxError(str(error)) from None


def _automagic(source: str) -> str | None:
    """Write out the magic that a cell of one line, which is no Python, stands for."""
    found = _AUTOMAGIC.fullmatch(source.strip())
    if found is None:
        return None
    call = f"get_ipython().run_line_magic({found['name']!r}, {found['rest']!r})"
    return "\n" * source.count("\n", 0, source.index(found["name"])) + f"try: {found['name']}\nexcept NameError: {call}"


def _guard_automagic(tree: ast.Module, source: str) -> ast.Module:
    """Let ``ls`` and ``ls -l``, which are Python too, do without variables of these names."""
    match tree.body:
        case [ast.Expr() as line] if _AUTOMAGIC.fullmatch(source.strip()):
            handler = ast.ExceptHandler(type=ast.Name(id="NameError", ctx=ast.Load()), name=None, body=[ast.Pass()])
            guarded = ast.copy_location(ast.Try(body=[line], handlers=[handler], orelse=[], finalbody=[]), line)
            return ast.Module(body=[ast.fix_missing_locations(guarded)], type_ignores=tree.type_ignores)
    return tree


@functools.cache
def _transformer() -> Any:  # noqa: ANN401 - TransformerManager, imported only for a notebook that needs it
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415

    return TransformerManager()
