"""A builder that goes on from what it built before gives what one that begins anew gives."""

from __future__ import annotations

import functools
import os
import random
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmlops.dataflow import acting, linking, localtime, normalise
from nbmlops.notebook import code as notebook_code
from nbmlops.notebook import directive, known, roles
from nbmlops.notebook.document import parse_document
from nbmlops.pipeline import code as pipeline_code
from nbmlops.pipeline.build import Builder
from nbmlops.pipeline.checks import sites
from nbmlops.pipeline.effects import ALL_NAMES, NO_EFFECTS, Effects
from nbmlops.pipeline.source import Source, SourceReader
from tests.acceptance.project import notebook_json
from tests.pipeline.written import Cell, cell, pipeline_of

_EXAMPLES = int(os.environ.get("NBMLOPS_TEST_EXAMPLES", "24"))
_NAMES = ("a", "b", "c", "f", "g", "box", "n")
_PATHS = ("a.txt", "out/", "out/b.txt", "data.csv")
_SETUP = (
    "n = 1", "n = 2", "box = []", "box.append(n)", "import os\nimport json as b", "from helper import *", "from __future__ import annotations",
    "def f(x: n = 1):\n    return x + n", "def g():\n    open('a.txt').read()\n    return f(a)", "class Box:\n    held = box", "g = f",
    "os.environ['A'] = '1'", "PATH = 'data.csv'", "%load_ext nbmlops", "b = dict()", "box[0] = n",
)  # fmt: skip
_BODIES = (
    "a = 1", "a = n + 1", "b = f(a)", "b = a", "box.append(a)", "a += 1", "c = [a, b]", "if a:\n    b = 2", "del b", "c = g()",
    "open('out/b.txt', 'w')",
    "open(PATH).read()", "exec('a = 2')", "from math import *", "import os\nos.sep = b", "x = 1 +", "print(a, b, c, box)", "a = lambda: b",
)  # fmt: skip
_OPTIONS = ("", "", "", " --in a", " --out a,b", " --after s1", " --file *.txt", " --writes out/b.txt", " --if n", " --metrics a", " --seed 3")


def _any_cell(chance: random.Random) -> Cell | str:
    body = chance.choice(_BODIES)
    match chance.randrange(8):
        case 0 | 1:
            return cell(chance.choice(_SETUP), *chance.choice([(), (), ("setup",), ("parameters",), ("injected-parameters",)]))
        case 2:
            return chance.choice(_BODIES)
        case 3:
            return cell(body, f"stage:s{chance.randrange(3)}")
        case _:
            return f"%%mlstage s{chance.randrange(6)}{chance.choice(_OPTIONS)}\n{body}"


def _edited(chance: random.Random, cells: list[Cell | str]) -> list[Cell | str]:
    cells = list(cells)
    place = chance.randrange(len(cells) + 1)
    match chance.randrange(5):
        case 0 if cells:
            del cells[place % len(cells)]
        case 1 if cells:
            cells[place % len(cells)] = _any_cell(chance)
        case 2 if cells:
            cells.insert(place % len(cells), cells.pop(chance.randrange(len(cells))))
        case 3 if cells:
            cells[place % len(cells)] = _with_other_numbers(cells[place % len(cells)])
        case _:
            cells.insert(place, _any_cell(chance))
    return cells


def _with_other_numbers(changed: Cell | str) -> Cell | str:
    """Change code in what reading its names does not tell."""
    if isinstance(changed, str):
        return re.sub(r"= (\d)$", lambda found: f"= {found[1]}0", changed)
    return {**changed, "source": _with_other_numbers(str(changed["source"]))}


def _learnt(chance: random.Random, effects: dict[str, Effects]) -> dict[str, Effects]:
    def some(choices: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(chance.sample(choices, chance.randrange(3))))

    taught = Effects(
        reads=some((*_NAMES, ALL_NAMES)),
        writes=some(_NAMES),
        mutated=some(_NAMES),
        aliases=chance.choice([(), (("a", "b"), ("box", "c")), (("a", "box"), ("b", "c")), (("a", "b", "box", "c"),)]),
        files_read=some(_PATHS),
        files_absent=some(_PATHS),
        files_written=some(_PATHS),
        random=chance.choice([(), ("numpy",)]),
    )
    name, field = f"s{chance.randrange(6)}", chance.choice([item.name for item in fields(Effects)])
    before = effects.get(name, NO_EFFECTS)
    return {**effects, name: chance.choice([taught, taught, NO_EFFECTS, replace(before, **{field: getattr(taught, field)})])}


