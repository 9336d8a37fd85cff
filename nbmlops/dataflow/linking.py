"""Which definition reaches which read, over a whole document."""

from __future__ import annotations

import builtins
import itertools
from dataclasses import field, replace
from typing import TYPE_CHECKING

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.carrying import merge, settle
from nbmlops.dataflow.flow import Carry, Flow  # noqa: TC001 - dataclasses show their fields' types
from nbmlops.dataflow.hidden import HISTORY, is_history

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BUILTINS", "Link", "Linking", "Unit", "UnitLinks", "link", "relink"]

_STRIDE = 16
_KEPT = "kept version"

BUILTINS = (
    frozenset(vars(builtins))
    | HISTORY
    | {"get_ipython", "display", "exit", "quit", "__file__", "__builtin__", "__builtins__", "__module__", "__qualname__", "__class__"}
)
"""Names that Python, IPython or a class body provides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A piece of the document that runs as one: a stage, a setup cell, the parameters, a report cell.

    Parameters
    ----------
    key : str
        The unit's name for its caller.
    flow : Flow
        What its code takes and gives.
    extra_reads, extra_writes : tuple of str
        Names learnt from running it.
    reads_override : tuple of str or None
        ``--in``: instead of what was inferred; names of `shared` units are taken all the same.
    writes_override : tuple of str or None
        ``--out``: instead of what was inferred; `extra_writes` are added all the same.
    wanted : tuple of str
        Names that are asked for when it has run, though nothing may read them: its ``--metrics``.
    reports : bool
        Whether its bindings reach other such units only.
    shared : bool
        Whether it is setup or parameters, which every unit sees whatever its ``--in`` says.
    """

    key: str
    flow: Flow
    extra_reads: tuple[str, ...] = ()
    extra_writes: tuple[str, ...] = ()
    reads_override: tuple[str, ...] | None = None
    writes_override: tuple[str, ...] | None = None
    wanted: tuple[str, ...] = ()
    reports: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One name that a unit takes, and where from.

    Parameters
    ----------
    name : str
        The name.
    provider : int or None
        Position of the unit that made the version; None if nothing defines it.
    line : int
        Where the unit first needs it, from 1; 0 if no line does.
    how : str
        Why: "name", "free name of clean", "kept version", "mutated here", "--in", "learnt".
    soft : bool
        Whether the unit may do without it: undefined is then no error.
    hidden_by : int or None
        Position of a later report unit that binds the name too, which does not count.
    left_out_by : int or None
        Position of a later unit that binds or changes the name too, but leaves it out of its ``--out``.
    """

    name: str
    provider: int | None
    line: int = 0
    how: str = "name"
    soft: bool = False
    hidden_by: int | None = None
    left_out_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLinks:
    """What one unit takes and gives.

    Parameters
    ----------
    key : str
        The unit's key.
    links : tuple of Link
        What it takes from outside, builtins left out, in order of name.
    writes : tuple of str
        Names of which it makes a version, sorted.
    mutates : tuple of str
        Those of `writes` whose older version it changes in place, sorted.
    patches : tuple of (str, int)
        Imported modules whose attributes it sets, with the line: process state.
    """

    key: str
    links: tuple[Link, ...] = ()
    writes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    patches: tuple[tuple[str, int], ...] = ()

    @property
    def providers(self) -> frozenset[int]:
        """Positions of the units that must come before."""
        return frozenset(link.provider for link in self.links if link.provider is not None)

    @property
    def undefined(self) -> tuple[Link, ...]:
        """What it cannot do without and nothing defines."""
        return tuple(link for link in self.links if link.provider is None and not link.soft)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linking:
    """A linked document, and what helps to link the next one, which is mostly the same.

    Parameters
    ----------
    units : tuple of Unit
    links : tuple of UnitLinks
        One for each unit.
    each : tuple of UnitLinks
        The same by what stands above each unit alone: with the versions that it would keep for readers that it does not have.
    states : tuple of _Document
        The versions before every `_STRIDE`-th unit, and behind the last.
    """

    units: tuple[Unit, ...]
    links: tuple[UnitLinks, ...]
    each: tuple[UnitLinks, ...]
    states: tuple[_Document, ...]


def link(units: Sequence[Unit]) -> tuple[UnitLinks, ...]:
    """Link every unit's reads to the nearest earlier version of each name.

    Parameters
    ----------
    units : sequence of Unit
        In document order.

    Returns
    -------
    tuple of UnitLinks
        One for each unit, in the same order.
    """
    return relink(units, None).links


def relink(units: Sequence[Unit], earlier: Linking | None) -> Linking:
    """Link as `link` does, and go through only what may be linked otherwise than it was.

    The units are gone through in stretches. One of the same units, in the same places, that begins with the same versions has the same links
    and ends with the same versions.

    Parameters
    ----------
    units : sequence of Unit
        In document order.
    earlier : Linking or None
        Of the same document, or any other.
    """
    document = _Document()
    kept: list[Unit] = []
    links: list[UnitLinks] = []
    states: list[_Document] = []
    for start in range(0, len(units), _STRIDE):
        stretch, number = tuple(units[start : start + _STRIDE]), start // _STRIDE
        states.append(document)
        same = _known_part(earlier, number, stretch, document) if earlier is not None else 0
        if earlier is not None and same:
            states[-1] = earlier.states[number]  # the very object, which the next look finds at once
            kept += earlier.units[start : start + same]
            links += earlier.each[start : start + same]
            document = earlier.states[number + 1]
        if same < len(stretch):
            kept += stretch[same:]
            document = document.copy()
            known = earlier.each[start + same : start + len(stretch)] if earlier is not None else ()
            made = [document.add(start + place, unit) for place, unit in enumerate(stretch) if place >= same]
            links += [old if old == new else new for old, new in itertools.zip_longest(known, made) if new is not None]
    needed = _needed(kept, links)
    if earlier is not None:
        needed = [old if old == new else new for old, new in itertools.zip_longest(earlier.links[: len(needed)], needed) if new is not None]
    return Linking(units=tuple(kept), links=tuple(needed), each=tuple(links), states=(*states, document))


def _needed(units: Sequence[Unit], links: Sequence[UnitLinks]) -> list[UnitLinks]:
    """Leave out the versions that a unit keeps for nobody.

    A loop that may not turn keeps the older value of its variable. Without a reader of that, two stages that count by the same `i` have nothing
    to do with each other.
    """
    found = list(links)
    read: set[tuple[str, int | None]] = set()
    for position in range(len(units) - 1, -1, -1):
        unit, made = units[position], links[position]
        spared = {item.name for item in made.links if item.how == _KEPT and (item.name, position) not in read and _keeps_for_others(unit, item.name)}
        if spared:
            found[position] = made = replace(made, links=tuple(item for item in made.links if item.how != _KEPT or item.name not in spared))
        read.update((item.name, item.provider) for item in made.links)
    return found


def _keeps_for_others(unit: Unit, name: str) -> bool:
    """Tell whether a unit takes the older version of a name only for those who read the name below it."""
    handed_on = {*(unit.writes_override or ()), *unit.extra_writes, *unit.wanted}
    return not unit.shared and name in unit.flow.binds and name not in handed_on and name not in unit.flow.perhaps_deleted


def _known_part(earlier: Linking, number: int, stretch: tuple[Unit, ...], document: _Document) -> int:
    """Return how many units a stretch has in common with an earlier one: all of that, which may be a last one that has grown, or none."""
    start = number * _STRIDE
    known = earlier.units[start : start + _STRIDE]
    if not known or known != stretch[: len(known)]:
        return 0
    return len(known) if earlier.states[number] is document or earlier.states[number] == document else 0


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a name: who made it (None if it was deleted) and what its object brings along."""

    unit: int | None
    carry: Carry | None = None
    imported: bool = False


