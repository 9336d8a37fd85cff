"""Which version of each module this process runs: the file may have changed since it was imported.

Importing and reloading execute a module's code, which an audit hook sees. The hook cannot be removed; it looks at nothing else.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.runner.ownsource import compile_own_code, may_run_older_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

__all__ = ["LoadedModules", "watch_imports"]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A module's file as it was when its code was executed."""

    mtime_s: float
    source: bytes


_loaded: dict[str, _Loaded] = {}
_executed: list[str] = []
_executions: dict[str, list[int]] = {}
_times: dict[str, float] = {}
_installed_at: list[float] = []


def watch_imports() -> None:
    """Begin to note what is imported, and let the user's own modules be imported as their source is; doing it twice is doing it once."""
    compile_own_code()
    if not _installed_at:
        _installed_at.append(time.time())
        _times.update(dict.fromkeys(_tops(), _process_started_s()))
        _folders_before.update(_package_folders())
        sys.addaudithook(_audit)


def note_packages() -> None:
    """Take note of the packages that have been imported since the last time: the version on disk is theirs until something is installed."""
    now = time.time()
    for name in _tops() - _times.keys():
        _times[name] = now


def _tops() -> set[str]:
    return {name for name in sys.modules if "." not in name}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event != "exec":
        return
    code = args[0]
    name = getattr(code, "co_filename", "")
    if getattr(code, "co_name", "") != "<module>" or not name.endswith(".py") or name.startswith(_installed()):
        return
    if sys._getframe(1).f_code.co_filename.startswith("<frozen importlib"):  # noqa: SLF001 - `%run` executes a file too, and loads no module
        _note(name)


def _note(name: str) -> None:
    try:
        status = os.stat(name)  # noqa: PTH116 - while a module is imported nothing else should be
        with open(name, "rb") as file:  # noqa: PTH123
            _loaded[os.path.realpath(name)] = _Loaded(status.st_mtime, file.read())
            _executed.append(os.path.realpath(name))
            _executions.setdefault(os.path.realpath(name), []).append(sum(map(len, _executions.values())))
    except (OSError, ValueError):
        return


@cache
def _installed() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return tuple(folder + os.sep for folder in (*folders, str(Path(__file__).resolve().parents[2])))


