"""The stage key changes exactly when something changes that the result depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.pipeline.effects import Effects
from nbmlops.runner.environment import file_digest
from nbmlops.runner.stagekey import Surroundings, differences, identity, stage_key, type_exact
from nbmlops.store.records import Artifact
from tests.runner.bench import Bench, cell

PARAMETERS = cell("n = 3\nC = 0.5", "parameters")
HELPERS = (
    "import math\n\ndef clean(x):\n    return trim(x)\n\ndef trim(x):\n    return x[:LIMIT]\n\ndef other(x):\n    return math.sqrt(x)\n\nLIMIT = 4"
)
USES_HELPER = "%%mlstage a\nx = clean('text')"


def setup(source: str) -> Any:
    """Make a setup cell."""
    return cell(source, "setup")


CHANGES: list[tuple[str, list[Any], list[Any], bool]] = [
    ("code", ["%%mlstage a\nx = 1"], ["%%mlstage a\nx = 2"], True),
    ("type of a literal", ["%%mlstage a\nx = 1"], ["%%mlstage a\nx = 1.0"], True),
    ("comment", ["%%mlstage a\nx = 1"], ["%%mlstage a\n# why\nx = 1  # so"], False),
    ("formatting", ["%%mlstage a\nx = f(1, 2)", setup("f = max")], ["%%mlstage a\nx = f(\n    1,\n    2,\n)\n", setup("f = max")], False),
    ("docstring", ["%%mlstage a\n'one'\nx = 1"], ["%%mlstage a\n'two'\nx = 1"], True),
    ("name of the stage", ["%%mlstage a\nx = 1"], ["%%mlstage  a   \nx = 1"], False),
    ("other stage", ["%%mlstage a\nx = 1", "%%mlstage b\ny = 1"], ["%%mlstage a\nx = 1", "%%mlstage b\ny = 2"], False),
    ("upstream code", ["%%mlstage b\ny = 1", "%%mlstage a\nx = y"], ["%%mlstage b\ny = 2", "%%mlstage a\nx = y"], False),
    ("markdown and reports", ["%%mlstage a\nx = 1"], [cell("# title", kind="markdown"), "%%mlstage a\nx = 1", "print(x)"], False),
    ("parameter that is used", [PARAMETERS, "%%mlstage a\nx = n"], [cell("n = 4\nC = 0.5", "parameters"), "%%mlstage a\nx = n"], True),
    ("parameter that is not", [PARAMETERS, "%%mlstage a\nx = n"], [cell("n = 3\nC = 1.5", "parameters"), "%%mlstage a\nx = n"], False),
    ("type of a parameter", [PARAMETERS, "%%mlstage a\nx = n"], [cell("n = 3.0\nC = 0.5", "parameters"), "%%mlstage a\nx = n"], True),
    ("spelling of a parameter", [PARAMETERS, "%%mlstage a\nx = C"], [cell("n = 3\nC = 5e-1  # half", "parameters"), "%%mlstage a\nx = C"], False),
    ("helper that is used", [HELPERS, USES_HELPER], [HELPERS.replace("return trim(x)", "return trim(x).lower()"), USES_HELPER], True),
    ("helper of the helper", [HELPERS, USES_HELPER], [HELPERS.replace("x[:LIMIT]", "x[LIMIT:]"), USES_HELPER], True),
    ("constant of the helper's helper", [HELPERS, USES_HELPER], [HELPERS.replace("LIMIT = 4", "LIMIT = 5"), USES_HELPER], True),
    ("helper that is not used", [HELPERS, USES_HELPER], [HELPERS.replace("math.sqrt(x)", "math.cbrt(x)"), USES_HELPER], False),
    ("comment in a helper", [HELPERS, USES_HELPER], [HELPERS.replace("return trim(x)", "return trim(x)  # short"), USES_HELPER], False),
    ("helper moved to another cell", [HELPERS, USES_HELPER], ["import math", *HELPERS.split("\n", 1)[1:], USES_HELPER], False),
    (
        "base class",
        [setup("class B:\n    k = 1\nclass D(B): pass"), "%%mlstage a\nx = D()"],
        [setup("class B:\n    k = 2\nclass D(B): pass"), "%%mlstage a\nx = D()"],
        True,
    ),
    (
        "configuration before",
        [setup("import random\nrandom.seed(0)"), "%%mlstage a\nx = 1"],
        [setup("import random\nrandom.seed(1)"), "%%mlstage a\nx = 1"],
        True,
    ),
    ("configuration after", ["%%mlstage a\nx = 1"], ["%%mlstage a\nx = 1", setup("import random\nrandom.seed(1)")], False),
    ("seed of the stage", ["%%mlstage a\nx = 1"], ["%%mlstage a --seed 7\nx = 1"], True),
    ("input file", ["%%mlstage a\nx = 1"], ["%%mlstage a --file in.csv\nx = 1"], True),
    ("variable", ["%%mlstage a\nx = 1"], ["%%mlstage a --env USER\nx = 1"], True),
    ("retries", ["%%mlstage a\nx = 1"], ["%%mlstage a --retries 3\nx = 1"], False),
    ("timeout and memory", ["%%mlstage a\nx = 1"], ["%%mlstage a --timeout 10m --memory 4GiB\nx = 1"], False),
    ("gate", ["%%mlstage a --metrics m\nm = 1"], ["%%mlstage a --metrics m --require 'm > 0'\nm = 1"], False),
    ("order of options", ["%%mlstage a --env A --env B\nx = 1"], ["%%mlstage a --env B,A\nx = 1"], False),
    (
        "order of imports",
        [setup("import os, math"), "%%mlstage a\nx = math.pi"],
        [setup("import math\nimport os"), "%%mlstage a\nx = math.pi"],
        False,
    ),
    ("imported name", [setup("from math import pi as k"), "%%mlstage a\nx = k"], [setup("from math import e as k"), "%%mlstage a\nx = k"], True),
]


@pytest.mark.parametrize(("before", "after", "differs"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_key_changes_iff_an_input_changes(bench: Bench, before: list[Any], after: list[Any], differs: bool) -> None:  # noqa: FBT001 - a table row
    """Editing what the result depends on gives another key, and nothing else does."""
    assert (bench.key(*before) != bench.key(*after)) is differs


VALUES = [
    ("n", 3, 3, False),
    ("n", 3, 4, True),
    ("n", 1, 1.0, True),
    ("n", 1, True, True),
    ("n", 1, "1", True),
    ("n", [1, 2], (1, 2), True),
    ("n", {"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ("n", {"b", "a"}, {"a", "b"}, False),
    ("C", 1.0, 2.0, False),
]


@pytest.mark.parametrize(("name", "before", "after", "differs"), VALUES)
def test_parameter_given_for_a_run(bench: Bench, name: str, before: object, after: object, differs: bool) -> None:  # noqa: FBT001
    """A value counts with its type, where the stage uses it."""
    cells = (PARAMETERS, "%%mlstage a\nx = n")
    keys = [bench.key(*cells, parameters={name: value}) for value in (before, after)]
    assert (keys[0] != keys[1]) is differs


def test_default_given_explicitly_is_the_default(bench: Bench) -> None:
    """`-p n 3` equals not giving it."""
    cells = (PARAMETERS, "%%mlstage a\nx = n")
    assert bench.key(*cells) == bench.key(*cells, parameters={"n": 3})


def test_seed_of_the_run_counts_unless_the_stage_has_its_own(bench: Bench) -> None:
    """`--seed` of a stage wins over the run's."""
    assert bench.key("%%mlstage a\nx = 1", seed=1) != bench.key("%%mlstage a\nx = 1", seed=2)
    assert bench.key("%%mlstage a --seed 3\nx = 1", seed=1) == bench.key("%%mlstage a --seed 3\nx = 1", seed=2)