_Table = dict[str, _Version]


@dataclass(slots=True)
class _Document:
    """The versions that later units see; report units see those of other report units too."""

    main: _Table = field(default_factory=dict)
    view: _Table = field(default_factory=dict)
    stars: list[tuple[int, bool]] = field(default_factory=list)
    given: dict[str, Carry] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)
    left_out: dict[str, int] = field(default_factory=dict)

    def copy(self) -> _Document:
        """Return one that can be gone on with, while this one stays."""
        return _Document(self.main.copy(), self.view.copy(), self.stars.copy(), self.given.copy(), self.shared.copy(), self.left_out.copy())

    def add(self, position: int, unit: Unit) -> UnitLinks:
        """Link the next unit, then put its versions in place."""
        linker = _Linker(self, unit)
        linker.read_all()
        patches = linker.changes()
        self._update(position, unit, linker)
        return UnitLinks(
            key=unit.key,
            links=tuple(sorted(linker.links.values(), key=lambda link: (link.name, link.how))),
            writes=tuple(sorted(linker.writes | linker.mutates)),
            mutates=tuple(sorted(linker.mutates)),
            patches=tuple(patches),
        )

    def _update(self, position: int, unit: Unit, linker: _Linker) -> None:
        flow = unit.flow
        find = linker.meaning
        versions: _Table = {}
        for name, carry in flow.carries.items():
            if name not in flow.binds and name not in linker.mutates:
                settled = merge(self.given.get(name), _settled(carry, find))
                if settled is not None:
                    self.given[name] = settled
        for name in linker.writes | linker.mutates:
            found = linker.carry_after(name)
            carry_of = _settled(found, find) if found is not None else None
            versions[name] = _Version(position, carry_of, name in flow.imports)
        for name in flow.deleted:
            versions[name] = _Version(None)
        for name in versions:
            self.left_out.pop(name, None)
        self.left_out.update(dict.fromkeys(linker.left_out, position))
        self.view.update(versions)
        if not unit.reports:
            self.main.update(versions)
        if unit.shared:
            self.shared.add(position)
        if flow.star_imports:
            self.stars.append((position, unit.reports))


