"""What of the whole process is compared before and after a stage's own cells: options and registries of the interpreter and of libraries."""

from __future__ import annotations

import functools
import logging
import os
import sys
import sysconfig
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LOOKS", "Look", "State", "kind_of", "library_folders"]

State = dict[str, str]
_ACCESSOR = "the accessor of pandas "
# what IPython's inline backend sets by itself when pyplot is first used
_INLINE = ("backend", "interactive", "toolbar", "figure.", "savefig.dpi", "font.size")
_DIALECT = ("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict")
_SHOWING = (
    "matplotlib", "numpy's print options", "pandas option display", "pandas option plotting", "pandas option styler",
    "the logger", "the root logger", "logging", "the filters of warnings",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the process.

    Parameters
    ----------
    module : str
        The module that must be loaded for it.
    look : callable
        Returns what there is, each with a text that differs once it was changed.
    grows : bool
        Whether things come and go: then one that is missing counts as empty; else only what was there before is compared.
    registers : bool
        Whether modules register something there when they are imported, which is theirs to do.
    """

    module: str
    look: Callable[[], State]
    grows: bool = False
    registers: bool = False

    def differing(self, before: State, after: State) -> list[str]:
        """Return what differs between two looks."""
        names = before.keys() | after.keys() if self.grows else before.keys() & after.keys()
        return sorted(name for name in names if before.get(name) != after.get(name))


def kind_of(what: str, after: str) -> tuple[str, str]:
    """Return the kind of a change and what was changed, as effects hold them: ``process`` if it can change values, ``shown`` if what is shown."""
    if what.startswith(_ACCESSOR):
        return "accessor", what.removeprefix(_ACCESSOR)
    # ignoring or warning changes what is shown; raising and calling change what comes out
    shows = what == "numpy's error handling" and "raise" not in after and "call" not in after
    return "shown" if shows or what.startswith(_SHOWING) else "process", what


@functools.cache
def library_folders() -> tuple[str, ...]:
    """Return the folders that Python and distributions are installed in."""
    return tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _os() -> State:
    with suppress(OSError):
        return {"the working directory": os.getcwd()}  # noqa: PTH109 - the text that code sees
    return {"the working directory": ""}


def _sys() -> State:
    return {
        "sys.path": repr([str(entry) for entry in sys.path if not str(entry).startswith(library_folders())]),
        "the limit of digits of an int": str(sys.get_int_max_str_digits()),
    }


def _recursion() -> State:
    return {"the recursion limit": str(sys.getrecursionlimit())}


def _time() -> State:
    return {"the time zone": f"{time.tzname} {time.timezone} {time.altzone}"}


def _warnings() -> State:
    errors = [item for item in warnings.filters if item[0] == "error"]
    others = [item for item in warnings.filters if item[0] != "error"]
    return {"the warnings that are raised as errors": repr(errors), "the filters of warnings": repr(others)}


def _calendar() -> State:
    calendar: Any = sys.modules["calendar"]
    return {"the first weekday of calendar": str(calendar.firstweekday())}


def _csv() -> State:
    csv: Any = sys.modules["csv"]
    found = {name: csv.get_dialect(name) for name in csv.list_dialects()}
    return {f"the csv dialect {name!r}": repr([getattr(dialect, item) for item in _DIALECT]) for name, dialect in found.items()}


def _mimetypes() -> State:
    module: Any = sys.modules["mimetypes"]
    if not module.inited:
        return {}
    added = _media_types(module) ^ _usual_media_types()
    return {"the types of mimetypes": repr(sorted(added, key=repr))} if added else {}


@functools.cache
def _usual_media_types() -> frozenset[Any]:
    """Return what `mimetypes` knows by itself, which it learns when it is first asked."""
    module: Any = sys.modules["mimetypes"]
    usual = module.MimeTypes()
    for path in filter(os.path.isfile, module.knownfiles):
        usual.read(path)
    return _held_types(*usual.types_map, usual.encodings_map, usual.suffix_map)


def _media_types(module: Any) -> frozenset[Any]:  # noqa: ANN401
    return _held_types(module.common_types, module.types_map, module.encodings_map, module.suffix_map)


def _held_types(*tables: Mapping[str, str]) -> frozenset[Any]:
    return frozenset((place, item) for place, table in enumerate(tables) for item in table.items())


def _logging() -> State:
    root = logging.root
    found = {f"the logger {name!r}": _logger(item) for name, item in list(root.manager.loggerDict.items()) if isinstance(item, logging.Logger)}
    found |= {"the root logger": _logger(root), "logging.disable": str(root.manager.disable or "")}
    return {what: state for what, state in found.items() if state}


def _logger(logger: logging.Logger) -> str:
    """Return what decides what a logger shows; "" for one that nobody has set up, or that got what the first `logging.info` sets up."""
    handlers = [(type(item).__name__, item.level, getattr(item.formatter, "_fmt", "")) for item in logger.handlers]
    usual = ("StreamHandler", logging.NOTSET, logging.BASIC_FORMAT)
    kept = [item for item in handlers if item != usual and item[0] != "NullHandler"]
    level = logging.NOTSET if logger is logging.root and logger.level == logging.WARNING else logger.level
    state = (level, logger.disabled, logger.propagate, kept, len(logger.filters))
    return "" if state == (logging.NOTSET, False, True, [], 0) else repr(state)


def _decimal() -> State:
    decimal: Any = sys.modules["decimal"]
    context = decimal.getcontext()
    traps = sorted(kind.__name__ for kind, trapped in context.traps.items() if trapped)
    return {"the decimal context": f"{context.prec} {context.rounding} {context.Emin} {context.Emax} {context.capitals} {context.clamp} {traps}"}


def _locale() -> State:
    locale: Any = sys.modules["locale"]
    return {"the locale": locale.setlocale(locale.LC_ALL)}


def _numpy() -> State:
    numpy: Any = sys.modules["numpy"]
    return {
        "numpy's error handling": repr(sorted(numpy.geterr().items())),
        "numpy's print options": repr(sorted((name, repr(value)) for name, value in numpy.get_printoptions().items())),
    }


def _pandas() -> State:
    config: Any = sys.modules["pandas._config.config"]  # the public listing of options is text
    return {f"pandas option {name}": repr(config.get_option(name)) for name in list(config._registered_options) if name not in _deprecated(config)}  # noqa: SLF001


def _accessors() -> State:
    pandas: Any = sys.modules["pandas"]
    kinds = (pandas.DataFrame, pandas.Series, pandas.Index)
    return {f"{_ACCESSOR}{name}": str(id(vars(kind).get(name))) for kind in kinds for name in kind.__dict__.get("_accessors", ())}


def _deprecated(config: Any) -> set[str]:  # noqa: ANN401 - pandas has no types for it
    return set(config._deprecated_options)  # noqa: SLF001 - looking at one of these warns


def _sklearn() -> State:
    sklearn: Any = sys.modules["sklearn"]
    return {f"scikit-learn option {name}": repr(value) for name, value in sklearn.get_config().items()}


def _torch() -> State:
    torch: Any = sys.modules["torch"]
    return {
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's default device": str(torch.get_default_device()),
        "torch's deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "torch's gradients": str(torch.is_grad_enabled()),
    }


def _matplotlib() -> State:
    matplotlib: Any = sys.modules["matplotlib"]
    kept = {name: dict.get(matplotlib.rcParams, name) for name in matplotlib.rcParams if not name.startswith(_INLINE)}
    return {"matplotlib's rcParams": repr(kept)}


LOOKS: tuple[Look, ...] = (
    Look("os", _os),
    Look("sys", _sys),
    Look("sys", _recursion, registers=True),
    Look("time", _time),
    Look("warnings", _warnings, registers=True),
    Look("logging", _logging, grows=True, registers=True),
    Look("calendar", _calendar),
    Look("csv", _csv, grows=True, registers=True),
    Look("mimetypes", _mimetypes, grows=True, registers=True),
    Look("decimal", _decimal),
    Look("locale", _locale),
    Look("numpy", _numpy),
    Look("pandas", _pandas),
    Look("pandas", _accessors, grows=True, registers=True),
    Look("sklearn", _sklearn),
    Look("torch", _torch),
    Look("matplotlib", _matplotlib),
)