def test_file_counts_by_content_or_absence(bench: Bench) -> None:
    """Other bytes, and no file, are other keys; touching or rewriting the same bytes is not."""
    cells = ("%%mlstage a\nx = open('in.txt').read()",)
    absent = bench.key(*cells)
    bench.write("in.txt", "1")
    first = bench.key(*cells)
    bench.write("in.txt", "1")
    assert bench.key(*cells) == first != absent
    bench.write("in.txt", "2")
    assert bench.key(*cells) not in {first, absent}


def test_file_seen_opened_counts(bench: Bench) -> None:
    """A file that only running has shown is an input like any other."""
    seen = Effects(files_read=("in.txt",), files_absent=("conf.yml",))
    bench.write("in.txt", "1")
    keys = {bench.key("%%mlstage a\nx = 1", effects=seen)}
    bench.write("in.txt", "2")
    keys.add(bench.key("%%mlstage a\nx = 1", effects=seen))
    bench.write("conf.yml", "")
    keys.add(bench.key("%%mlstage a\nx = 1", effects=seen))
    assert len(keys) == 3


def test_environment_variable_counts_where_it_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty and set are three keys; of a stage that does not read it, one."""
    reading, other = ("import os", "%%mlstage a\nx = os.environ.get('WHO')"), ("import os", "%%mlstage a\nx = os.sep")
    monkeypatch.delenv("WHO", raising=False)
    unset = bench.key(*reading), bench.key(*other)
    monkeypatch.setenv("WHO", "")
    empty = bench.key(*reading), bench.key(*other)
    monkeypatch.setenv("WHO", "me")
    named = bench.key(*reading), bench.key(*other)
    assert len({unset[0], empty[0], named[0]}) == 3
    assert len({unset[1], empty[1], named[1]}) == 1


def test_variable_that_setup_reads_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant made of a variable brings the variable into the key."""
    cells = (setup("import os\nwho = os.getenv('WHO')"), "%%mlstage a\nx = who")
    monkeypatch.setenv("WHO", "me")
    first = bench.key(*cells)
    monkeypatch.setenv("WHO", "you")
    assert bench.key(*cells) != first


