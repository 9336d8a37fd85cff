"""A table of documents: cells in, edges out."""

from __future__ import annotations

import ast

import pytest

from nbmlops.dataflow.linking import Unit, UnitLinks, link
from nbmlops.dataflow.scopes import Flow, analyse

CLASS = "class C:\n  def m(self): return K"

# cells; links of the last cell, as "name:position", with "?" for nothing and "~" before soft ones
CASES = [
    (["x = 1", "print(x)"], "x:0"),
    (["x = 1", "x = 2", "print(x)"], "x:1"),
    (["x = 1", "if c(): x = 2", "print(x)"], "x:1"),
    (["x = 1", "if 0: x = 2"], ""),
    (["x = {}", "x['a'] = 1", "print(x)"], "x:1"),
    (["x = 0", "x += 1", "y = x"], "x:1"),
    (["x = 1", "del x", "print(x)"], "x:?"),
    (["print(x)"], "x:?"),
    (["for i in range(3): x = i\nprint(x)"], ""),
    (["x = 1", "for i in range(3): x = i\nprint(x)"], "~x:0"),
    (["try: x\nexcept NameError: x = 0"], ""),
    (["list = 1", "print(list)"], "list:0"),
    (["_, b = f()", "print(_, Out, _i1)"], "_:0"),
    # free names, looked up late
    (["K = 1", "def f(): return K", "f()"], "K:0 f:1"),
    (["def f(): return K", "K = 1", "f()"], "K:1 f:0"),
    (["def f(): return K", "K = 1", "f()", "K = 2", "f()"], "K:3 f:0"),
    (["def f(): return K", "K = 1\nf()"], "f:0"),
    (["def f(): return K", "f()\nK = 1"], "f:0"),
    (["K = 0", "def f(): return K", "if f(): K = 1\nf()"], "~K:0 f:1"),
    (["def f(): return g()", "def g(): return K", "K = 1", "f()"], "K:2 f:0 g:1"),
    (["def f(): return g()", "K = 1", "def g(): return K\nf()"], "K:1 f:0"),
    (["def f(): return f() + K", "K = 1", "f()"], "K:1 f:0"),
    (["K = 1", "def f(): return K", "df = t.map(f)", "print(df)"], "df:2"),
    # code that travels in objects
    ([CLASS, "K = 1", "c = C()", "c.m()"], "C:0 K:1 c:2"),
    ([CLASS, "K = 1", "c = C().fit(3)", "c.m()"], "C:0 K:1 c:2"),
    ([CLASS, "class D(C): pass", "K = 1", "d = D()", "d.m()"], "C:0 D:1 K:2 d:3"),
    (["def f(): return K", "K = 1", "g = partial(f)", "g()"], "K:1 f:0 g:2"),
    (["def f(): return K", "K = 1", "p = Pipeline([('a', F(f))])", "p.fit()"], "K:1 f:0 p:2"),
    (["def f(): return K", "K = 1", "g = f", "def f(): return 2", "g()"], "K:1 f:3 g:2"),
    (["def f(): return K", "K = 1", "f = partial(f)", "f()"], "K:1 f:2"),
    (["def f():\n  global g\n  def g(): return K", "K = 1", "f()", "g()"], "K:1 g:2"),
    ([CLASS, "def make(): return C()", "K = 1", "c = make()", "c.m()"], "C:0 K:2 c:3"),
    (["def make():\n  def g(): return K\n  return g", "K = 1", "g = make()", "g()"], "K:1 g:2"),
    (["hooks = []", "hooks.append(lambda: K)", "K = 1", "[h() for h in hooks]"], "K:2 hooks:0"),
    (["hooks = {}", "def f(): return K", "hooks['a'] = f", "K = 1", "hooks['a']()"], "K:3 f:1 hooks:2"),
    (["def timed(f):\n  def g(): return f() + T\n  return g", "@timed\ndef h(): return K", "K = T = 1", "h()"], "K:2 T:2 h:1 timed:0"),
    # data made by code does not bring it along
    (["K = 1", "def clean(d): return d[d.x > K]", "X = clean(t)", "fit(X)"], "X:2 fit:?"),
    (["K = 1", "def clean(d):\n  d['y'] = d.x.map(lambda v: v * K)\n  return d", "X = clean(t)", "print(X)"], "X:2"),
    ([CLASS, "K = 1", "c = C()", "p = c.predict(X)", "print(p)"], "p:3"),
    (["def f(v): return v * K", "K = 1", "y = list(map(f, xs))", "print(y)"], "y:2"),
    # functions that write
    (["n = 0", "def f():\n  global n\n  n += 1", "f()", "print(n)"], "n:2"),
    (["def f():\n  global n\n  n = 1", "f()", "print(n)"], "n:1"),
    (["log = {}", "def f(): log['a'] = 1", "f()", "print(log)"], "log:2"),
    (["log = {}", "def f(): log['a'] = 1", "print(log)"], "log:0"),
    # names that modules bring
    (["import numpy as np", "np.x = 1", "print(np)"], "np:0"),
    (["from m import *", "print(x)"], "~print:0 ~x:0"),
    (["x = 1", "from m import *", "x"], "~x:1 ~x:0"),
    (["from m import *", "x = 1", "x"], "x:1"),
]


