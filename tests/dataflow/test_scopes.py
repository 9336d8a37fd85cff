"""A table of code: what it reads, binds and mutates, and what its objects carry."""

from __future__ import annotations

import ast

import pytest

from nbmlops.dataflow.scopes import Flow, analyse

BUILTIN = {
    "print",
    "len",
    "open",
    "range",
    "NameError",
    "Exception",
    "ValueError",
    "get_ipython",
    "exec",
    "eval",
    "list",
    "sorted",
    "map",
    "property",
    "int",
}

# code; reads ("?x" is soft: nobody need provide it); binds ("x?" is a may-definition); mutates
CASES = [
    ("y = x + 1", "x", "y", ""),
    ("x = 1\nprint(x)", "", "x", ""),
    ("x += 1", "x", "x", "x"),
    ("a, (b, *c) = t", "t", "a b c", ""),
    ("x = y = z", "z", "x y", ""),
    ("df['a'] = b", "df b", "", "df"),
    ("df.loc[m, 'a'] += k", "df m k", "", "df"),
    ("del d[k]", "d k", "", "d"),
    ("b((b := h))", "b h", "b", ""),
    ("d[0] += (d := k)", "d k", "d", "d"),
    ("x.y.z = 1", "x", "", "x"),
    ("x: int = v", "v", "x", ""),
    ("x: T", "T", "", ""),
    ("(c if t else d).x = 1", "c t d", "", "c d"),
    ("y = x\ny['a'] = 1", "x", "y", "x y"),
    ("for row in rows: row['a'] = 1", "rows", "row?", "row rows"),
    # branches
    ("if c: x = 2", "c", "x?", ""),
    ("if c: x = 2\nprint(x)", "c ?x", "x?", ""),
    ("if c: x = 2\nelse: x = 3\nprint(x)", "c", "x", ""),
    ("if c: x = 2\nelse: raise ValueError\nprint(x)", "c", "x", ""),
    ("if True: x = 2\nprint(x)", "", "x", ""),
    ("if __name__ == '__main__': x = 2\nprint(x)", "?__name__", "x", ""),
    ("c and (x := f(c))\nprint(x)", "c f ?x", "x?", ""),
    ("print(x if (x := c) else d)", "c d", "x", ""),
    (
        "match s:\n  case [a, *b]: y = a\n  case {'k': v, **r} if g: y = v\n  case P(q=e) | e: y = e\n  case _: y = 0\nprint(y)",
        "s g P",
        "a? b? v? r? e? y",
        "",
    ),
    # loops
    ("for i in xs: y = i\nprint(y)", "xs ?y", "i? y?", ""),
    ("for i in xs:\n  if i: print(last)\n  last = i", "xs ?last", "i? last?", ""),
    ("for i in xs:\n  print(best)\nbest = 1", "xs best", "i? best", ""),
    ("while c: x = f()", "c f", "x?", ""),
    ("for i in xs:\n  if i: g()\n  def g(): return k", "xs ?g k", "i? g?", ""),
    ("for i in xs: pass\nelse: y = 1", "xs", "i? y?", ""),
    # try and with
    ("try:\n  import a\nexcept ImportError:\n  a = None\nprint(a)", "ImportError", "a", ""),
    ("try: x\nexcept NameError: x = 1\nprint(x)", "?x", "x?", ""),
    ("try: y = f()\nfinally: print(y)", "f ?y", "y", ""),
    ("try: y = f()\nexcept ValueError as e: print(e)", "f", "y?", ""),
    ("try: pass\nexcept ValueError as e: pass\nprint(e)", "e", "", ""),
    ("with a as b, b.c as d.e: f = b", "a d", "b f", "d"),
    ("with suppress(ValueError): x = y\nprint(x)", "suppress y ?x", "x?", ""),
    # comprehensions, lambdas, generators
    ("y = [x * k for x in xs if x > m]", "xs k m", "y", ""),
    ("y = [x for x in x]", "x", "y", ""),
    ("y = [j for i in xs for j in i]", "xs", "y", ""),
    ("y = [(last := i) for i in xs]\nprint(last)", "xs ?last", "y last?", ""),
    ("f = lambda r, *, q=d: r * k + q", "d", "f", ""),
    ("df.apply(lambda r: r * k)", "df ?k", "", ""),
    ("fs = {'a': lambda: later}", "", "fs", ""),
    ("y = sorted(xs, key=lambda i: w[i])", "xs ?w", "y", ""),
    # functions and classes
    ("def f(a, b=d): return a + b + k", "d", "f", ""),
    ("def f(): return a\nf()", "a", "f", ""),
    ("def f(): return a\ng = f", "?a", "f g", ""),
    ("def f(): return g()\ndef g(): return a\nf()", "a", "f g", ""),
    ("def f(): return a\na = 1\nf()", "", "f a", ""),
    ("def f(): return a\nf()\na = 1", "a", "f a", ""),
    ("def f(): return a\nf()\ndef f(): return b", "a", "f", ""),
    ("def f():\n  x = 1\n  def g(): return x + y\n  return g\nf()", "y", "f", ""),
    ("def f():\n  x = 1\n  def g():\n    nonlocal x\n    x += 1\n  return g\nf()", "", "f", ""),
    ("def f():\n  global n\n  n += 1\nf()", "n", "f n?", "n"),
    ("def f(): cache[1] = 2\nf()", "cache", "f", "cache"),
    ("def f(): cache[1] = 2", "", "f", ""),
    ("def f(x): x[1] = 2\nf(y)", "y", "f", ""),
    ("@deco(k)\ndef f(): return a", "deco k ?a", "f", ""),
    ("def f(x: T = d) -> R: y: U = 1", "T d R", "f", ""),
    ("from __future__ import annotations\ndef f(x: T) -> R: pass", "?T ?R", "f annotations", ""),
    ("class C(B, metaclass=M):\n  x = y\n  z = x\n  def m(self): return x + k", "B M y", "C", ""),
    ("class C:\n  def m(self): return k\nc = C()", "?k", "C c", ""),
    ("class C:\n  x = x", "x", "C", ""),
    ("class C:\n  xs = [q for i in s]\n  q = 1", "s q", "C", ""),
    ("async def f():\n  async for i in a: await b\nawait f()", "a b", "f", ""),
    ("def f():\n  del x\n  x = 1\nf()", "", "f", ""),
    # names that end, and names of modules
    ("x = 1\ndel x", "", "", ""),
    ("x = 1\ntry:\n  del x\n  x = f()\nexcept ValueError: pass", "f", "x?", ""),
    ("del x\nx = 1", "x", "x", ""),
    ("x = 1\nif c: del x", "c", "x?", ""),
    ("import a.b, c.d as e\nfrom m import n as o", "", "a e o", ""),
    # names in strings
    ("df.query('a > @t and b == @u.v')", "df t u", "", ""),
    ("df.query(f'a > @t and b == {w}')", "df t w", "", ""),
    ("q = 'a > @t'\ndf.query(q)", "df t", "q", ""),
    ("eval('x + y')", "x y", "", ""),
    ("exec('x = y')\nprint(x)", "y", "x", ""),
    ("globals()['x'] = y\nprint(globals()['z'])", "y z ?globals", "x", ""),
    ("class C:\n  x = 1\n  y = globals()['x']", "x", "C", ""),
    ("def f(x): globals()['y'] = globals()['x']\nf(1)", "?y x", "f y?", ""),
    ("globals()['x'] += 1", "x", "x", ""),
    ("x = 1\ndel globals()['x']", "", "", ""),
    ("y = {x for a in x for b in [y]}", "x y", "y", ""),
    ("y = [1 for a in xs for a2 in b for b in a2]", "xs", "y", ""),
    ("if 'x' not in globals(): x = 1", "?x", "x?", ""),
    ("duckdb.sql('select * from flights join weather')", "duckdb ?flights ?weather", "", ""),
    ("get_ipython().system('echo {x + 1} $y {')", "?y", "", ""),
    ("get_ipython().system('echo {x + 1} $y')", "?x ?y", "", ""),
    ("out = get_ipython().getoutput('ls {x}')", "?x", "out", ""),
    ("get_ipython().run_cell_magic('capture', 'out', 'z = w\\n')", "w", "out z", ""),
    ("get_ipython().run_cell_magic('time', '', 'z = w\\n!ls {q}')", "w ?q", "z", ""),
    ("get_ipython().run_line_magic('time', 'z = w')", "w", "z", ""),
    ("get_ipython().run_line_magic('timeit', '-n 3 z = w')", "w", "", ""),
    ("get_ipython().run_cell_magic('memit', '', 'z = w')", "?w", "z?", ""),
]


