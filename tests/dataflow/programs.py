"""Random programs for hypothesis, and what really happens when they run."""

from __future__ import annotations

import random
import re
import warnings
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["a", "b", "c", "f", "g", "h"]


class Enough(BaseException):
    """The program ran long enough."""


class Thing:
    """An object that takes any operation; some answers come from a seeded generator."""

    def __init__(self, world: World) -> None:
        self.__dict__["world"] = world

    def _step(self) -> random.Random:
        chance: random.Random = self.world.step()
        return chance

    def __bool__(self) -> bool:
        return self._step().random() < 0.5

    def __call__(self, *args: object, **_: object) -> object:
        """Perhaps call what is given, perhaps fail, perhaps hand it back."""
        chance = self._step()
        for argument in args:
            if callable(argument) and not isinstance(argument, Thing) and chance.random() < 0.7:
                argument()
        if chance.random() < 0.1:
            raise ValueError
        return args[0] if args and chance.random() < 0.3 else Thing(self.world)

    def apply(self, function: Any) -> Thing:
        """Use the function up, as the tables of pandas do."""
        if self._step().random() < 0.7:
            function()
        return Thing(self.world)

    def __iter__(self) -> Iterator[Thing]:
        return iter([Thing(self.world) for _ in range(self._step().randrange(3))])

    def _same(self, *_: object) -> Thing:
        self._step()
        return self

    def _new(self, *_: object) -> Thing:
        self._step()
        return Thing(self.world)

    def __getattr__(self, name: str) -> Thing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._new()

    def __setattr__(self, *_: object) -> None:
        self._step()

    def __exit__(self, *_: object) -> bool:
        return False

    __enter__ = __iadd__ = _same
    __add__ = __radd__ = __getitem__ = _new
    __setitem__ = __delitem__ = __setattr__


class World(dict[str, Any]):
    """A namespace that notes which names are taken from it while they have their first value."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.steps = 0
        self.owner: dict[str, tuple[int, Any]] = {}
        self.taken: set[tuple[str, int]] = set()
        # a loop over a local name would never look into this namespace
        self["tick"] = lambda: self.step() is not None

    def step(self) -> random.Random:
        """Count a step."""
        self.steps += 1
        # far fewer than Python's stack is deep: parsing at its end breaks Python 3.11's own parser
        if self.steps > 150:
            raise Enough
        return self.chance

    def __getitem__(self, name: str) -> Any:
        self.step()
        value = super().__getitem__(name)
        if name in self.owner and self.owner[name][1] is value:
            self.taken.add((name, self.owner[name][0]))
        return value

    def __setitem__(self, name: str, value: object) -> None:
        self.owner.pop(name, None)
        super().__setitem__(name, value)

    def own(self, unit: int) -> None:
        """Note who bound what."""
        for name in NAMES:
            if name not in self:
                self.owner.pop(name, None)
            elif name not in self.owner or self.owner[name][1] is not dict.__getitem__(self, name):
                self.owner[name] = (unit, dict.__getitem__(self, name))

    def run(self, source: str) -> bool:
        """Run code; tell whether it came to its end."""
        self.taken = set()
        try:
            exec(compile(source, "<cell>", "exec"), self, self)
        except (Exception, Enough):  # noqa: BLE001 - any way to end is a case
            return False
        return True


class Writer:
    """Writes one random cell; `depth` bounds how far things nest."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def fill(self, template: str, depth: int) -> str:
        """Replace N by names and E by expressions."""
        parts = re.split(r"\b([NE])\b", template)
        return "".join(self.expression(depth) if part == "E" else self.chance.choice(NAMES) if part == "N" else part for part in parts)

    def expression(self, depth: int) -> str:
        """Write an expression."""
        if depth <= 0 or self.chance.random() < 0.4:
            return self.chance.choice(NAMES)
        return self.fill(self.chance.choice(EXPRESSIONS), depth - 1)

    def body(self, depth: int, indent: str = "    ") -> str:
        """Write an indented block."""
        lines = "".join(self.statement(depth) for _ in range(self.chance.randint(1, 3)))
        return "".join(f"{indent}{line}\n" for line in lines.splitlines())

    def statement(self, depth: int) -> str:
        """Write a statement."""
        if depth <= 0 or self.chance.random() < 0.5:
            return self.fill(self.chance.choice(SIMPLE), 2) + "\n"
        template = self.chance.choice(COMPOUND)
        written = "".join(
            self.body(depth - 1, part[1:]) if part.startswith("B") else self.fill(part, 1) for part in re.split(r"(B +)(?:\n|$)", template)
        )
        return written.rstrip("\n") + "\n"

    def cell(self) -> str:
        """Write statements that compile."""
        while True:
            source = "".join(self.statement(3) for _ in range(self.chance.randint(1, 5)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    compile(source, "<cell>", "exec")
                except SyntaxError:
                    continue
            return source


EXPRESSIONS = [
    "E + E", "N(E)", "N()", "N(N, lambda: E)", "N.m(E)", "N.apply(lambda: E)", "(lambda N=E: E)", "[E for N in E]",
    "{E for N in E if E for N in E}", "list(E for N in E)", "(E for N in E)", "(E if E else E)", "(E and E)", "(N := E)", "N[E]", "f'{E}'",
    "eval('N')", "globals()['N']", "[N, E]", "[(N := E) for N in E]", "list(map(N, [E]))",
]  # fmt: skip
SIMPLE = [
    "N = E", "N = E", "N = E", "N = N", "N = lambda: E", "N += E", "N.x = E", "N[0] = E", "N, *N = E, E", "N: N = E", "del N", "E", "N()",
    "N()", "N()", "raise ValueError", "raise NameError", "import math as N", "exec('N = N')", "assert E or 1", "N[0] += E", "N(N)", "pass",
]  # fmt: skip
COMPOUND = [
    "if E:\nB    \n", "if E:\nB    \nelse:\nB    \n", "for N in E:\nB    \n", "for N in E:\nB    \n    if E: break\nB    \n",
    "for N in E:\n    if E: continue\nB    \nelse:\nB    \n", "while tick() and E:\nB    \n",
    "try:\nB    \nexcept ValueError as N:\nB    \n", "try:\nB    \nexcept Exception:\nB    \n",
    "try:\nB    \nexcept NameError:\nB    \nelse:\nB    \nfinally:\nB    \n", "try:\nB    \nexcept: pass\n",
    "try:\nB    \nfinally:\nB    \n", "with E as N:\nB    \n", "def N(N=N):\nB    \n", "def N():\nB    \n",
    "def N():\n    global N\nB    \n", "def N():\nB    \n    return E\n", "def N():\n    return lambda: E\n",
    "def N():\n    z = 1\n    def N():\n        nonlocal z\n        z = E\n        return E\n    return N\n",
    "def N():\nB    \n    yield E\n", "@N\ndef N():\nB    \n", "class N:\nB    \n",
    "class N:\nB    \n    def __init__(self, x=N):\nB        \n    def m(self):\nB        \n",
    "class N(N):\n    def __init__(self):\nB        \n", "class N:\n    x = N\n    N = E\n    def __call__(self):\n        return E\n",
    "match E:\n    case [N, *N] if N:\nB        \n    case N:\nB        \n", "def N():\n    def N():\nB        \n    return N\n",

]  # fmt: skip

cell = st.integers(0, 2**32).map(lambda seed: Writer(seed).cell())
