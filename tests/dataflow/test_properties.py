"""What reading says covers what really happens, for random programs."""

from __future__ import annotations

import ast
import importlib.util
import os
import symtable
import sys
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbmlops.dataflow.linking import Unit, link
from nbmlops.dataflow.scopes import analyse

_SPEC = importlib.util.spec_from_file_location("dataflow_programs", Path(__file__).with_name("programs.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
programs: Any = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = programs
_SPEC.loader.exec_module(programs)

World = programs.World

_LIMITS = settings(
    max_examples=int(os.environ.get("NBMLOPS_TEST_EXAMPLES", "200")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _quiet(world: World, source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(world.run(source))


@_LIMITS
@given(programs.cell, st.integers(0, 3))
def test_every_name_taken_from_outside_is_read(source: str, seed: int) -> None:
    """A name that running takes from outside is among the reads; what is left bound is among the bindings."""
    world = programs.World(seed)
    for name in programs.NAMES:
        dict.__setitem__(world, name, programs.Thing(world))
    world.own(0)
    before = dict(world)
    flow = analyse(ast.parse(source))
    finished = _quiet(world, source)
    assert {name for name, _ in world.taken} <= flow.reads.keys()
    bound = {name for name in programs.NAMES if name in world and dict.__getitem__(world, name) is not before[name]}
    if finished:
        assert bound <= flow.binds.keys() | flow.mutates.keys()
        assert all(name in world for name, binding in flow.binds.items() if binding.kind == "definite")
        assert not any(name in world for name in flow.deleted)


@_LIMITS
@given(st.lists(programs.cell, min_size=2, max_size=4), st.integers(0, 3))
def test_every_name_taken_is_linked_to_the_version_that_was_taken(sources: list[str], seed: int) -> None:
    """No unit is linked to a version older than the one that it takes when the document runs from top to bottom."""
    first = "\n".join(f"{name} = make()" for name in programs.NAMES)
    world = programs.World(seed)
    dict.__setitem__(world, "make", lambda: programs.Thing(world))
    cells = [first, *sources]
    links = link([Unit(key=str(position), flow=analyse(ast.parse(source))) for position, source in enumerate(cells)])
    for position, source in enumerate(cells):
        finished = _quiet(world, source)
        for name, owner in world.taken:
            providers = [item.provider for item in links[position].links if item.name == name and item.provider is not None]
            assert providers, (position, name, owner)
            assert max(providers) >= owner, (position, name, owner)
        if not finished:
            return
        world.own(position)


@_LIMITS
@given(programs.cell)
def test_symtable_agrees_on_names(source: str) -> None:
    """A name that is neither global nor free in any scope of Python's own symbol table is never read."""
    flow = analyse(ast.parse(source))
    known: set[str] = set()
    todo = [symtable.symtable(source, "<cell>", "exec")]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        known |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() or table.get_type() != "function"}
    hidden = set(programs.NAMES) if "exec(" in source or "eval(" in source or "globals(" in source else set()
    assert flow.reads.keys() <= known | hidden
