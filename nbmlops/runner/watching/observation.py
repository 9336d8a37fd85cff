"""What one execution was seen to do to the world outside its namespace: to files, the environment and modules."""

from __future__ import annotations

import functools
import glob
import importlib.util
import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.runner.environment import SHELL_VARIABLES, file_digest, path_digest
from nbmlops.runner.localmodules import imported_from, local_module_path
from nbmlops.runner.ownsource import is_own_code
from nbmlops.runner.sincefork import names_since
from nbmlops.runner.watching.attribution import Attribution
from nbmlops.runner.watching.processes import Journal, program_name, program_words
from nbmlops.runner.watching.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

__all__ = ["Observation"]

# what the interpreter and libraries open for themselves: the versions of the distributions stand for these
_CODE_SUFFIXES = (
    ".py",
    ".pyc",
    ".pyi",
    ".so",
    ".pth",
    ".ttf",
    ".afm",
    ".otf",
    ".mplstyle",
    ".css",
    ".html",
    ".js",
    ".svg",
    ".typed",
    ".pem",
    ".egg-link",
)
_ZIPPED_LIBRARY = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
# in a checkout of nbmlops itself, such as for its demo, that is below the project root
_OURS = str(Path(__file__).parents[2]) + os.sep
_CODE_FILES = (".py", ".pyc", ".so")
# these read source to show it: in a traceback, in a warning
_SHOWING = frozenset({"linecache", "tokenize", "traceback", "warnings"})
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo", "/usr/lib/", "/lib/")


@functools.cache
def _folders(*names: str) -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) + os.sep for name in names})


