"""The mapping that notices reads nobody had foreseen."""

from __future__ import annotations

from typing import Any

import pytest

from nbmlops.runner.namespace import Namespace


@pytest.fixture
def namespace() -> Namespace:
    """Make a namespace in which `seen` is foreseen and `hidden` is not."""
    made = Namespace(seen=1, hidden=2)
    made.withhold(["hidden", "absent"])
    return made


def run(code: str, namespace: dict[str, Any]) -> None:
    """Run code as a cell does."""
    exec(code, namespace)


HIDDEN = ["x = hidden", "x = eval('hidden')", "x = globals()['hidden']", "def f():\n    return hidden\nx = f()", "x = [hidden for _ in 'a'][0]"]


@pytest.mark.parametrize("code", HIDDEN)
def test_hidden_read_is_answered_and_noted(namespace: Namespace, code: str) -> None:
    """However the code gets at a withheld name, it gets the value, and we know."""
    with namespace.watch(()):
        run(code, namespace)
    assert (namespace["x"], namespace.observed) == (2, {"hidden"})


def test_foreseen_read_is_not_noted(namespace: Namespace) -> None:
    """What reading the code told already is no news."""
    with namespace.watch(()):
        run("x = seen + len('a')", namespace)
    assert namespace.observed == set()


def test_name_of_another_stage_is_noted_and_missing(namespace: Namespace) -> None:
    """It cannot be answered here: the scheduler adds the edge and runs the stage again."""
    with namespace.watch(["theirs"]), pytest.raises(NameError):
        run("x = theirs", namespace)
    assert namespace.observed == {"theirs"}


def test_unknown_name_is_an_ordinary_error(namespace: Namespace) -> None:
    """A name of nobody is a NameError, and nothing was learnt."""
    with namespace.watch(["theirs"]), pytest.raises(NameError, match="nobodys"):
        run("nobodys", namespace)
    assert namespace.observed == set()


def test_lookups_of_setup_are_not_noted(namespace: Namespace) -> None:
    """Outside the stage's own cells a withheld name is answered in silence."""
    run("x = hidden", namespace)
    assert (namespace["x"], namespace.observed) == (2, set())


def test_name_that_was_read_can_be_rebound(namespace: Namespace) -> None:
    """Once read it is a name like any other."""
    with namespace.watch(()):
        run("hidden += 1\nhidden += 1", namespace)
    assert namespace["hidden"] == 4


def test_name_that_is_bound_first_is_not_a_read(namespace: Namespace) -> None:
    """A stage that makes its own `hidden` does not depend on setup's."""
    with namespace.watch(()):
        run("hidden = 10\nx = hidden", namespace)
    assert (namespace["x"], namespace.observed) == (10, set())


@pytest.mark.parametrize("code", ["sorted(globals())", "sorted(globals().items())", "sorted(dir())", "{**globals()}", "dict(globals().copy())"])
def test_listing_counts_as_reading_all(code: str) -> None:
    """Code that lists its names sees those that were withheld, and is known to hang on every name."""
    namespace = Namespace(a=1)
    namespace.withhold(["a"])
    with namespace.watch(["q"]):
        shown = eval(code, namespace)
    assert "a" in str(shown)
    assert {"*", "a", "q"} <= namespace.observed


def test_copy_notes_what_is_looked_up_in_it() -> None:
    """A query of pandas copies the namespace and reads the few names that it mentions."""
    namespace = Namespace(a=1, b=2)
    namespace.withhold(["a", "b"])
    with namespace.watch(["q"]):
        copy = eval("globals().copy()", namespace)
        assert (copy["a"], copy.get("q"), "b" in namespace.withheld) == (1, None, True)
    assert namespace.observed == {"a", "q"}


def test_membership_is_noticed() -> None:
    """Asking whether a name is there is reading it, whatever the answer."""
    namespace = Namespace(a=1)
    namespace.withhold(["a"])
    with namespace.watch(["q"]):
        answers = eval("['a' in globals(), 'q' in globals(), globals().get('z', 7)]", namespace)
    assert answers == [True, False, 7]
    assert namespace.observed == {"a", "q"}