def _flow(code: str) -> Flow:
    return analyse(ast.parse(code))


def _links(*cells: str | Unit) -> tuple[UnitLinks, ...]:
    return link([cell if isinstance(cell, Unit) else Unit(key=str(position), flow=_flow(cell)) for position, cell in enumerate(cells)])


def _shown(unit: UnitLinks) -> set[str]:
    return {f"{'~' if item.soft else ''}{item.name}:{'?' if item.provider is None else item.provider}" for item in unit.links}


@pytest.mark.parametrize(("cells", "links"), CASES)
def test_links(cells: list[str], links: str) -> None:
    """Each row of the table holds for its last cell."""
    assert _shown(_links(*cells)[-1]) == set(links.split())


def test_how_says_why() -> None:
    """A link tells by what it came about."""
    cells = ["K = 1\nx = {}\nw = 0", "def f(): return K", "x['a'] = f()\nif x: w = 1", "print(w)"]
    assert {item.name: item.how for item in _links(*cells)[2].links} == {"K": "free name of f", "f": "name", "x": "mutated here", "w": "kept version"}


def test_an_older_version_is_kept_for_readers_only() -> None:
    """Two cells that count by the same name have nothing to do with each other, unless somebody asks for what is left of it."""
    cells = ["for i in range(n): a = i", "for i in range(n): b = i", "for i in range(n): c = i"]
    assert [_shown(unit) for unit in _links("n = 1", *cells)[1:]] == [{"n:0"}] * 3
    assert [_shown(unit) for unit in _links("n = 1", *cells, "print(i)")[1:]] == [{"n:0"}, {"n:0", "~i:1"}, {"n:0", "~i:2"}, {"i:3"}]
    assert [_shown(unit) for unit in _links("n = 1", *cells[:2], "def f(): return i", "f()")[1:]] == [{"n:0"}, {"n:0", "~i:1"}, set(), {"f:3", "i:2"}]
    for more in ({"wanted": ("i",)}, {"writes_override": ("i", "b")}, {"extra_writes": ("i",)}, {"shared": True}):
        assert "~i:1" in _shown(_links("n = 1", cells[0], Unit(key="2", flow=_flow(cells[1]), **more))[2])


def test_writes_and_mutates() -> None:
    """A unit makes versions of what it binds, changes, or has changed by functions that it calls."""
    unit = _links("n = 0\nx = {}", "def f():\n  global n\n  n += 1", "f()\nx['a'] = y = 1")[2]
    assert unit.writes == ("n", "x", "y")
    assert unit.mutates == ("n", "x")


def test_a_patched_module_is_no_version() -> None:
    """Setting an attribute of an imported module is process state."""
    unit = _links("import numpy as np", "y = 1\nnp.x = 1")[1]
    assert (unit.writes, unit.patches) == (("y",), (("np", 2),))


def test_reports_feed_reports_only() -> None:
    """What a report cell binds reaches other report cells; a stage is told that it does not count."""
    units = [
        Unit(key=str(i), flow=_flow(code), reports=code.startswith("#")) for i, code in enumerate(["x = 1", "#\nx = 2", "#\nprint(x)", "print(x)"])
    ]
    links = link(units)
    assert _shown(links[2]) == {"x:1"}
    assert _shown(links[3]) == {"x:0"}
    assert links[3].links[0].hidden_by == 1


def test_in_replaces_inferred_reads_but_not_setup() -> None:
    """``--in`` names the artifacts that a stage takes; setup reaches it all the same."""
    last = Unit(key="s", flow=_flow("print(a, f())"), reads_override=("b",))
    links = _links("a = b = 1", Unit(key="setup", flow=_flow("def f(): return 1"), shared=True), last)
    assert _shown(links[2]) == {"b:0", "f:1"}


def test_out_replaces_inferred_writes() -> None:
    """``--out`` names the artifacts that a stage gives; learnt ones are added."""
    units = [
        Unit(key="0", flow=_flow("a = b = 1")),
        Unit(key="1", flow=_flow("a = b = c = 2"), writes_override=("a",), extra_writes=("b",)),
        Unit(key="2", flow=_flow("print(a, b)")),
    ]
    links = link(units)
    assert links[1].writes == ("a", "b")
    assert _shown(links[2]) == {"a:1", "b:1"}


def test_learnt_names_are_linked() -> None:
    """A read or mutation seen at run time counts as one that was read in the code."""
    links = _links("x = y = 1", Unit(key="1", flow=_flow("h()"), extra_reads=("x",), extra_writes=("y",)), "print(y)")
    assert {(item.name, item.provider, item.how) for item in links[1].links if item.name != "h"} == {("x", 0, "learnt"), ("y", 0, "mutated here")}
    assert links[1].mutates == ("y",)
    assert _shown(links[2]) == {"y:1"}


def test_undefined_and_providers() -> None:
    """A unit tells what must come before it, and what nothing defines."""
    unit = _links("x = 1", "print(x, nothing)")[1]
    assert unit.providers == {0}
    assert [item.name for item in unit.undefined] == ["nothing"]
