"""Code that reads the environment or changes the state of the process."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["dotted", "environment_variable", "is_state", "is_state_call"]

_CUSTOM = {"pd": "pandas", "np": "numpy", "plt": "matplotlib.pyplot", "mpl": "matplotlib", "sns": "seaborn"}

_OBJECTS = (
    "os.environ", "sys.path", "sys.modules", "sys.meta_path", "pandas.options", "matplotlib.rcParams", "matplotlib.pyplot.rcParams",
    "decimal.getcontext()",
)  # fmt: skip
_CHANGING = frozenset(
    {"append", "insert", "extend", "remove", "pop", "popitem", "clear", "update", "setdefault", "reverse", "sort", "__setitem__", "__delitem__"}
)
_CALLS = frozenset(
    {
        "os.chdir", "os.fchdir", "os.putenv", "os.unsetenv", "os.umask", "os.environ.update", "sys.setrecursionlimit", "time.tzset",
        "pandas.set_option", "pandas.reset_option", "pandas.set_eng_float_format", "numpy.seterr", "numpy.set_printoptions", "locale.setlocale",
        "decimal.setcontext", "matplotlib.use", "matplotlib.rc", "matplotlib.pyplot.rc", "matplotlib.pyplot.style.use", "matplotlib.style.use",
        "matplotlib.pyplot.switch_backend", "seaborn.set_theme", "seaborn.set", "seaborn.set_style", "seaborn.set_context",
        "seaborn.set_palette", "torch.set_default_dtype", "torch.set_default_device", "torch.set_num_threads", "socket.setdefaulttimeout",
        "warnings.simplefilter", "warnings.filterwarnings", "warnings.resetwarnings", "site.addsitedir", "dotenv.load_dotenv", "load_dotenv",
    },
)  # fmt: skip


def dotted(node: ast.expr, imports: Mapping[str, str]) -> str:
    """Write ``a.b.c`` or ``a.f().c`` with the first name's import or usual meaning put in; "" if it is anything else.

    Parameters
    ----------
    node : ast.expr
        A name, attribute or call.
    imports : mapping of str to str
        Names bound by an import, to what they are.
    """
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            parts.append("()")
            node = node.func
        elif isinstance(node, ast.Name):
            parts.append(imports.get(node.id) or _CUSTOM.get(node.id, node.id))
            return ".".join(reversed(parts)).replace(".()", "()")
        else:
            return ""


def is_state(name: str) -> bool:
    """Tell whether an object, by dotted name, is state of the process."""
    return name.startswith(_OBJECTS)


def is_state_call(name: str) -> bool:
    """Tell whether calling `name` changes the state of the process."""
    owner, _, method = name.rpartition(".")
    return name in _CALLS or (method in _CHANGING and is_state(owner))


def environment_variable(node: ast.expr, imports: Mapping[str, str]) -> str | None:
    """Give the environment variable that an expression reads by literal name."""
    if isinstance(node, ast.Subscript):
        return _text(node.slice) if dotted(node.value, imports) == "os.environ" else None
    if isinstance(node, ast.Compare):
        known = len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn) and dotted(node.comparators[0], imports) == "os.environ"
        return _text(node.left) if known else None
    if isinstance(node, ast.Call) and node.args:
        known = dotted(node.func, imports) in {"os.getenv", "os.environ.get", "os.environ.setdefault", "os.environ.pop"}
        return _text(node.args[0]) if known else None
    return None


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
