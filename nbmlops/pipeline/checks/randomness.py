"""Random numbers that differ from run to run, or from those of one process from top to bottom.

Before setup runs, nbmlops seeds `random` and `numpy.random` in each stage's process from the run's seed and the stage's code; a seed that setup
gives wins. So what draws from these global states repeats in every run, but two stages never continue one sequence. Nothing else is seeded.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.pipeline.checks.fate import VALUE, Fate, fate_of
from nbmlops.pipeline.checks.libraries import (
    DEEP_DRAWS,
    DEEP_SEEDS,
    ENTROPY,
    ESTIMATORS,
    GENERATORS,
    GLOBAL_DRAWS,
    GLOBAL_SEEDS,
    RANDOM_STATE,
)
from nbmlops.pipeline.checks.sites import shown
from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.pipeline.checks.checked import Checked, StageCode
    from nbmlops.pipeline.checks.sites import Sites

__all__ = ["global_draws", "shared_states", "unseeded_libraries", "unseeded_randomness"]

_SEEDING_KEYWORDS = frozenset({"seed", "random_state", "rng", "generator", "a", "x"})
_IN_PLACE = frozenset({"random.shuffle", "numpy.random.shuffle"})
_RESEEDS = {"random.seed": "", "numpy.random.seed": "", "torch.seed": "torch.manual_seed", "torch.random.seed": "torch.manual_seed"}
_SEED_CODE = {
    "torch": "torch.manual_seed(0)",
    "tensorflow": "tf.keras.utils.set_random_seed(0)",
}


def unseeded_randomness(checked: Checked) -> Iterator[Diagnostic]:
    """Find random values that no run can repeat: generators without a seed, UUIDs, secrets (NB301)."""
    for code in checked.code:
        for call in code.sites.calls:
            name = code.sites.name(call.func)
            if name in GENERATORS and _without_seed(call):
                what = f"makes a random generator without a seed, {shown(call)}: every run gets other numbers"
                yield code.finding(call, "NB301", "warning", what, f"give it a seed: {ast.unparse(call.func)}(0)")
            elif name in _RESEEDS and _without_seed(call):
                what = f"seeds with what the system gives, {shown(call)}: every run gets other numbers"
                yield code.finding(call, "NB301", "warning", what, f"give it a seed: {_RESEEDS[name] or ast.unparse(call.func)}(0)")
        for node, name in code.sites.used():
            if name in ENTROPY and fate_of(code.sites, node, VALUE, code.handed) is not Fate.SHOWN:
                instead = "uuid.uuid5(uuid.NAMESPACE_URL, text)" if "uuid" in name else "random.Random(0)"
                yield code.finding(node, "NB301", "warning", f"keeps what no run can repeat, {shown(node)}", f"use what repeats: {instead}")


def _without_seed(call: ast.Call) -> bool:
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in _SEEDING_KEYWORDS or keyword.arg is None)]
    return not given or (isinstance(given[0], ast.Constant) and given[0].value is None)


def unseeded_libraries(checked: Checked) -> Iterator[Diagnostic]:
    """Find draws from the states of libraries that nbmlops does not seed (NB310)."""
    seeded = {user: _seeded_libraries(checked, user) for user in checked.pipeline.stages} if _draws_deep(checked) else {}
    for code in checked.code:
        told: set[str] = set()  # one seed mends them all
        for call in code.sites.calls:
            library = DEEP_DRAWS.get(code.sites.name(call.func))
            if library is None or library in told or library in seeded.get(code.stage, ()) or _given(call, "generator"):
                continue
            told.add(library)
            what = f"draws from the random state of {library}, which nothing seeds: {shown(call.func)}"
            yield code.finding(call, "NB310", "warning", what, f"in a setup cell: {_SEED_CODE[library]}")


def _draws_deep(checked: Checked) -> bool:
    return any(code.sites.name(call.func) in DEEP_DRAWS for code in checked.code for call in code.sites.calls)


def _seeded_libraries(checked: Checked, stage: str) -> frozenset[str]:
    found: set[str] = set()
    for sites in checked.sites:
        if sites.stage == stage or stage in checked.users.get(sites.position, ()):
            found.update(DEEP_SEEDS.get(sites.name(call.func), "") for call in sites.calls)
    return frozenset(found)


def _given(call: ast.Call, keyword: str) -> bool:
    """Tell whether an argument is given and not None, or may be among ``**options``."""
    for item in call.keywords:
        if item.arg is None or (item.arg == keyword and not (isinstance(item.value, ast.Constant) and item.value.value is None)):
            return True
    return False


def global_draws(checked: Checked) -> Iterator[Diagnostic]:
    """Find draws from a global state that nothing in the notebook seeds (NB309)."""
    seeded = _seeding(checked)
    for code in checked.code:
        for call in code.sites.calls:
            module, fix = _draw(code.sites, call)
            if module and module not in seeded and _keeps(code, call):
                what = f"draws from the global random state of {module}, which nothing seeds: {shown(call.func)}"
                what += " (the numbers repeat in runs of nbmlops, not where the notebook is run without it)"
                yield code.finding(call, "NB309", "info", what, fix)


def _keeps(code: StageCode, call: ast.Call) -> bool:
    return code.sites.name(call.func) in _IN_PLACE or fate_of(code.sites, call, VALUE, code.handed) is not Fate.SHOWN


def _seeding(checked: Checked) -> frozenset[str]:
    """Return the global states that something in the notebook seeds."""
    return frozenset(GLOBAL_SEEDS.get(sites.name(call.func), "") for sites in checked.sites for call in sites.calls)


def _draw(sites: Sites, call: ast.Call) -> tuple[str, str]:
    """Return from which global state a call draws and how it would not; ("", "") if it draws from none."""
    name = sites.name(call.func)
    if name in GLOBAL_DRAWS:
        return GLOBAL_DRAWS[name], _with_generator(call, GLOBAL_DRAWS[name], name.rpartition(".")[2])
    if name in _FOLDS:
        draws = _is(call, "shuffle", value=True)
    elif name in RANDOM_STATE or (name.startswith(("sklearn.", "imblearn.")) and name.rpartition(".")[2] in ESTIMATORS):
        draws = not _is(call, "shuffle", value=False)
    elif name:
        draws = name.startswith("scipy.stats.") and name.endswith(".rvs")
    else:
        draws = isinstance(call.func, ast.Attribute) and call.func.attr == "sample" and _samples_rows(call)
    if not draws or _given(call, "random_state"):
        return "", ""
    keywords = [item for item in call.keywords if item.arg != "random_state"]
    seeded = ast.Call(func=call.func, args=call.args, keywords=[*keywords, ast.keyword(arg="random_state", value=ast.Constant(0))])
    return "numpy", f"write {ast.unparse(seeded)}"


def _with_generator(call: ast.Call, module: str, function: str) -> str:
    """Write a draw with a generator of its own."""
    args = call.args
    if function in {"rand", "randn"} and len(args) > 1:
        args = [ast.Tuple(elts=args, ctx=ast.Load())]
    modern = _MODERN.get(function, function) if module == "numpy" else function
    method = ast.Attribute(value=ast.Name(id="rng", ctx=ast.Load()), attr=modern, ctx=ast.Load())
    drawn = ast.unparse(ast.Call(func=method, args=args, keywords=call.keywords))
    return f"write rng = {_GENERATOR[module]}, then {drawn}"


_FOLDS = frozenset({"sklearn.model_selection.KFold", "sklearn.model_selection.StratifiedKFold"})
_GENERATOR = {"random": "random.Random(0)", "numpy": "np.random.default_rng(0)"}
_MODERN = {
    "rand": "random",
    "randn": "standard_normal",
    "randint": "integers",
    "random_integers": "integers",
    "random_sample": "random",
    "ranf": "random",
}


def _is(call: ast.Call, keyword: str, *, value: bool) -> bool:
    return any(item.arg == keyword and isinstance(item.value, ast.Constant) and item.value.value is value for item in call.keywords)


def _samples_rows(call: ast.Call) -> bool:
    """Tell ``frame.sample(frac=1)`` and ``frame.sample(5)`` from the methods `sample` of other things."""
    keywords = {item.arg for item in call.keywords}
    if keywords & {"seed", "generator", "rng"}:
        return False
    alone = len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, int)
    return bool(keywords & {"frac", "n", "replace", "weights"}) or (alone and not keywords)


def shared_states(checked: Checked) -> Iterator[Diagnostic]:
    """Find stages that go on where an earlier one left a global random state (NB302): in one process they would continue its sequence."""
    for module in ("random", "numpy"):
        before: list[str] = []
        for stage, touched in _touching(checked, module):
            if touched is _SEEDED:
                before.clear()
            elif touched is _OWN:
                before.append(stage)
            elif before:
                yield _shared(checked, module, [*before, stage])
                break
            else:
                before.append(stage)


_SEEDED, _OWN, _DRAWN = "seeded by setup", "seeds it before it draws", "draws"


def _touching(checked: Checked, module: str) -> Iterator[tuple[str, str]]:
    """Yield, in document order, what seeds the global state of a module and which stages draw from it."""
    seen: set[str] = set()
    places = {sites.position: sites for sites in checked.sites}
    for position, piece in enumerate(checked.pieces):
        sites = places.get(position)
        if piece.stage is None:
            if sites is not None and sites.setup and _first_seed(sites, module) is not None:
                yield "", _SEEDED
            continue
        seed = _first_seed(sites, module) if sites is not None else None
        draws = sites is not None and any(_certain_draw(sites, call, module) for call in sites.calls)
        learnt = module in checked.effects.get(piece.stage, NO_EFFECTS).random
        if piece.stage not in seen and (draws or learnt or seed is not None):
            seen.add(piece.stage)
            yield piece.stage, _OWN if seed is not None and sites is not None and _leads(sites, seed) else _DRAWN


def _certain_draw(sites: Sites, call: ast.Call, module: str) -> bool:
    """Tell a call that surely draws; estimators may not, and are learnt when they run."""
    name = sites.name(call.func)
    return GLOBAL_DRAWS.get(name) == module or GLOBAL_SEEDS.get(name) == module


def _first_seed(sites: Sites, module: str) -> ast.Call | None:
    seeds = [call for call in sites.calls if GLOBAL_SEEDS.get(sites.name(call.func)) == module and not _without_seed(call)]
    return min(seeds, key=lambda call: call.lineno, default=None)


def _leads(sites: Sites, seed: ast.Call) -> bool:
    """Tell whether a stage seeds for itself before anything else that it calls: then nothing before it matters."""
    certain = not any(isinstance(outer, (ast.If, ast.For, ast.While, ast.Try, ast.FunctionDef, ast.Lambda)) for outer in sites.around(seed))
    return certain and all(call.lineno >= seed.lineno for call in sites.calls)


def _shared(checked: Checked, module: str, names: list[str]) -> Diagnostic:
    last = checked.pipeline.stages[names[-1]]
    draws = [call for sites in checked.sites if sites.stage == last.name for call in sites.calls if _certain_draw(sites, call, module)]
    return Diagnostic(
        code="NB302",
        severity="warning",
        message=f"stages {', '.join(names)} draw from the global random state of {module}: each gets its own numbers, other than one process would",
        fix=f"make a generator in each stage: rng = {_GENERATOR[module]}",
        cell=last.cells[0],
        line=draws[0].lineno if draws else None,
        stage=last.name,
    )