class Observation:
    """What one execution was seen to do.

    Parameters
    ----------
    folder : Path
        The notebook's folder; paths below the project root are kept relative to it.
    project_root : Path
    private : tuple of str
        Folders that are not the user's data: the store.
    foreseen : tuple of str
        Paths and patterns that it may write, relative to the folder: what a native writer does to them shows in no call.
    undo_folder : Path or None
        Where files are kept before they change, if they may have to be brought back.
    told : Path or None
        Where the children that it forks say what they read.
    """

    def __init__(
        self,
        folder: Path,
        project_root: Path,
        private: tuple[str, ...] = (),
        foreseen: tuple[str, ...] = (),
        undo_folder: Path | None = None,
        told: Path | None = None,
    ) -> None:
        self._folder = folder
        self._root = project_root
        self._private = (*(str(Path(item).resolve()) + os.sep for item in private), *_SYSTEM)
        self._temporary = str(Path(tempfile.gettempdir()).resolve()) + os.sep
        self._libraries = _folders("stdlib", "platstdlib")
        self._packages = _folders("purelib", "platlib")
        self._digests: dict[str, str | None] = {}
        self._read: dict[str, None] = {}
        self._written: dict[str, None] = {}
        self._made: dict[str, None] = {}
        self._linked: dict[str, None] = {}
        self._opened_as: dict[str, tuple[int, ...] | None] = {}
        self._removed: dict[str, str] = {}
        self._modules_before = set(names_since())
        self._looked_up: set[str] = set()
        self._code: set[str] = set()
        self._looked_for: set[str] = set()
        self.attribution = Attribution()
        self.unseen: set[str] = set()
        self._journal = Journal(told)
        self.new: set[str] = set()
        self._variables: dict[str, tuple[str | None, bool]] = {}
        self._namespace: dict[str, Any] | None = None
        self.active = False
        # imports read much that belongs to libraries: their versions stand for that
        self.in_setup = False
        self._hidden = str(Path.home()) + os.sep + "."
        self._foreseen = foreseen
        self._undo = Undo(undo_folder) if undo_folder is not None else None
        self._stamps = self._stamp()

    def opened(self, path: str, mode: str | None, flags: int, frame: FrameType | None = None) -> None:
        """Note that a file is about to be opened."""
        if self._journal.elsewhere:
            self._journal.tell("file", os.path.abspath(path), mode, flags)  # noqa: PTH100 - as below
            return
        if path.endswith(_CODE_FILES) and self._is_import(path, frame):
            return
        writes = any(letter in mode for letter in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR))
        reads = "r" in mode or "+" in mode or "a" in mode if mode else not flags & os.O_WRONLY
        self._note(path, flags, reads=reads, writes=writes)
        full = os.path.realpath(path)
        if full != os.path.abspath(path):  # noqa: PTH100 - through a link: another stage may use the file by its own name
            self._note(full, flags, reads=reads, writes=writes)

    def _note(self, path: str, flags: int, *, reads: bool, writes: bool) -> None:
        name = self._interesting(path)
        if name is None:
            return
        if reads and name not in self._written and not flags & os.O_TRUNC:
            self._read.setdefault(name)
            self.attribution.note("file", name)
            self._opened_as.setdefault(name, _state(self._folder / name))
            if (self._folder / name).is_dir():
                self._digests.setdefault(name, file_digest(self._folder / name))  # before the stage puts something into it
        if writes:
            self._keep_for_undo(path)
            if name in self._read and name not in self._digests:
                self._digests[name] = file_digest(self._folder / name)  # before it changes under our hands
            if name not in self._written and not (self._folder / name).exists():
                self.new.add(name)
            self._written.setdefault(name)

    def looked_at(self, path: str) -> None:
        """Note that code asks about a file or folder without opening it: of a folder only that it is there."""
        name = self._interesting(path)
        full = os.path.abspath(path)  # noqa: PTH100
        if name is None or name in self._written or name in self._made or f"{self._folder}{os.sep}".startswith(full + os.sep):
            return
        if (self._folder / name).is_dir():
            self._read.setdefault(f"{name}/")
            self.attribution.note("file", f"{name}/")
        else:
            self._read.setdefault(name)
            self.attribution.note("file", name)
            if not os.path.lexists(full):
                self._digests.setdefault(name, None)  # the stage may make it now

    def made_folder(self, path: str) -> None:
        """Note that a folder is about to be made."""
        name = self._interesting(path)
        if name is not None and not (self._folder / name).exists():
            self._keep_for_undo(path)
            self._made.setdefault(name)

    def linked(self, path: str) -> None:
        """Note that a symbolic link is about to be made."""
        name = self._interesting(path)
        if name is not None:
            self._linked.setdefault(name)

    def links(self) -> tuple[str, ...]:
        """Return the symbolic links that were made and are still there."""
        return tuple(sorted(name for name in self._linked if (self._folder / name).is_symlink()))

    def removed(self, path: str) -> None:
        """Note that a file or folder is about to be removed: one that the stage has not made itself was there before."""
        name = self._interesting(path)
        if name is None:
            return
        self._keep_for_undo(path)
        if name in self._made:
            return
        name = f"{name}/" if (self._folder / name).is_dir() else name
        if name not in self._written:
            self._read.setdefault(name)
            self.attribution.note("file", name)
            digest = self._digests.setdefault(name, path_digest(self._folder, name))
            if digest is not None:
                self._removed[name] = digest

    def _keep_for_undo(self, path: str) -> None:
        if self._undo is not None:
            self._undo.keep(path)

    def lists(self, frame: FrameType | None) -> bool:
        """Tell whether a folder is listed for the notebook's or the project's code: imports list the folders of `sys.path`.

        So does whoever asks which distributions are installed, such as scikit-learn's first `fit`: the notebook's own folder is one of them.
        """
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_globals.get("__name__") == "importlib.metadata":
                return False
            if self.is_own(frame):
                return True
            frame = frame.f_back
        return False

    def is_own(self, frame: FrameType) -> bool:
        """Tell whether a frame runs code of the notebook or of a project-local module."""
        name = frame.f_code.co_filename
        return (
            frame.f_globals is self._namespace
            or name.startswith("<cell ")
            or (name.startswith(str(self._root) + os.sep) and not name.startswith((*self._packages, *self._libraries, _OURS)))
        )

    def works_in(self, namespace: dict[str, Any]) -> None:
        """Say in which namespace the notebook's code runs."""
        self._namespace = namespace

    def environment_read(self, name: str) -> None:
        """Note that a variable of the environment is looked up, or `EVERY_VARIABLE`."""
        if self._journal.elsewhere:
            self._journal.tell("variable", name)
        elif name not in SHELL_VARIABLES:
            self._looked_up.add(name)
            self.attribution.note("variable", name)

    @property
    def environment(self) -> set[str]:
        """The variables of the environment that were looked up."""
        return {name for name in self._looked_up if self.attribution.counts("variable", name)}

    def started(self, command: Any, folder: Any = None) -> None:  # noqa: ANN401 - what `subprocess` takes
        """Note that a program is started: the files among its words, and what of it will not be seen."""
        words, variables = program_words(command)
        name = program_name(words)
        if name is None:
            return
        self.unseen.add(name)
        for word in words[1:] if name != "worker processes" else ():
            path = Path(os.fsdecode(folder or "."), word)
            if path.is_file():
                self.opened(str(path), "rb", 0)
                name_here = self._interesting(str(path))
                if name_here in self._read:
                    self._digests.setdefault(name_here, file_digest(path))  # the program may change it
        for variable in variables:
            self.environment_read(variable)

    def _hear_children(self) -> None:
        for kind, what, *rest in self._journal.take():
            if kind == "file":
                self.opened(what, *rest)
            else:
                self.environment_read(what)

    def looked_for(self, name: str) -> None:
        """Note that a module is searched for."""
        self._looked_for.add(name)
        self.attribution.note("import", name)

    def imports(self) -> tuple[str, ...]:
        """Return the dotted names of the modules that were searched for."""
        return tuple(sorted(name for name in self._looked_for if self.attribution.counts("import", name)))

    def environment_set(self, name: str, frame: FrameType | None, *, direct: bool) -> None:
        """Note that a variable of the environment is about to be changed for the notebook's code, not by an import."""
        if direct or self.lists(frame):
            before, known = self._variables.get(name, (os.environ.get(name), False))
            self._variables[name] = (before, known or direct)

    def environment_changes(self) -> tuple[tuple[str, str], ...]:
        """Return the variables whose value differs now, and forget them: of kind ``process`` those that the notebook's own code set."""
        changed = [(name, direct) for name, (before, direct) in sorted(self._variables.items()) if os.environ.get(name) != before]
        self._variables.clear()
        return tuple(("process", f"the environment variable {name}") if direct else ("variable", name) for name, direct in changed)

    def files_read(self) -> dict[str, str | None]:
        """Return the digest of each file that was read as it was then; None where there was none."""
        self._hear_children()
        names = sorted(name for name in self._read if self.attribution.counts("file", name))
        found = {name: self._digests.get(name) if name in self._digests else path_digest(self._folder, name) for name in names}
        return {name: digest for name, digest in found.items() if digest is not None or name not in self._made}

    @property
    def paths_read(self) -> frozenset[str]:
        """The paths that were read, listed or looked at so far."""
        return frozenset(self._read)

    def files_disturbed(self) -> tuple[str, ...]:
        """Return the files that have changed since they were opened for reading, though the stage was not seen to write them."""
        untouched = [
            name for name in self._opened_as if not {name, f"{name}/"}.intersection(self._written, self._removed) and name not in self._digests
        ]
        return tuple(sorted(name for name in untouched if _state(self._folder / name) != self._opened_as[name]))

    def files_written(self) -> tuple[str, ...]:
        """Return the paths that were written and still exist; folders that were made end with a slash."""
        made = {f"{name}/" for name in self._made if (self._folder / name).is_dir()}
        return tuple(sorted({*made, *(name for name in self._written if (self._folder / name).is_file())}))

    def files_removed(self) -> tuple[tuple[str, str], ...]:
        """Return the paths that were there before the stage removed them, each with what it held."""
        return tuple(sorted((name, digest) for name, digest in self._removed.items() if path_digest(self._folder, name) is None))

    def outputs(self) -> tuple[str, ...]:
        """Return the files that were written: those seen, and the foreseen ones that are no longer what they were."""
        changed = {path for path, stamp in self._stamp().items() if self._stamps.get(path) != stamp}
        return tuple(sorted({*self.files_written(), *changed}))

    def _stamp(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for pattern in self._foreseen:
            matches = glob.glob(pattern, root_dir=self._folder, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 - relative names
            for path in matches:
                state = _state(self._folder / path) if (self._folder / path).is_file() else None
                if state is not None:
                    found[path] = state
        return found

    def modules(self, named: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the files of the user's own modules that were imported meanwhile, relative to the notebook's folder.

        Parameters
        ----------
        named : iterable of str
            Modules that the stage's code imports by these dotted names: wherever they were found, and even if others had imported them before.
        """
        paths = {str(path) for name in set(names_since()) - self._modules_before if (path := local_module_path(sys.modules.get(name)))}
        found = {os.path.normpath(self._folder / path) for path in paths} | self._code
        used = {os.path.normpath(self._folder / path) for path in imported_from(named)}
        return tuple(sorted(os.path.relpath(path, self._folder) for path in found | used if path in used or self.attribution.counts("module", path)))

    def _is_import(self, path: str, frame: FrameType | None) -> bool:
        """Note code that is loaded as a module, and tell whether it was opened for that, or to show its lines: then it is no data."""
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib"):
                source = _source_of(os.path.abspath(path))  # noqa: PTH100 - as the import system names it
                if is_own_code(source):
                    self._code.add(source)
                    self.attribution.note("module", source)
                return True
            if frame.f_globals.get("__name__") in _SHOWING:
                return True
            if self.is_own(frame):
                return False
            frame = frame.f_back
        return not is_own_code(path)

    def _interesting(self, path: str) -> str | None:
        full = os.path.abspath(path)  # noqa: PTH100 - resolving links would lose the name that the code used
        inside = full == str(self._root) or full.startswith(str(self._root) + os.sep)
        ours = full.startswith((*self._private, *self._libraries)) or full.endswith(("__pycache__", ".pyc"))
        if ours or self._is_code(full) or (not inside and full.startswith(self._temporary)):
            return None
        return os.path.relpath(full, self._folder) if inside else full

    def _is_code(self, full: str) -> bool:
        """Tell what belongs to an installed distribution, whose version stands for it."""
        if full.endswith((".so", _ZIPPED_LIBRARY)) or (self.in_setup and full.startswith((*self._packages, self._hidden))):
            return True
        return full.startswith(self._packages) and (full.endswith(_CODE_SUFFIXES) or ".dist-info" in full or os.path.isdir(full))  # noqa: PTH112


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _source_of(path: str) -> str:
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except ValueError:  # compiled code without its source
        return path