def test_secret_does_not_count(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotating a token runs nothing."""
    cells = ("import os", "%%mlstage a --secret TOKEN\nx = len(os.environ['TOKEN'])")
    monkeypatch.setenv("TOKEN", "old-token")
    first = bench.key(*cells)
    monkeypatch.setenv("TOKEN", "new-token")
    assert bench.key(*cells) == first


def test_value_of_a_variable_is_not_in_the_components(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records hold a digest, since variables hold credentials more often than not."""
    monkeypatch.setenv("WHO", "very-secret-value")
    planned = bench.plan("import os", "%%mlstage a\nx = os.environ['WHO']")["a"]
    assert "WHO" in planned.parts["environment"]
    assert "very-secret-value" not in repr(planned.parts)


MODULES = [
    ("helpers.py", "return 1", "return 2", True),
    ("helpers.py", "return 1", "return 1  # one", False),
    ("deeper.py", "K = 1", "K = 2", True),
    ("package/__init__.py", "K = 1", "K = 2", True),
    ("package/inner.py", "K = 1", "K = 2", True),
    ("unused.py", "K = 1", "K = 2", False),
]


@pytest.mark.parametrize(("name", "old", "new", "differs"), MODULES)
def test_local_module_counts_transitively(bench: Bench, name: str, old: str, new: str, differs: bool) -> None:  # noqa: FBT001 - a table row
    """A module of the project counts with what it imports, by meaning; others do not."""
    bench.write("helpers.py", "import deeper\nfrom package import inner\n\n\ndef f():\n    return 1\n")
    for file in ("deeper.py", "package/__init__.py", "package/inner.py", "unused.py"):
        bench.write(file, "K = 1\n")
    cells = ("import helpers", "%%mlstage a\nx = helpers.f()")
    first = bench.key(*cells)
    bench.write(name, (bench.folder / name).read_text(encoding="utf-8").replace(old, new))
    assert (bench.key(*cells) != first) is differs


def test_local_module_that_cannot_be_parsed_counts_by_its_bytes(bench: Bench) -> None:
    """A broken module breaks no plan."""
    cells = ("%%mlstage a\nimport helpers\nx = 1",)
    bench.write("helpers.py", "def f(:")
    first = bench.key(*cells)
    bench.write("helpers.py", "def g(:")
    assert bench.key(*cells) != first


def test_distribution_counts_with_its_version(bench: Bench) -> None:
    """What a stage imports from an installed distribution is in the key by version; the standard library is not."""
    planned = bench.plan("import numpy as np\nimport json", "%%mlstage a\nx = np.pi", "%%mlstage b\ny = json.dumps(1)")
    assert set(planned["a"].parts["distributions"]) == {"numpy"}
    assert planned["b"].parts["distributions"] == {}


def test_input_counts_by_identity(bench: Bench) -> None:
    """Keys are built on what the inputs are, not on what made them."""
    planner = bench.planner("%%mlstage b\ny = 1", "%%mlstage a\nx = y")
    stage = planner.pipeline.stages["a"]
    keys = [stage_key(planner.parts(stage, {"y": value}, Effects(), {})) for value in ("one", "one", "two")]
    assert keys[0] == keys[1] != keys[2]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=6,
)