def _named(text: str) -> set[str]:
    return set(text.split())


def _reads(flow: Flow) -> set[str]:
    return {f"?{name}" if name in flow.soft else name for name in flow.reads}


@pytest.mark.parametrize(("code", "reads", "binds", "mutates"), CASES)
def test_reads_binds_and_mutates(code: str, reads: str, binds: str, mutates: str) -> None:
    """Each row of the table holds."""
    flow = analyse(ast.parse(code))
    builtin = BUILTIN | {f"?{name}" for name in BUILTIN}
    wanted = _named(reads)
    assert {name for name in _reads(flow) if name not in builtin and name.lstrip("?") not in {"globals", "__name__", "ImportError"}} == {
        name for name in wanted if name.lstrip("?") not in {"globals", "__name__", "ImportError"}
    }
    assert {name if item.kind == "definite" else f"{name}?" for name, item in flow.binds.items()} == _named(binds)
    assert set(flow.mutates) == _named(mutates)


# a row: code, name, what its object's code reads, what it may write
CARRIED = [
    ("def f(a, b=d): return a + b + k", "f", "k", ""),
    ("def f():\n  def g(): return [x + k for x in xs]\n  return g", "f", "k xs", ""),
    ("class C(B):\n  x = y\n  def m(self): return x + k", "C", "x k B y", ""),
    ("f = lambda: k", "f", "k", ""),
    ("def f(): return k\ng = f", "g", "k f", ""),
    ("g = partial(f, 1)", "g", "partial f", ""),
    ("p = Pipeline([('a', FunctionTransformer(f))])", "p", "Pipeline FunctionTransformer f", ""),
    ("class C:\n  def m(self): return k\no = C()", "o", "k C", ""),
    ("class C:\n  def m(self): return k\no = C().fit(x)", "o", "k C x", ""),
    ("def make():\n  def inner(): return k\n  return inner\ng = make()", "g", "k make", ""),
    ("def make(): return Model()\nm = make()", "m", "Model make", ""),
    ("def f():\n  global n\n  n = 1\n  cache[0] = 1", "f", "cache", "n cache"),
    ("fs = []\nfs.append(lambda: k)", "fs", "k", ""),
    ("hooks['a'] = f", "hooks", "f", ""),
    ("@timed\ndef f(): return k", "f", "k timed", ""),
    ("g = (x * k for x in xs)", "g", "k xs", ""),
    ("g = (f() for x in list(a for a in xs))", "g", "f list xs", ""),
]


