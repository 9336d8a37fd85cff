"""Modules that a process has loaded itself."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import pytest

from nbmlops.runner import sincefork
from nbmlops.runner.sincefork import mark_loaded, names_since

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def unmarked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the tests' own process without a mark."""
    monkeypatch.setattr(sincefork, "_marks", [])
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def load(name: str) -> None:
    """Load a module, as far as others can tell."""
    sys.modules[name] = types.ModuleType(name)


def test_without_a_mark_everything_is_new() -> None:
    """A kernel, or a stage in a fresh interpreter, was forked from nobody."""
    assert names_since() == list(sys.modules)


def test_only_what_came_after_the_mark_is_new() -> None:
    """The last one comes first."""
    mark_loaded()
    assert names_since() == []
    load("first_of_two")
    load("second_of_two")
    assert names_since() == ["second_of_two", "first_of_two"]


def test_module_that_is_loaded_again_is_new() -> None:
    """Deleted and imported again, it may be another one."""
    load("again")
    load("marked")
    mark_loaded()
    del sys.modules["again"]
    load("again")
    assert names_since() == ["again"]


def test_without_the_marked_module_everything_is_new() -> None:
    """A stage may delete any module."""
    load("marked")
    mark_loaded()
    del sys.modules["marked"]
    assert set(names_since()) == set(sys.modules)