class _Reader:
    """Reads one notebook again and again, as a kernel does: of cells that are the same the objects are."""

    def __init__(self) -> None:
        self._reader = SourceReader()
        self._document = parse_document(notebook_json([]))

    def read(self, cells: list[Cell | str], path: Path) -> Source:
        made = notebook_json(cells)
        known = self._document.raw["cells"]
        made["cells"] = [
            known[place] if place < len(known) and {**item, "source": "".join(item["source"])} == known[place] else item
            for place, item in enumerate(made["cells"])
        ]
        self._document = parse_document(made, path, self._document)
        return self._reader.read(self._document)


def _forget() -> None:
    """Forget all that is kept of equal code, so that it is read anew."""
    for module in (acting, directive, known, localtime, normalise, notebook_code, pipeline_code, sites):
        for item in vars(module).values():
            if isinstance(item, functools._lru_cache_wrapper):
                item.cache_clear()


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small notebook have several stretches of pieces."""
    monkeypatch.setattr(linking, "_STRIDE", 3)
    monkeypatch.setattr(roles, "_STRIDE", 2)


@settings(max_examples=_EXAMPLES)
@given(st.integers(0, 2**32))
def test_builder_gives_what_building_anew_gives(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Cells are inserted, deleted, edited and moved, effects are learnt and forgotten, parameters change."""
    chance, builder, reader, path = random.Random(seed), Builder(), _Reader(), _folder(str(tmp_path_factory.getbasetemp())) / "nb.ipynb"
    cells: list[Cell | str] = [_any_cell(chance) for _ in range(chance.randrange(14))]
    effects: dict[str, Effects] = {}
    runs: dict[str, str] = {}
    values: dict[str, Any] = {}
    found = []
    for _ in range(8):
        source = reader.read(cells, path)
        for _ in range(chance.randrange(1, 4)):
            found.append((cells, values, effects, runs, builder.build(source, values, effects, runs)))
            effects = _learnt(chance, effects)
            runs = chance.choice([runs, {**runs, f"s{chance.randrange(6)}": chance.choice(["1a2b3c4d5e", "ffffffffff"])}])
            values = chance.choice([values, {}, {}, {"n": 5}, {"n": "data.csv"}, {"PATH": "a.txt"}])
        cells = _edited(chance, cells)
    for cells, values, effects, runs, pipeline in found:
        _forget()
        assert pipeline == pipeline_of(*cells, path=path, parameters=values, effects=effects, runs=runs), cells


@functools.cache
def _folder(base: str) -> Path:
    folder = Path(base, "builder")
    folder.mkdir()
    (folder / "helper.py").write_text("a = 1\ndef f(x): return x\n")
    (folder / "one.txt").touch()
    return folder


_SHARED = {"s1": replace(NO_EFFECTS, aliases=(("a", "both"),))}


