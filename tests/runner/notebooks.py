"""Random small notebooks, and random edits of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.acceptance.project import Cell, cell

if TYPE_CHECKING:
    import random

__all__ = ["Notebook", "write_notebook"]

_LINES = (
    "a = [#]", "a.append(#)", "a.append(c)", "b['k'] = #", "b['l'] = a", "b.setdefault('m', []).append(c)", "c = c + #", "c += n", "c = len(a)",
    "a = a + [#]", "a += [c]", "d = a", "d.append(#)", "d = list(a)", "a, d = d, a", "c = sum(a) % 97", "del a[:1]", "b.pop('k', None)",
    "if c > #:\n    a = [c]", "if c > #:\n    d = [#]\nelse:\n    d = a", "for i in range(#):\n    a.append(i)", "while c > 9:\n    c -= 9",
    "f(a)", "f(d)", "c = g(c)", "c = h()", "def g(v):\n    return v + c", "g = lambda v: v * # + len(a)", "def h(k=c):\n    return k + len(b)",
    "up()", "c = up()", "exec('c = c + ' + str(#))", "c = eval('len' + '(a)')", "it = iter(a)", "c = next(it, #)", "K = #", "b = dict(b)",
    "try:\n    c = a[#]\nexcept IndexError:\n    c = -1", "try:\n    c = 1 // (c - #)\nexcept ZeroDivisionError as d:\n    c = 0",
    "box.add(#)", "c = box.total",
    "box = Box()", "b['box'] = box", "c = len(b)", "c = b.get('k', #)", "a.sort()", "e = [a, d]", "e[0].append(#)", "d = e[-1]",
    "if c > #:\n    del d",
    "open('o.txt', 'w').write(str(c))", "c = len(open('o.txt').read())", "open(name + '.txt', 'a').write('x')", "c = len(open(name + '.txt').read())",
    "globals()['c'] = #", "c = globals().get('c', #)", "seen.append(c)", "c = len(seen)", "Box.kind = #", "c = Box.kind",
)  # fmt: skip
_SETUP = (
    "K = #", "def f(v):\n    v.append(K)", "def f(v):\n    v[:] = v[#:]", "def g(v):\n    return v + K", "def h():\n    return K + n",
    "count = #\ndef up():\n    global count\n    count += 1\n    return count", "seen = []", "name = 'o'",
    (
        "class Box:\n    kind = #\n    def __init__(self):\n        self.total = K\n"
        "    def add(self, v):\n        self.total += v\n        seen.append(v)"
    ),
)  # fmt: skip
# setup that changes what other setup has made
_ACTING = (
    *_SETUP, "seen.append(#)", "Box.kind = #", "K += #", "count += 1",
    "def keep(f):\n    seen.append(f.__name__)\n    return f\n@keep\ndef k#(): return #",
    "seen.sort()", "Box.label = [#]", "K = len(seen)", "u = seen", "seen[:] = seen[:1]",
)  # fmt: skip
_FIRST = (
    "K = 2\nseen = []\nname = 'o'\ncount = 0\ndef f(v):\n    v.append(K)\ndef g(v):\n    return v + 1\ndef h():\n    return n\n"
    "def up():\n    global count\n    count += 1\n    return count\nclass Box:\n    kind = 1\n    def __init__(self):\n        self.total = K\n"
    "    def add(self, v):\n        self.total += v\n        seen.append(v)"
)
_START = "a, b, c, d = [1], {'k': 2}, 3, []\nit, box, e = iter([7, 8]), Box(), [[0]]\nopen('o.txt', 'w').write('ab')"
_END = (
    "out = repr([a, {k: v for k, v in b.items() if k != 'box'}, c, d, list(it), e, box.total, Box.kind, seen, count, K, "
    "a is d, e[0] is a, e[-1] is d, b.get('l') is a, b.get('box') is box])\nprint(out, end='')"
)


@dataclass(frozen=True)
class Part:
    """A stage or setup cell."""

    name: str
    code: str


@dataclass(frozen=True)
class Notebook:
    """A notebook as its parts; the first and the last stage are always there. Where setup is `acting`, there is more of it."""

    parts: tuple[Part, ...]
    values: dict[str, int] = field(default_factory=dict)
    acting: bool = False

    @property
    def code(self) -> list[str]:
        """The code from top to bottom, with the values of the parameters."""
        return [f"n = {self.values.get('n', 2)}", _FIRST, _START, *(part.code for part in self.parts), _END]

    @property
    def cells(self) -> list[Cell]:
        """The cells of the notebook."""
        made = [cell(f"%%mlstage {part.name}\n{part.code}") if part.name else cell(part.code, "setup") for part in self.parts]
        return [cell("n = 2", "parameters"), cell(_FIRST, "setup"), cell(f"%%mlstage first\n{_START}"), *made, cell(f"%%mlstage last\n{_END}")]

    def edited(self, chance: random.Random) -> Notebook:
        """Return the notebook after one edit."""
        parts = list(self.parts)
        place = chance.randrange(len(parts)) if parts else 0
        kind = chance.choice(["change", "delete", "move", "insert", "rename", "parameter", "nothing"])
        if kind == "parameter":
            return replace(self, values={"n": chance.randrange(5)})
        if kind == "insert" or not parts:
            parts.insert(place, _part(chance, f"i{chance.randrange(10**6)}", acting=self.acting))
        elif kind == "change":
            parts[place] = replace(_part(chance, parts[place].name or "-", acting=self.acting), name=parts[place].name)
        elif kind == "delete":
            del parts[place]
        elif kind == "move":
            parts.insert(chance.randrange(len(parts)), parts.pop(place))
        elif kind == "rename" and parts[place].name:
            parts[place] = replace(parts[place], name=f"r{chance.randrange(10**6)}")
        return replace(self, parts=tuple(parts))


def _part(chance: random.Random, name: str, *, acting: bool) -> Part:
    if name != "-" and chance.random() < (0.4 if acting else 0.15):
        return Part("", _filled(chance, [chance.choice(_ACTING if acting else _SETUP)]))
    return Part(name, _filled(chance, chance.choices(_LINES, k=chance.randint(1, 3))))


def _filled(chance: random.Random, lines: list[str]) -> str:
    return "\n".join("".join(str(chance.randrange(5)) if letter == "#" else letter for letter in line) for line in lines)


def write_notebook(chance: random.Random, *, acting: bool = False) -> Notebook:
    """Write a notebook of one to five parts."""
    parts = tuple(_part(chance, f"s{number}", acting=acting) for number in range(chance.randint(1, 5)))
    return Notebook(parts, acting=acting)
