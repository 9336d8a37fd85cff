"""Notebook code as Python: IPython's syntax is turned into calls before it is parsed."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from typing import Any

__all__ = ["parse_code", "to_python"]

# What IPython's transformers look for, wherever a line may have it: a false alarm only costs the
# transformation, which reads tokens and leaves strings and operators alone.
_MAY_NEED_IPYTHON = re.compile(
    r"""
    ^[ \t]*[%!?,;/]          # magics, shell, help, autocall
    | =[ \t]*[%!]            # x = %magic, x = !command
    | \?[ \t]*\r?$           # name?
    | ^[ \t]*(?:>>>|\.\.\.|In[ ]\[)  # pasted prompts
    | \A(?:[ \t]*\r?\n)*[ \t]+\S     # a cell that is indented as a whole
    """,
    re.MULTILINE | re.VERBOSE,
)
_LEADING_EMPTY_LINES = re.compile(r"\A(?:[ \t]*\r?\n)*")


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


def parse_code(source: str) -> ast.Module:
    """Parse the code of a cell.

    Raises
    ------
    SyntaxError
        If it is not Python with IPython's additions.
    """
    with warnings.catch_warnings():
        # an invalid escape is a warning of the kernel that runs the cell, not of each reading
        warnings.simplefilter("ignore")
        try:
            return ast.parse(to_python(source))
        except (RecursionError, MemoryError):
            raise SyntaxError("the code is nested too deeply") from None
        except ValueError as error:
            raise SyntaxError(str(error)) from None


@functools.cache
def _transformer() -> Any:  # noqa: ANN401 - TransformerManager, imported only for a notebook that needs it
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415

    return TransformerManager()