@pytest.mark.parametrize(("code", "name", "reads", "writes"), CARRIED)
def test_what_an_object_brings_along(code: str, name: str, reads: str, writes: str) -> None:
    """Code in an object, and in objects that it holds, goes along with it."""
    flow = analyse(ast.parse(code))
    assert flow.carried[name] == _named(reads)
    assert flow.carried_writes.get(name, frozenset()) == _named(writes)


@pytest.mark.parametrize(
    "code",
    ["X = df.x.map(f)", "d = df.assign(a=lambda d: d.x * k)", "n = len(f)", "y = f'{g}'", "y = a < b", "p = model.predict(X)"],
)
def test_data_brings_no_code_along(code: str) -> None:
    """What methods of tables and models return is data: functions given to them are used up."""
    assert not analyse(ast.parse(code)).carries


def test_a_deleted_name_is_told() -> None:
    """A name that is gone at the end is neither bound nor as it was."""
    flow = analyse(ast.parse("x = 1\ndel x, y"))
    assert flow.deleted == {"x", "y"}


def test_lines_are_those_of_the_cell() -> None:
    """Reads and bindings know their first line, inside magics too."""
    flow = analyse(ast.parse("\nx = y\nget_ipython().run_cell_magic('time', '', 'a = b\\nc = d\\n')"))
    assert (flow.reads["y"], flow.binds["x"].line, flow.reads["b"], flow.reads["d"]) == (2, 2, 4, 5)


