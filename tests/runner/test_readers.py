"""Files that are opened in native code."""

from __future__ import annotations

import types

import pytest

from nbmlops.runner.watching.readers import wrap_when_loaded

LIBRARIES = {
    ("dbm.gnu", ""): ["d"],
    ("dbm.ndbm", "Berkeley DB"): ["d.db"],
    ("dbm.ndbm", "GNU gdbm"): ["d.dir", "d.pag"],
}


class _Loader:
    """Makes a module of `dbm`, which this interpreter may have been built without."""

    def __init__(self, library: str) -> None:
        self.library = library

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the module."""
        module.__dict__.update(open=lambda *args: args, library=self.library)


@pytest.mark.parametrize("library", LIBRARIES, ids=" ".join)
def test_files_of_a_database(library: tuple[str, str]) -> None:
    """The files that a database consists of are told before it is opened, with what may become of them."""
    told: list[tuple[str, str]] = []
    loader, module = _Loader(library[1]), types.ModuleType(library[0])
    wrap_when_loaded(types.SimpleNamespace(loader=loader), lambda path, mode: told.append((path, mode)))  # type: ignore[arg-type]
    loader.exec_module(module)
    assert module.open("d", "c", 0o600) == ("d", "c", 0o600)
    module.open(b"d")
    module.open("d", "nf")
    assert told == [(path, mode) for mode in ("r+b", "rb", "wb") for path in LIBRARIES[library]]