def _settled(carry: Carry, find: Callable[[str], Carry | None]) -> Carry | None:
    """Follow everything that an object holds; None if there is no code in it."""
    full = settle(carry, find)
    holds = _definitions(full.loads, find, "function", "class") | _definitions(full.calls, find, "class")
    if full.kind == "value" and not (full.reads or full.writes or holds or _has_code(full.returns, find)):
        return None
    return replace(full, loads=holds, calls=frozenset())


def _definitions(names: frozenset[str], find: Callable[[str], Carry | None], *kinds: str) -> frozenset[str]:
    # what merely holds such an object was followed to it: it need not be there by name
    found = ((name, find(name)) for name in names)
    return frozenset(name for name, carry in found if carry is not None and carry.kind in kinds)


def _has_code(carry: Carry | None, find: Callable[[str], Carry | None]) -> bool:
    return carry is not None and bool(carry.reads or carry.writes or _definitions(carry.loads | carry.calls, find, "function", "class"))


class _Linker:
    """Links one unit."""

    def __init__(self, document: _Document, unit: Unit) -> None:
        self.document = document
        self.table = document.view if unit.reports else document.main
        self.unit = unit
        self.flow = unit.flow
        self.links: dict[tuple[str, int | None], Link] = {}
        self.called: dict[str, int] = {}
        self.called_binds: set[str] = set()
        self.mutates: set[str] = set()
        self.survivors: set[str] = set()
        self.left_out: set[str] = set()
        self.writes: set[str] = set()

    # -- reading

    def read_all(self) -> None:
        """Link what the unit reads, by itself and through the functions that it may call."""
        flow, override = self.flow, self.unit.reads_override
        for name, line in flow.reads.items():
            if override is None or name in override or self._is_shared(name):
                self._read(name, line, "mutated here" if name in flow.mutates else "name", soft=name in flow.soft)
        for name in override or ():
            if name not in flow.reads:
                self._read(name, 0, "--in", soft=False)
        for name in self.unit.extra_reads:
            if name not in flow.reads:
                self._read(name, 0, "learnt", soft=True)
        for name, binding in flow.binds.items():
            if binding.kind == "maybe" and name not in flow.reads:
                self._take(name, binding.line, _KEPT, soft=True)
        # a later reader must not get the older value of a name that is gone: whoever may have deleted it hands on what is left
        self.survivors = {name for name in flow.perhaps_deleted if self._is_provided(name)}
        for name in sorted(self.survivors - flow.reads.keys()):
            self._take(name, 0, _KEPT, soft=True)

    def _is_provided(self, name: str) -> bool:
        version = self.table.get(name)
        return version is not None and version.unit is not None

    def _is_shared(self, name: str) -> bool:
        version = self.table.get(name)
        return version is None or version.unit is None or version.unit in self.document.shared or name in self.flow.mutates

    def _read(self, name: str, line: int, how: str, *, soft: bool) -> None:
        self._take(name, line, how, soft=soft)
        before = self.flow.before.get(name, frozenset())
        carry = self._carry_before(name)
        if carry is None:
            return
        seen = {name}
        todo: list[tuple[str, Carry]] = [(name, carry)]
        while todo:
            owner, carry = todo.pop()
            for mutated in carry.mutates:
                self.called.setdefault(mutated, line)
            self.called_binds |= carry.binds
            for free in carry.reads | carry.loads | carry.binds:
                if free in seen:
                    continue
                seen.add(free)
                own = self.flow.carries.get(free)
                if own is not None:
                    todo.append((free, own))
                if free in before:
                    continue
                self._take(free, line, f"free name of {owner}", soft=soft or free in self.flow.binds or free in carry.binds)
                older = self._carry_before(free)
                if older is not None:
                    todo.append((free, older))

    def _carry_before(self, name: str) -> Carry | None:
        version = self.table.get(name)
        return merge(version.carry if version else None, self.document.given.get(name))

    def _take(self, name: str, line: int, how: str, *, soft: bool) -> None:
        version = self.table.get(name)
        provider = version.unit if version else None
        hidden_by = self._hidden_by(name, provider)
        star = next((unit for unit, reports in reversed(self.document.stars) if self.unit.reports or not reports), None)
        if star is not None and (provider is None or star > provider):
            # it may bind any name, builtins included
            self._link(Link(name=name, provider=star, line=line, how="star import", soft=True))
            soft = True
        if provider is not None:
            left_out_by = self.document.left_out.get(name)
            self._link(Link(name=name, provider=provider, line=line, how=how, soft=soft, hidden_by=hidden_by, left_out_by=left_out_by))
        elif name not in BUILTINS and star is None and not is_history(name):
            soft = soft or bool(self.flow.star_imports)
            if soft and hidden_by is None:
                return
            self._link(Link(name=name, provider=None, line=line, how=how, soft=soft, hidden_by=hidden_by))

    def _link(self, link: Link) -> None:
        known = self.links.get((link.name, link.provider))
        if known is None or (known.soft and not link.soft):
            self.links[link.name, link.provider] = link

    def _hidden_by(self, name: str, provider: int | None) -> int | None:
        if self.unit.reports:
            return None
        seen = self.document.view.get(name)
        return (
            seen.unit
            if seen is not None and seen.unit is not None and seen.unit != provider and seen.unit > (-1 if provider is None else provider)
            else None
        )

    # -- writing

    def changes(self) -> list[tuple[str, int]]:
        """Say which versions the unit makes; give the imported modules that it patches."""
        flow, override = self.flow, self.unit.writes_override
        patches: list[tuple[str, int]] = []
        for name, line in (*self.called.items(), *flow.mutates.items()):
            version = self.table.get(name)
            if name in flow.binds:
                continue
            if version is not None and version.imported:
                patches.append((name, line))
            elif version is not None or name not in BUILTINS:
                self.mutates.add(name)
        self.writes = {*flow.binds, *self.called_binds, *self.survivors}
        if override is not None:
            self.left_out = (self.writes | self.mutates) - set(override) - set(self.unit.extra_writes)
            self.writes, self.mutates = set(override), set()
        extra = set(self.unit.extra_writes)
        self.mutates |= {name for name in extra if name in self.table and name not in flow.binds}
        self.writes |= extra
        for name in sorted(self.mutates):
            self._take(name, flow.mutates.get(name, 0), "mutated here", soft=name not in flow.mutates)
        return patches

    def carry_after(self, name: str) -> Carry | None:
        """Give what the object called `name` brings along when the unit has run."""
        binding = self.flow.binds.get(name)
        own = merge(self.flow.carries.get(name), self.document.given.get(name))
        if binding is not None and binding.kind == "definite":
            return own
        return merge(own, self._carry_before(name))

    def meaning(self, name: str) -> Carry | None:
        """Give what a name in the unit's code may bring along: in ``f = partial(f)`` the old object too."""
        found = self.carry_after(name)
        return merge(found, self._carry_before(name)) if name in self.flow.reads else found
