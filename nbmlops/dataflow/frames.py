"""The scopes of Python while code is read: a module and a class in order, a function as a whole, a comprehension as a veil."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from nbmlops.dataclass import dataclass
from nbmlops.dataflow.carrying import Held, merge, settle
from nbmlops.dataflow.flow import Binding, Carry, PathUse

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ClassFrame", "ComprehensionFrame", "Frame", "FunctionFrame", "ModuleFrame", "State"]


@dataclass(slots=True)
class State:
    """What is known of the module's names at one place.

    `bound` holds the names whose older version cannot be seen any more, deleted ones included.
    """

    bound: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    perhaps_gone: set[str] = field(default_factory=set)
    carries: dict[str, Carry] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    dead: bool = False

    def copy(self) -> State:
        """Start a branch here."""
        return State(set(self.bound), set(self.gone), set(self.perhaps_gone), dict(self.carries), dict(self.aliases), self.dead)

    @staticmethod
    def join(states: Iterable[State]) -> State:
        """Give what is known where branches meet; those that ended on the way do not count."""
        everyone = list(states)
        alive = [state for state in everyone if not state.dead] or everyone
        joined = alive[0].copy()
        for state in alive[1:]:
            joined.bound &= state.bound
            joined.gone &= state.gone
            joined.perhaps_gone |= state.perhaps_gone
            for name, carry in state.carries.items():
                joined.carries[name] = merge(joined.carries.get(name), carry) or carry
            joined.aliases.update(state.aliases)
        return joined


class Frame:
    """One scope; the base of all."""

    __slots__ = ("parent",)

    def __init__(self, parent: Frame | None) -> None:
        self.parent = parent

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:
        """Note that `name` is looked up."""
        raise NotImplementedError

    def bind(self, name: str, line: int, *, sure: bool) -> None:
        """Note that `name` is bound."""
        raise NotImplementedError

    def delete(self, name: str, line: int, *, sure: bool) -> None:
        """Note that `name` is deleted."""
        raise NotImplementedError

    def mutate(self, name: str, line: int) -> None:
        """Note that the object called `name` is changed in place."""
        raise NotImplementedError

    def give(self, name: str, carry: Carry, line: int, *, sure: bool, replace: bool) -> None:
        """Note what the object called `name` brings along, from now on (`replace`) or in addition."""
        raise NotImplementedError

    def outer(self) -> Frame:
        """Give the scope in which names are looked up that this one does not have: never a class."""
        frame = self.parent
        while isinstance(frame, ClassFrame):
            frame = frame.parent
        if frame is None:
            raise AssertionError
        return frame


class ModuleFrame(Frame):
    """The module: names are global, and read in order."""

    __slots__ = ("before", "deletions", "hard", "lines", "mutated", "reads", "state")

    def __init__(self) -> None:
        super().__init__(None)
        self.state = State()
        self.reads: dict[str, int] = {}
        self.hard: set[str] = set()
        self.before: dict[str, set[str]] = {}
        self.lines: dict[str, int] = {}
        self.mutated: dict[str, int] = {}
        self.deletions: list[str] = []

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:
        """Read from outside unless surely bound, then whatever the object's code reads."""
        state = self.state
        if name not in state.bound:
            self._take(name, line, soft=soft)
        carry = state.carries.get(name)
        if carry is not None:
            self._run(name, carry, line, soft=soft or not (called and carry.kind == "function"))

    def _take(self, name: str, line: int, *, soft: bool) -> None:
        bound = self.state.bound
        if name in self.reads:
            self.before[name] &= bound
        else:
            self.reads[name] = line
            self.before[name] = set(bound)
        if not soft and name not in self.lines:
            self.hard.add(name)

    def _run(self, root: str, carry: Carry, line: int, *, soft: bool) -> None:
        seen = {root}
        todo = [carry]
        bound, carries = self.state.bound, self.state.carries
        while todo:
            carry = todo.pop()
            for name in carry.reads:
                if name in seen:
                    continue
                seen.add(name)
                if name not in bound:
                    self._take(name, line, soft=soft)
                if name in carries:
                    todo.append(carries[name])
            for name in carry.binds:
                if name not in bound:
                    self._take(name, line, soft=True)
                self.lines.setdefault(name, line)
                self.state.gone.discard(name)
            for name in carry.mutates:
                self.mutate(name, line)

    def run(self, carry: Carry, line: int, *, soft: bool = True) -> None:
        """Note that code without a name runs here, or (`soft`) may run."""
        self._run("", carry, line, soft=soft)

    def bind(self, name: str, line: int, *, sure: bool) -> None:
        """Make a new version."""
        self.lines.setdefault(name, line)
        state = self.state
        if sure:
            state.bound.add(name)
            state.carries.pop(name, None)
            state.gone.discard(name)
            state.perhaps_gone.discard(name)
        else:
            state.gone.discard(name)
        state.aliases.pop(name, None)

    def delete(self, name: str, line: int, *, sure: bool) -> None:
        """End a version."""
        state = self.state
        if name not in state.bound:
            self._take(name, line, soft=False)
        state.perhaps_gone.add(name)
        self.deletions.append(name)
        if sure:
            state.bound.add(name)
            state.gone.add(name)
            state.carries.pop(name, None)

    def mutate(self, name: str, line: int) -> None:
        """Change the object, and so every name it is known to have."""
        seen: set[str] = set()
        other: str | None = name
        while other is not None and other not in seen:
            seen.add(other)
            self.mutated.setdefault(other, line)
            if other not in self.state.bound:
                self._take(other, line, soft=False)
            other = self.state.aliases.get(other)

    def give(self, name: str, carry: Carry, line: int, *, sure: bool, replace: bool) -> None:  # noqa: ARG002
        """Follow what the object holds as far as it is known here."""
        carries = self.state.carries
        settled = settle(carry, carries.get)
        if settled.kind == "value" and not (settled.reads or settled.writes or settled.loads or settled.calls):
            return
        carries[name] = settled if sure and replace else merge(carries.get(name), settled) or settled

    def bindings(self) -> dict[str, Binding]:
        """List what is left bound."""
        state = self.state
        sure = state.bound - state.perhaps_gone
        return {name: Binding("definite" if name in sure else "maybe", line) for name, line in self.lines.items() if name not in state.gone}


