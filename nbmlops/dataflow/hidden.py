"""Names that hide in strings: pandas queries, shell commands, and IPython magics, as `TransformerManager` writes them."""

from __future__ import annotations

import ast
import re
from string import Formatter
from typing import TYPE_CHECKING, Literal

from nbmlops.dataclass import dataclass
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HISTORY",
    "Magic",
    "cell_magic",
    "is_history",
    "is_last_value",
    "line_magic",
    "parse_hidden",
    "query_names",
    "shell_expressions",
    "shell_variables",
    "sql_names",
]

# what IPython puts into the namespace for earlier inputs and outputs
HISTORY = frozenset({"_", "__", "___", "In", "Out", "_i", "_ii", "_iii", "_ih", "_oh", "_dh", "_exit_code"})
_LAST_VALUES = frozenset({"_", "__", "___"})

_QUERY_NAME = pattern(r"@\s*([^\W\d]\w*)")
_SHELL_NAME = pattern(r"(?<!\$)\$([^\W\d]\w*)")
_OPTION = pattern(r"\s*-(?:[lsTD]\s+[^\s-]\S*|-?\w[\w-]*(?:[= ]\s*\d+)?)(?=\s|$)\s*")

# cell magics whose body Python never sees
_FOREIGN = frozenset(
    {"html", "HTML", "javascript", "js", "latex", "markdown", "svg", "SVG", "writefile", "file"},
)
_SHELLS = frozenset({"bash", "sh", "script", "cmd", "perl", "ruby", "system", "sx", "!", "python", "python2", "python3", "pypy"})
_SILENT = frozenset(
    {
        "load_ext", "reload_ext", "unload_ext", "matplotlib", "config", "autoreload", "pinfo", "pinfo2", "psearch", "psource", "pdoc", "pdef",
        "pfile", "time", "timeit", "prun", "pip", "conda", "mamba", "uv", "xmode", "colors",
        "lsmagic", "magic", "quickref", "ls", "pwd", "history", "hist", "doctest_mode", "logstart", "logstop", "env", "cd", "set_env",
        "capture", "debug", "pdb", "tb",
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Magic:
    """What a magic does, as far as names go.

    Parameters
    ----------
    code : tuple of (str, "here" or "aside" or "perhaps", int)
        Python that it runs, with how: in the notebook's namespace; in a function of its own; or in a way that we do not know. Last, the
        offset of its first line from the magic's line.
    binds : tuple of str
        Names that it binds.
    expands : str
        Text in which IPython replaces ``{expression}`` and ``$name``.
    dynamic, state : str
        What hides names, or changes the process; "" for nothing.
    environment : str
        The environment variable that it reads.
    written : str
        The file that it writes.
    """

    code: tuple[tuple[str, Literal["here", "aside", "perhaps"], int], ...] = ()
    binds: tuple[str, ...] = ()
    expands: str = ""
    dynamic: str = ""
    state: str = ""
    environment: str = ""
    written: str = ""


def is_history(name: str) -> bool:
    """Tell whether IPython binds `name` to an earlier input, output or exit code: ``_``, ``Out``, ``_12``, ``_i3``."""
    return name in HISTORY or (name[:1] == "_" and name[1:].removeprefix("i").isdecimal())


def is_last_value(name: str) -> bool:
    """Tell whether `name` is one of the last three values shown, whatever the numbers of their cells."""
    return name in _LAST_VALUES


def query_names(text: str) -> list[str]:
    """List the variables that a pandas query names with ``@``."""
    return _QUERY_NAME.findall(text) if "@" in text else []


def shell_variables(text: str) -> list[str]:
    """List the ``$name`` of a command line: a variable of Python if there is one, else of the environment."""
    return _SHELL_NAME.findall(text) if "$" in text else []


def shell_expressions(text: str) -> Iterator[ast.expr]:
    """Parse the ``{expression}`` parts of a command line; what does not parse is left to the shell, as IPython does."""
    if "{" not in text:
        return
    try:
        fields = [field for _, field, _, _ in Formatter().parse(text) if field]
    except ValueError:
        return
    for field in fields:
        try:
            yield ast.parse(field.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            continue


def parse_hidden(code: str) -> ast.Module | None:
    """Parse Python from a string; it may hold IPython syntax. None if it is neither."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        pass
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415

    try:
        return ast.parse(TransformerManager().transform_cell(code))
    except (SyntaxError, ValueError, RecursionError):
        return None


def line_magic(name: str, line: str) -> Magic:
    """Tell what ``%name line`` does."""
    if name in {"time", "timeit", "prun"}:
        return Magic(code=((_without_options(line), "aside" if name == "timeit" else "here", 0),), expands=line)
    if name in {"env", "set_env"}:
        return _environment_magic(line)
    if name in {"run", "pylab", "store", "reset", "reset_selective", "xdel", "load", "loadpy", "macro", "rerun", "recall", "sx", "system", "sc"}:
        return Magic(dynamic=f"%{name}", expands=line, binds=_stored(line) if name == "store" else ())
    if name in {"cd", "pushd", "popd", "precision", "pprint", "alias", "unalias", "automagic", "rehashx"}:
        return Magic(state=f"%{name}", expands=line)
    return Magic(expands=line, dynamic="" if name in _SILENT or name.startswith("ml") else f"%{name}")


def cell_magic(name: str, line: str, body: str) -> Magic:
    """Tell what ``%%name line`` does with the cell's other lines."""
    if name == "capture":
        words = [word for word in line.split() if not word.startswith("-")]
        return Magic(code=((body, "here", 1),), binds=tuple(words[:1]), expands=line)
    if name == "timeit":
        # the rest of the line is the setup of the code below it
        return Magic(code=((f"{_without_options(line)}\n{body}", "aside", 0),), expands=line)
    if name in {"time", "prun"}:
        return Magic(code=((_without_options(line), "here", 0), (body, "here", 1)), expands=line)
    if name in _FOREIGN:
        words = [word for word in line.split() if word != "-a"] if name in {"writefile", "file"} else []
        return Magic(expands=line, written=words[0] if len(words) == 1 else "")
    if name in _SHELLS:
        text = f"{line}\n{body}" if name in {"!", "sx", "system"} else line
        return Magic(expands=text, dynamic=f"%%{name}", binds=tuple(re.findall(r"--(?:out|err|proc)[= ]\s*([^\W\d]\w*)", line)))
    return Magic(code=((body, "perhaps", 1),), expands=line, dynamic=f"%%{name}")


def _without_options(line: str) -> str:
    while match := _OPTION.match(line):
        line = line[match.end() :]
    return line.strip()


def _stored(line: str) -> tuple[str, ...]:
    words = line.split()
    return tuple(word for word in words if word.isidentifier()) if "-r" in words else ()


def _environment_magic(line: str) -> Magic:
    name, equals, _ = line.partition("=")
    words = name.split()
    if equals or len(words) > 1:
        return Magic(state="%env", expands=line)
    return Magic(environment=words[0] if words else "")


_SQL_TABLE = pattern(r"\b(?:from|join|describe|summarize)\s+([^\W\d]\w*)", re.IGNORECASE)


def sql_names(text: str) -> list[str]:
    """List the tables that a query names: DuckDB and others take variables for tables."""
    return _SQL_TABLE.findall(text)