def exactly_equal(one: Any, two: Any) -> bool:
    """Compare with types, order of keys and signs of zero."""
    if type(one) is not type(two):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(exactly_equal, one, two))
    if isinstance(one, dict):
        return exactly_equal(list(one.items()), list(two.items()))
    return repr(one) == repr(two)


@given(PLAIN, PLAIN)
def test_encoding_is_type_exact(one: object, two: object) -> None:
    """Two values share a text exactly if they are equal in type, value and order."""
    assert (type_exact(one) == type_exact(two)) is exactly_equal(one, two)


@given(st.sets(st.integers() | st.text(max_size=3)))
def test_order_of_a_set_does_not_show(values: set[Any]) -> None:
    """Sets have no order, whatever the hash seed."""
    other: set[Any] = set(range(100, 200))
    for value in sorted(values, key=repr, reverse=True):
        other.add(value)
    assert type_exact(values) == type_exact(other - (set(range(100, 200)) - values))


@pytest.mark.parametrize(
    ("one", "two"), [(1, 1.0), (1, True), (1, "1"), ([1], (1,)), (set(), {}), (frozenset({1}), {1}), (set(), frozenset()), (b"a", "a"), (0.0, -0.0)]
)
def test_types_never_share_a_text(one: object, two: object) -> None:
    """What Python calls equal, or writes alike, may still be different inputs."""
    assert type_exact(one) != type_exact(two)
    assert type_exact([one]) != type_exact([two])


def artifact(*refers: str) -> Artifact:
    """Make an artifact whose value refers to code."""
    return Artifact(name="model", digest="ab" * 32, format="pickle5", size_bytes=1, refers=refers)


IDENTITIES = [
    ("class itself", "name:Model", "class Model:\n    k = 2", True),
    ("comment in it", "name:Model", "class Model:\n    k = 1  # one", False),
    ("function that its method calls", "name:Model", "class Model:\n    k = 1\n\n    def run(self):\n        return work()", True),
    ("other class", "name:Other", "class Model:\n    k = 2", False),
]


