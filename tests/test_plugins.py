"""Families of plugins: built-ins by dotted name, others by entry point, nothing imported before it is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import UsageError
from nbmlops.plugins import Family

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def family() -> Family:
    """Make a family with one built-in that costs nothing."""
    return Family("nbmlops.teapots", {"json": "json:dumps"})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install another package's teapot, as pip would: a module and the metadata of a distribution."""
    (tmp_path / "brown_betty.py").write_text("def pour():\n    return 'tea'\n", encoding="utf-8")
    metadata = tmp_path / "brown_betty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brown-betty\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[nbmlops.teapots]\nbetty = brown_betty:pour\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "brown_betty", raising=False)


def test_builtin_is_imported_by_its_dotted_name(family: Family) -> None:
    """A built-in is the attribute that its name says."""
    import json

    assert family.get("json") is json.dumps


@pytest.mark.usefixtures("installed")
def test_entry_point_is_found_by_name(family: Family) -> None:
    """Another package's plugin is loaded by the name of its entry point."""
    assert family.get("betty")() == "tea"


@pytest.mark.usefixtures("installed")
def test_listing_imports_nothing(family: Family) -> None:
    """Names are known without importing the plugins."""
    assert family.names() == ["betty", "json"]
    assert "brown_betty" not in sys.modules


@pytest.mark.usefixtures("installed")
def test_builtin_wins_over_an_entry_point() -> None:
    """A package that installs a plugin under a built-in's name does not replace it."""
    import json

    assert Family("nbmlops.teapots", {"betty": "json:dumps"}).get("betty") is json.dumps


def test_same_plugin_each_time(family: Family) -> None:
    """What was loaded once is not looked up again."""
    first = family.get("json")
    family.builtins["json"] = "json:loads"
    assert family.get("json") is first


def test_unknown_name_lists_the_choices(family: Family) -> None:
    """The error names the kind of plugin and what there is."""
    with pytest.raises(UsageError, match="no teapot is called 'kettle'; choose one of: json") as caught:
        family.get("kettle")
    assert caught.value.code == "NB002"