def test_imports_name_modules() -> None:
    """Imports tell what a name is, and which modules the code loads, in functions too."""
    flow = analyse(ast.parse("import a.b\nimport c.d as e\nfrom m import n\ndef f():\n  import q\nimportlib.import_module('r')"))
    assert flow.imports == {"a": "a", "e": "c.d", "n": "m.n"}
    assert {"a.b", "c.d", "m", "q", "r"} <= flow.modules


def test_a_star_import_is_dynamic() -> None:
    """A star import may bind anything."""
    flow = analyse(ast.parse("from pylab import *"))
    assert flow.star_imports == ("pylab",)
    assert flow.dynamic == (("from pylab import *", 1),)


@pytest.mark.parametrize("code", ["exec(code)", "eval(x)", "globals().update(d)", "print(_)", "Out[3]", "%run", "locals()"])
def test_what_hides_names_is_dynamic(code: str) -> None:
    """What reading cannot follow is told."""
    source = "get_ipython().run_line_magic('run', 'other.py')" if code == "%run" else code
    assert analyse(ast.parse(source)).dynamic


def test_reading_does_not_call_literals_dynamic() -> None:
    """Code and names in literals are followed, not reported."""
    flow = analyse(ast.parse("exec('x = 1')\neval('x')\nglobals()['y'] = 2\ndef f(): return locals()"))
    assert flow.dynamic == ()


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import os\nos.environ['A'] = 'b'", "os.environ"),
        ("from os import environ\nenviron['A'] = 'b'", "os.environ"),
        ("os.chdir('x')", "os.chdir"),
        ("sys.path.insert(0, 'x')", "sys.path.insert"),
        ("pd.set_option('a', 1)", "pandas.set_option"),
        ("pd.options.display.width = 1", "pandas.options.display.width"),
        ("import numpy as np\nnp.x = 1", "numpy.x"),
        ("decimal.getcontext().prec = 3", "decimal.getcontext.prec"),
        ("get_ipython().run_line_magic('cd', 'x')", "%cd"),
    ],
)
def test_process_state(code: str, what: str) -> None:
    """Changes of the process are told, and are no mutations of a name."""
    flow = analyse(ast.parse(code))
    assert [name for name, _ in flow.process_state] == [what]
    assert not flow.mutates


@pytest.mark.parametrize(
    "code", ["os.environ['A']", "os.environ.get('A', 1)", "os.getenv('A')", "'A' in os.environ", "from os import getenv as g\ng('A')"]
)
def test_environment(code: str) -> None:
    """Environment variables read by a literal name are known."""
    assert analyse(ast.parse(code)).environment == {"A"}


@pytest.mark.parametrize("depth", [3000])
def test_a_long_sum_is_read(depth: int) -> None:
    """A sum of thousands of terms does not exhaust the stack."""
    node: ast.expr = ast.Name("a", ast.Load(), lineno=1, col_offset=0)
    for _ in range(depth):
        node = ast.BinOp(node, ast.Add(), ast.Name("b", ast.Load(), lineno=1, col_offset=0))
    assert set(analyse(ast.Module([ast.Expr(node)], [])).reads) == {"a", "b"}
