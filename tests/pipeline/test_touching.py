"""What reading a stage can rule out about the objects that it uses."""

from __future__ import annotations

import ast

import pytest

from nbmlops.pipeline.touching import may_change

LEAVES = [
    "y = x + 1",
    "y = x.mean() + len(x)",
    "y = [v for v in x if v > 1]",
    "y = x['a'].sum()",
    "y = x[x['a'] > 1]",
    "print(f'{x!r}', x)",
    "y = np.mean(x)",
    "y = sorted(x)[0]",
    "model.fit(x, x)",
    "y = x.groupby('a').mean()",
    "y = x.copy()\ny['b'] = 1",
    "if x:\n    y = 1",
    "y = -x",
    "import math\ny = math.fsum(x)",
    "y = x.shape[0]",
]
MAY_CHANGE = [
    "x.append(1)",
    "x['a'].append(1)",
    "y = x\ny.append(1)",
    "y = [x]\ny[0].append(1)",
    "for row in x:\n    row.append(1)",
    "f(x)",
    "model.step(x)",
    "x.step()",
    "np.random.shuffle(x)",
    "x.sort_values('a', inplace=True)",
    "np.add(x, 1, out=x)",
    "x += 1",
    "x['a'] = 1",
    "x.attribute = 1",
    "del x[0]",
    "y = []\ny.append(x)\ny[0].append(1)",
    "for k, v in x.items():\n    v.append(1)",
    "y = x['a']\nz = y\nz.clear()",
    "def g():\n    return x\ng().append(1)",
    "with x as y:\n    y.append(1)",
    "(y := x).append(1)",
    "y = list(x)\ny[0].append(1)",
    "y = np.asarray(x)\ny += 1",
]


@pytest.mark.parametrize("code", LEAVES)
def test_code_that_only_looks(code: str) -> None:
    """It is no reason to run a stage that was not asked for."""
    assert not may_change(ast.parse(code), ["x"], ["np"])


@pytest.mark.parametrize("code", MAY_CHANGE)
def test_code_that_may_change_the_object(code: str) -> None:
    """Directly, through another name, a container, a loop, or a function that nobody can look into."""
    assert may_change(ast.parse(code), ["x"], ["np"])
