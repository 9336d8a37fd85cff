"""``NB3xx``: what makes a stage's result depend on when, where and in which process it runs."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.pipeline.checks.fate import ORDER, VALUE, Fate, fate_of
from nbmlops.pipeline.checks.libraries import CLOCK_WORDS, CLOCKS, CLOCKS_WITHOUT_ARGUMENTS, DURATIONS, LISTING_METHODS, LISTINGS, MACHINE
from nbmlops.pipeline.checks.sets import is_set, may_hold_text
from nbmlops.pipeline.checks.sites import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.pipeline.checks.checked import Checked
    from nbmlops.pipeline.checks.sites import Sites
    from nbmlops.pipeline.model import Diagnostic

__all__ = ["current_time", "machine_facts", "object_hashes", "set_order", "unsorted_listings"]

_CLOCK = replace(VALUE, tests=Fate.MEASURED)  # `while time.time() < deadline` ends sooner or later
_STAT = frozenset({"st_atime", "st_ctime", "st_mtime", "st_atime_ns", "st_ctime_ns", "st_mtime_ns", "st_birthtime", "st_ino"})


def current_time(checked: Checked) -> Iterator[Diagnostic]:
    """Find results that hold the time at which they were made (NB303); durations, and times that are only shown, are left alone or told as info."""
    for code in checked.code:
        for node, name in code.sites.used():
            if not _is_clock(node, name):
                continue
            fate = fate_of(code.sites, node, _CLOCK, code.handed)
            if fate is Fate.KEPT and name not in DURATIONS:
                what = f"keeps the time at which it runs, {shown(node)}: every run gives another value, and a reused one shows the old time"
                yield code.finding(node, "NB303", "warning", what, 'make it a parameter: today = "2026-01-31" in the cell with the tag parameters')
            elif fate is not Fate.SHOWN:
                what = f"keeps or decides by how much time has passed, {shown(node)}: another run may give another value"
                fix = "print it instead; nbmlops records how long each stage takes"
                yield code.finding(node, "NB303", "info", what, fix)


def _is_clock(node: ast.expr, name: str) -> bool:
    if name in CLOCKS or name in DURATIONS:
        return True
    if not isinstance(node, ast.Call):
        return False
    if name in CLOCKS_WITHOUT_ARGUMENTS:
        return len(node.args) < (2 if name == "time.strftime" else 1)
    first = node.args[0] if node.args else None
    return name in CLOCK_WORDS and isinstance(first, ast.Constant) and first.value in {"now", "today"}


def unsorted_listings(checked: Checked) -> Iterator[Diagnostic]:
    """Find results that follow the order in which the file system lists a folder (NB304)."""
    for code in checked.code:
        for call in code.sites.calls:
            if not _lists(code.sites, call) or fate_of(code.sites, call, ORDER, code.handed) is Fate.SHOWN:
                continue
            whole = ast.unparse(call)
            what = f"takes files in the order in which the file system lists them, {shown(call)}: another machine may give another"
            more = ", and sorted(files) for the files of each folder" if code.sites.name(call.func) == "os.walk" else ""
            yield code.finding(call, "NB304", "warning", what, f"write sorted({whole}){more}")


def _lists(sites: Sites, call: ast.Call) -> bool:
    name = sites.name(call.func)
    if name in LISTINGS:
        return True
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in LISTING_METHODS):
        return False
    # `glob` of a remote file system sorts, and its patterns are addresses
    return not (name and not name.startswith("pathlib.")) and "://" not in "".join(_texts(call))


def _texts(call: ast.Call) -> list[str]:
    return [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def set_order(checked: Checked) -> Iterator[Diagnostic]:
    """Find results that follow the order of a set (NB305)."""
    for code in checked.code:
        sites = code.sites
        for source, node in _set_uses(sites):
            if not may_hold_text(sites, source) or fate_of(sites, node, ORDER, code.handed) is Fate.SHOWN:
                continue
            what = f"follows the order of a set, {shown(source)}: with another hash seed a process puts texts into another order"
            yield code.finding(source, "NB305", "warning", what, f"write sorted({ast.unparse(source)})")


def _set_uses(sites: Sites) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each set that is put into an order, with the expression that has the order."""
    for call in sites.calls:
        name = sites.name(call.func)
        joins = isinstance(call.func, ast.Attribute) and call.func.attr == "join" and not name
        takes = name in {"list", "tuple", "enumerate", "iter", "zip", "map", "filter"} or name in _FRAMES
        if joins or takes:
            yield from ((argument, call) for argument in call.args if is_set(sites, argument))
    for loop in sites.iterations:
        if is_set(sites, loop.iter):
            yield loop.iter, loop.iter
    for star in sites.stars:
        if is_set(sites, star.value) and not isinstance(sites.parents.get(star), ast.Set):
            yield star.value, star


_FRAMES = frozenset({"pandas.Series", "pandas.Index", "pandas.DataFrame", "numpy.array", "numpy.asarray", "numpy.fromiter"})


def machine_facts(checked: Checked) -> Iterator[Diagnostic]:
    """Find results that hold what belongs to the machine or the process: host and user names, process ids, times of files (NB308)."""
    for code in checked.code:
        nodes = [(node, name) for node, name in code.sites.used() if name in MACHINE]
        nodes += [(node, node.attr) for node in code.sites.attributes if node.attr in _STAT]
        for node, _ in nodes:
            if fate_of(code.sites, node, VALUE, code.handed) is not Fate.SHOWN:
                what = f"keeps what belongs to this machine or process, {shown(node)}: elsewhere it is another value"
                yield code.finding(node, "NB308", "warning", what, "make it a parameter, or only print it")


def object_hashes(checked: Checked) -> Iterator[Diagnostic]:
    """Find results made of ``hash()`` or ``id()``, which differ between processes (NB311)."""
    for code in checked.code:
        for call in code.sites.calls:
            name = code.sites.name(call.func)
            if name not in {"hash", "id"} or _stays(code.sites, call) or fate_of(code.sites, call, VALUE, code.handed) is Fate.SHOWN:
                continue
            what = f"keeps {shown(call)}, which is another number in each process"
            fix = "zlib.crc32(text.encode()) is the same everywhere" if name == "hash" else "use a key of the data instead of id()"
            yield code.finding(call, "NB311", "warning", what, fix)


def _stays(sites: Sites, call: ast.Call) -> bool:
    """Tell a hash that Python asks for (``__hash__``), or that is the same everywhere: that of a number."""
    inside = sites.function(call)
    number = bool(call.args) and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, (int, float))
    return number or len(call.args) != 1 or (isinstance(inside, ast.FunctionDef) and inside.name in {"__hash__", "__eq__"})