@pytest.mark.parametrize(
    ("cells", "edited", "effects"),
    [
        pytest.param(
            [cell("h = dict()", "setup"), "%%mlstage s1\na = 1", "%%mlstage s2\nb = h"],
            "%%mlstage s2\nb = 2",
            {},
            id="what setup calls is for itself when nobody reads it any more",
        ),
        pytest.param(
            ["%%mlstage s1\na = []\nboth = [a]", "%%mlstage s3\nc = a", "%%mlstage s2\nother = 1", "%%mlstage s4\nd = a"],
            "%%mlstage s2\nboth = 1",
            _SHARED,
            id="a name that shares state is another object now",
        ),
        pytest.param(
            ["box = []\nholder = [box]", "%%mlstage s1\nbox[0] = 1", "%%mlstage s2\ny = 1"],
            "%%mlstage s2\ny = holder",
            {},
            id="what a stage changes is read through what holds it",
        ),
        pytest.param(
            ["%%mlstage s1\na = 1", "%%mlstage s2 --after s3\nb = a", "%%mlstage s3\nc = 1"],
            "%%mlstage s4\nc = 1",
            {},
            id="the stage to wait for is gone",
        ),
        pytest.param(
            ["n = int", "m = 1", "from math import pi", "def f(x: n): return x", "%%mlstage s1\na = f(1)"],
            "from __future__ import annotations",
            {},
            id="annotations are evaluated no more",
        ),
        pytest.param(
            ["class Base: pass", "class Sub(Base): pass", "%%mlstage s1\na = 1", "%%mlstage s2\nb = 1"],
            "%%mlstage s1\na = Base.__subclasses__()",
            {},
            id="classes are looked for without their names",
        ),
        pytest.param(
            ["n = 1", "m = 1", "z = 3", "k = 1", "w = z", "%%mlstage s2\na = w"],
            "%%mlstage s1\nz = 3",
            {},
            id="a cell below is no setup any more",
        ),
        pytest.param(
            ["import os", "n = 1", cell("m = 1", "setup"), "%%mlstage s1\na = 1"],
            cell("for m in range(n):\n    os.nice(m)", "setup"),
            {},
            id="setup does something now",
        ),
        pytest.param(
            ["%%mlstage s1\na = 1", "%%mlstage s2\nb = 1", "%%mlstage s3\nc = 1"],
            "%%mlstage s3\nc = a",
            {},
            id="what a stage hands on is read now",
        ),
    ],
)
def test_what_one_edit_reaches(tmp_path: Path, cells: list[Cell | str], edited: Cell | str, effects: dict[str, Effects]) -> None:
    """The stages above and below the edited one are as if built from nothing; before and after, and back again."""
    after = [*cells[:2], edited, *cells[3:]]
    builder, reader, path = Builder(), _Reader(), tmp_path / "nb.ipynb"
    for now in (cells, after, cells):
        assert builder.build(reader.read(now, path), {}, effects) == pipeline_of(*now, path=path, effects=effects)


def test_star_of_a_file_that_changes(tmp_path: Path) -> None:
    """What a cell binds that imports everything from a file is read off the file each time."""
    builder, reader, path = Builder(), _Reader(), tmp_path / "nb.ipynb"
    cells: list[Cell | str] = ["from helper import *", "%%mlstage s1\na = f(1)", "%%mlstage s2\nfrom helper import *\nb = g"]
    for text in ("f = abs\n", "g = 1\n", "f = g = 2\n"):
        (tmp_path / "helper.py").write_text(text)
        os.utime(tmp_path / "helper.py", ns=(len(text) * 10**9, len(text) * 10**9))
        assert builder.build(reader.read(cells, path)) == pipeline_of(*cells, path=path)


def test_what_is_learnt_counts_though_no_link_changes(tmp_path: Path) -> None:
    """A pipeline that was built just now is given again only if nothing else went into it."""
    builder, reader, path = Builder(), _Reader(), tmp_path / "nb.ipynb"
    path_of = cell("p = 'a.txt'", "parameters")
    cells: list[Cell | str] = [path_of, "%%mlstage s1\na = open(p).read()", "%%mlstage s3\nc = 1", "%%mlstage s2 --file *.txt\nb = a"]
    draws = {"s1": replace(NO_EFFECTS, random=("numpy",), files_read=("z.txt",)), "s3": replace(NO_EFFECTS, random=("numpy",))}
    cases: list[tuple[dict[str, Effects], dict[str, str], dict[str, Any]]] = [
        ({}, {}, {}), (draws, {}, {}), (draws, {"s1": "ffffffff"}, {}), (draws, {}, {"p": "b.txt"}), (draws, {}, {}), ({}, {"s1": "ffffffff"}, {}),
    ]  # fmt: skip
    for plain in (cells[:3], cells):
        source = reader.read(plain, path)
        for effects, runs, values in cases:
            built = builder.build(source, values, effects, runs)
            assert built == pipeline_of(*plain, path=path, parameters=values, effects=effects, runs=runs)
            again = builder.build(source, values, effects, runs)
            assert again == built
            assert (again is built) == (not values and plain is not cells)
    (tmp_path / "new.txt").touch()
    effects, runs, values = cases[-1]
    assert builder.build(source, values, effects, runs) == pipeline_of(*cells, path=path, effects=effects, runs=runs)