@pytest.mark.parametrize(("reference", "after", "differs"), [row[1:] for row in IDENTITIES], ids=[row[0] for row in IDENTITIES])
def test_identity_is_bytes_and_code(bench: Bench, reference: str, after: str, differs: bool) -> None:  # noqa: FBT001 - a table row
    """Editing the class of a stored object makes it another input, although its bytes are equal."""
    found = []
    for text in ("class Model:\n    k = 1", after):
        planner = bench.planner(setup(text), setup("class Other: pass\n\ndef work(): pass"), "%%mlstage a\nx = 1")
        found.append(identity(artifact(reference), planner.pipeline, before=2, surroundings=planner.surroundings))
    assert (found[0] != found[1]) is differs


def test_identity_follows_what_the_class_calls(bench: Bench) -> None:
    """A function that a method reaches belongs to the class, transitively."""
    found = set()
    for value in (1, 2):
        cells = (setup(f"class Model:\n    def run(self):\n        return work()\n\ndef work():\n    return K\n\nK = {value}"), "%%mlstage a\nx = 1")
        planner = bench.planner(*cells)
        found.add(identity(artifact("name:Model"), planner.pipeline, before=1, surroundings=planner.surroundings))
    assert len(found) == 2


def test_identity_of_plain_data_is_its_digest(bench: Bench) -> None:
    """A frame of numbers refers to no code."""
    planner = bench.planner("%%mlstage a\nx = 1")
    assert identity(artifact(), planner.pipeline, before=0, surroundings=planner.surroundings) == "ab" * 32


def test_identity_follows_local_modules(bench: Bench) -> None:
    """An object of a class in the project's `shapes.py` is another once that file changes."""
    found = set()
    for text in ("class Box: pass", "class Box: pass  # empty", "class Box:\n    w = 1"):
        bench.write("shapes.py", text)
        planner = bench.planner("%%mlstage a\nx = 1")
        found.add(identity(artifact("module:shapes"), planner.pipeline, before=0, surroundings=planner.surroundings))
    assert len(found) == 2


WHY: list[tuple[list[Any], list[Any], list[str]]] = [
    ([PARAMETERS, "%%mlstage a\nx = n"], [cell("n = 4\nC = 0.5", "parameters"), "%%mlstage a\nx = n"], ["parameter n 3 -> 4"]),
    ([HELPERS, USES_HELPER], [HELPERS.replace("LIMIT = 4", "LIMIT = 5"), USES_HELPER], ["constant LIMIT 4 -> 5"]),
    ([HELPERS, USES_HELPER], [HELPERS.replace("x[:LIMIT]", "x[LIMIT:]"), USES_HELPER], ["definition trim changed"]),
    (["%%mlstage a\nx = 1"], ["%%mlstage a\nx = 2"], ["the stage's code changed"]),
    (["%%mlstage a --seed 1\nx = 1"], ["%%mlstage a --seed 2\nx = 1"], ["option seed 1 -> 2", "seed 1 -> 2"]),
    (["%%mlstage a\nx = 1"], ["%%mlstage a --file no.csv\nx = 1"], ["option file is now used (['no.csv'])"]),
]


@pytest.mark.parametrize(("before", "after", "expected"), WHY)
def test_differences_name_what_changed(bench: Bench, before: list[Any], after: list[Any], expected: list[str]) -> None:
    """`why` tells the name, and old and new value where they are plain."""
    old, new = (bench.plan(*cells)["a"].parts for cells in (before, after))
    assert differences(old, new, ["n", "C"]) == expected
    assert differences(old, old, ["n", "C"]) == []


def test_refresh_sees_what_changed_on_disk(bench: Bench) -> None:
    """Between looks, files and modules are remembered; a stage that ran may have changed them."""
    path = bench.write("in.txt", "1")
    surroundings = Surroundings(bench.folder, bench.folder, Path(bench.folder / "cache"))
    first = surroundings.file("in.txt")
    path.write_text("2", encoding="utf-8")
    assert surroundings.file("in.txt") == first
    surroundings.refresh()
    assert surroundings.file("in.txt") == file_digest(path) != first