class ClassFrame(Frame):
    """A class body: read in order, its names hidden from the functions inside."""

    __slots__ = ("bound", "carries", "held")

    def __init__(self, parent: Frame) -> None:
        super().__init__(parent)
        self.bound: set[str] = set()
        self.carries: dict[str, Carry] = {}
        self.held = Held()

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:
        """Read from outside unless surely bound in the class."""
        if name not in self.bound:
            self.outer().read(name, line, soft=soft, called=called)
        elif name in self.carries:
            for other in self.carries[name].reads:
                self.outer().read(other, line, soft=True)

    def bind(self, name: str, line: int, *, sure: bool) -> None:  # noqa: ARG002
        """Bind in the class."""
        if sure:
            self.bound.add(name)

    def delete(self, name: str, line: int, *, sure: bool) -> None:  # noqa: ARG002
        """Let the outer name shine through again."""
        self.bound.discard(name)

    def mutate(self, name: str, line: int) -> None:
        """Change an outer object, unless the name is the class's own."""
        if name not in self.bound:
            self.outer().mutate(name, line)

    def give(self, name: str, carry: Carry, line: int, *, sure: bool, replace: bool) -> None:  # noqa: ARG002
        """Let the class bring along what its attributes do."""
        self.carries[name] = carry
        held = self.held
        held.add(Carry(reads=carry.reads, binds=carry.binds, mutates=carry.mutates, loads=carry.loads, calls=carry.calls, returns=carry.returns))


