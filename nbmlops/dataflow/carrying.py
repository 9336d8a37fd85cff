"""What objects bring along: collect the names that an expression's value holds, and follow them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.flow import NO_CARRY, Carry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Held", "merge", "settle"]


@dataclass(slots=True)
class Held:
    """The names that a value under construction may hold on to."""

    reads: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    mutates: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    returns: Carry | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is held."""
        return bool(self.reads or self.loads or self.calls or self.binds or self.mutates)

    def add(self, carry: Carry | Held) -> None:
        """Hold an object that brings `carry` along."""
        self.reads |= carry.reads
        self.binds |= carry.binds
        self.mutates |= carry.mutates
        self.loads |= carry.loads
        self.calls |= carry.calls
        self.returns = merge(self.returns, carry.returns)

    def carry(self, kind: Literal["function", "class", "value"] = "value", *, without: Iterable[str] = ()) -> Carry:
        """Give what the value brings along, less the names in `without`."""
        if kind == "value" and self.returns is None and not self:
            return NO_CARRY
        return Carry(
            kind=kind,
            reads=frozenset(self.reads.difference(without)),
            binds=frozenset(self.binds.difference(without)),
            mutates=frozenset(self.mutates.difference(without)),
            loads=frozenset(self.loads.difference(without)),
            calls=frozenset(self.calls.difference(without)),
            returns=_strip(self.returns, frozenset(without)),
        )


def merge(first: Carry | None, second: Carry | None) -> Carry | None:
    """Give what an object brings along that is one of two."""
    if first is None or second is None or first == second:
        return first or second
    return Carry(
        kind=first.kind if first.kind == second.kind else "value",
        reads=first.reads | second.reads,
        binds=first.binds | second.binds,
        mutates=first.mutates | second.mutates,
        loads=first.loads | second.loads,
        calls=first.calls | second.calls,
        returns=merge(first.returns, second.returns),
    )


def settle(carry: Carry, find: Callable[[str], Carry | None]) -> Carry:
    """Follow the names that an object holds to the objects that they mean now.

    A function that was called gives what it returns, a class an instance that keeps it. Names that `find` does not know
    stay, so that whoever knows them can go on.

    Parameters
    ----------
    carry : Carry
        What the object holds, by name.
    find : callable
        From a name to what its object brings along now, or None.
    """
    if not carry.loads and not carry.calls:
        return carry
    held = Held()
    held.add(Carry(reads=carry.reads, binds=carry.binds, mutates=carry.mutates, returns=carry.returns))
    todo = [(name, False) for name in carry.loads] + [(name, True) for name in carry.calls]
    seen = set(todo)
    while todo:
        name, called = todo.pop()
        (held.calls if called else held.loads).add(name)
        found = find(name)
        if found is None:
            continue
        if called and found.kind != "class":
            found = found.returns or NO_CARRY
        held.reads |= found.reads
        held.binds |= found.binds
        held.mutates |= found.mutates
        held.returns = merge(held.returns, found.returns)
        more = {(other, False) for other in found.loads} | {(other, True) for other in found.calls}
        todo.extend(more - seen)
        seen |= more
    return held.carry(carry.kind)


def _strip(carry: Carry | None, names: frozenset[str]) -> Carry | None:
    if carry is None or not names:
        return carry
    return Carry(
        kind=carry.kind,
        reads=carry.reads - names,
        binds=carry.binds - names,
        mutates=carry.mutates - names,
        loads=carry.loads - names,
        calls=carry.calls - names,
        returns=_strip(carry.returns, names),
    )