@cache
def _process_started_s() -> float:
    """Return when this process began: what it has imported is no older."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return boot + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return _installed_at[0] if _installed_at else time.time()


_folders_before: dict[str, int] = {}


def _package_folders() -> dict[str, int]:
    """Return when each folder of installed packages changed last."""
    found = {}
    for entry in sys.path:
        if "-packages" in entry:
            try:
                found[entry] = os.stat(entry).st_mtime_ns  # noqa: PTH116 - this is part of loading the extension
            except OSError:
                continue
    return found


class LoadedModules:
    """Compares what this process runs with what a key says.

    Parameters
    ----------
    folder : Path
        The notebook's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reloads: dict[str, float] = {}

    def stale(self, fingerprints: Mapping[str, str]) -> list[str]:
        """Return the local modules, by path, that were imported and whose code is not the one of these fingerprints."""
        if not fingerprints:
            return []
        files = {_real(str(module.__file__)) for module in list(sys.modules.values()) if _has_file(module)}
        return [path for path, wanted in fingerprints.items() if (full := os.path.realpath(self._folder / path)) in files and not _is(full, wanted)]

    def older_copies(self, paths: Iterable[str]) -> list[tuple[str, str, str]]:
        """Return what local modules, by path, have taken from others that were reloaded since: path, the name, the other module."""
        from nbmlops.session.live.copies import is_as_before, taken_names  # noqa: PLC0415 - loading the extension stays light

        wanted = {os.path.realpath(self._folder / path): path for path in paths}
        again = {full for full, order in _executions.items() if len(order) > 1}
        found = []
        for module in self.local_modules() if again else ():
            full = _real(str(module.__file__))
            if full not in wanted:
                continue
            for name, other, there in taken_names(module, _loaded[full].source):
                source = _real(str(other.__file__)) if _has_file(other) else ""
                if source not in again or _executions[source][-1] < _executions[full][-1]:
                    continue
                held, now = vars(module).get(name), vars(other).get(there)
                if held is not None and now is not None and not is_as_before(held, now):
                    found.append((wanted[full], name, other.__name__))
        return found

    def local_modules(self) -> list[ModuleType]:
        """Return the modules that were seen to be imported and are not installed."""
        if not _loaded:
            return []
        return [module for module in list(sys.modules.values()) if _has_file(module) and _real(str(module.__file__)) in _loaded]

    def reloaded(self) -> list[ModuleType]:
        """Return the modules whose code was executed since this was last asked."""
        files = set(_executed)
        _executed.clear()
        return [module for module in self.local_modules() if _real(str(module.__file__)) in files] if files else []

    def upgraded(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Return the distributions, with what was done, whose installed version may not be the one that is imported."""
        now = _package_folders()
        if now == _folders_before:
            return {}
        from importlib.metadata import PackageNotFoundError, distribution, packages_distributions  # noqa: PLC0415 - 30 ms, after an installation

        tops = packages_distributions()
        found = {}
        for name in versions:
            imported = [top for top, owners in tops.items() if name in owners and top in sys.modules]
            try:
                installed = distribution(name)
            except PackageNotFoundError:
                if imported:
                    found[name] = "was uninstalled"
                continue
            since = max((_times.get(top, time.time()) for top in imported), default=None)
            if since is None or _installed_s(installed) <= since:
                continue
            loaded = next((version for top in imported if isinstance(version := getattr(sys.modules[top], "__version__", None), str)), None)
            if loaded != installed.version:
                found[name] = f"{loaded or 'another version'} is imported, {installed.version} is installed"
        return found

    def sync_autoreload(self, shell: Any) -> None:  # noqa: ANN401 - an InteractiveShell
        """Take over what ``%autoreload`` has brought up to date: it may change a module without executing it again."""
        reloader = getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
        if reloader is None:
            return
        for name, mtime_s in list(reloader.modules_mtimes.items()):
            module = sys.modules.get(name)
            if not _has_file(module) or str(module.__file__).startswith(_installed()):  # type: ignore[union-attr]
                continue
            before, self._reloads[name] = self._reloads.get(name), mtime_s
            full = os.path.realpath(str(module.__file__))  # type: ignore[union-attr]
            known = _loaded.get(full)
            followed = before is not None and before != mtime_s and known is not None and known.mtime_s == before
            if followed and full not in reloader.failed and _mtime_s(full) == mtime_s:
                _note(full)


def _is(full: str, wanted: str) -> bool:
    import ast  # noqa: PLC0415

    from nbmlops.dataflow.normalise import fingerprint  # noqa: PLC0415 - loading the extension stays light

    known = _loaded.get(full)
    if known is None:  # imported before the extension was loaded
        return _mtime_s(full) <= _process_started_s() and not may_run_older_code(full)
    try:
        return fingerprint(ast.parse(known.source)) == wanted
    except (SyntaxError, ValueError):
        return False


@cache
def _real(name: str) -> str:
    """Return a module's file without links; a kernel asks for thousands of them after each cell."""
    return os.path.realpath(name)


def _mtime_s(full: str) -> float:
    try:
        return os.stat(full).st_mtime  # noqa: PTH116
    except OSError:
        return float("inf")


def _has_file(module: object) -> bool:
    return isinstance(getattr(module, "__file__", None), str)


def _installed_s(distribution: Any) -> float:  # noqa: ANN401 - an importlib.metadata.Distribution
    path = getattr(distribution, "_path", None)
    try:
        return float(os.stat(path).st_ctime) if path is not None else 0.0  # noqa: PTH116
    except OSError:
        return 0.0