class ComprehensionFrame(Frame):
    """A comprehension: runs where it stands, and hides its targets from outside."""

    __slots__ = ("targets",)

    def __init__(self, parent: Frame) -> None:
        super().__init__(parent)
        self.targets: set[str] = set()

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:
        """Read from outside unless it is a target."""
        if name not in self.targets:
            self.outer().read(name, line, soft=soft, called=called)

    def bind(self, name: str, line: int, *, sure: bool) -> None:  # noqa: ARG002
        """Bind a target."""
        self.targets.add(name)

    def delete(self, name: str, line: int, *, sure: bool) -> None:
        """Have no meaning: a comprehension has no statements."""

    def mutate(self, name: str, line: int) -> None:
        """Change an outer object."""
        if name not in self.targets:
            self.outer().mutate(name, line)

    def give(self, name: str, carry: Carry, line: int, *, sure: bool, replace: bool) -> None:
        """Have no meaning: the targets end with the comprehension."""


class FunctionFrame(Frame):
    """A function: its names are its own wherever in the body they are bound."""

    __slots__ = (
        "bound",
        "carries",
        "files",
        "given",
        "global_binds",
        "global_mutates",
        "global_reads",
        "globals",
        "held",
        "mutated",
        "names",
        "nonlocals",
    )

    def __init__(self, parent: Frame) -> None:
        super().__init__(parent)
        self.names: set[str] = set()
        self.bound: set[str] = set()
        self.mutated: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.global_reads: set[str] = set()
        self.global_binds: set[str] = set()
        self.global_mutates: set[str] = set()
        self.carries: dict[str, Carry] = {}
        self.held = Held()
        self.given: list[tuple[str, Carry]] = []
        self.files: list[tuple[Literal["read", "write"], PathUse]] = []

    def read(self, name: str, line: int, *, soft: bool = False, called: bool = False) -> None:  # noqa: ARG002
        """Note the name: whose it is shows when the function ends."""
        self.names.add(name)

    def bind(self, name: str, line: int, *, sure: bool) -> None:  # noqa: ARG002
        """Make the name the function's own, unless declared otherwise."""
        self.bound.add(name)

    def delete(self, name: str, line: int, *, sure: bool) -> None:  # noqa: ARG002
        """Count as binding, as Python does."""
        self.bound.add(name)

    def mutate(self, name: str, line: int) -> None:  # noqa: ARG002
        """Note the name."""
        self.mutated.add(name)

    def give(self, name: str, carry: Carry, line: int, *, sure: bool, replace: bool) -> None:  # noqa: ARG002
        """Collect over the whole body."""
        self.carries[name] = merge(self.carries.get(name), carry) or carry

    @property
    def own(self) -> set[str]:
        """The function's own names."""
        return self.bound - self.globals - self.nonlocals

    def close(self) -> Carry:
        """End the function, hand its free names to the function around it, and give what the object brings along."""
        own = self.own
        not_free = own | self.globals
        hidden, function = self._around()
        names, mutated = (self.names - not_free) - hidden, (self.mutated - not_free) - hidden
        reads = self.global_reads | (self.names & self.globals)
        binds = self.global_binds | (self.bound & self.globals)
        mutates = self.global_mutates | (self.mutated & self.globals)
        if function is not None:
            function.names |= names
            function.mutated |= mutated
            function.global_reads |= reads
            function.global_binds |= binds
            function.global_mutates |= mutates
        hidden |= own
        result = settle(self.held.carry(), self.carries.get)
        held = Held()
        held.add(result)
        return Carry(
            kind="function",
            reads=frozenset(reads | names | mutated | mutates),
            binds=frozenset(binds),
            mutates=frozenset(mutates | mutated),
            returns=held.carry(without=hidden) if held else None,
        )

    def _around(self) -> tuple[set[str], FunctionFrame | None]:
        hidden: set[str] = set()
        frame: Frame = self.outer()
        while isinstance(frame, ComprehensionFrame):
            hidden |= frame.targets
            frame = frame.outer()
        return hidden, frame if isinstance(frame, FunctionFrame) else None
