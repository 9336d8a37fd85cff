"""The stage key: the hash that decides reuse, and the parts that it is made of (DESIGN 5)."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from nbmlops.runner.environment import Distributions, path_digest, python_version, variable_digest
from nbmlops.runner.localmodules import LocalModules
from nbmlops.runner.redaction import MASK, looks_secret
from nbmlops.store.replacing import make_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from nbmlops.pipeline.effects import Effects
    from nbmlops.pipeline.model import Pipeline, SetupStatement, Stage
    from nbmlops.store.records import Artifact

__all__ = ["Components", "Surroundings", "components", "differences", "identity", "stage_key", "type_exact"]

Components = dict[str, Any]
_SCHEMA = 1
_TICK_NS = 2_000_000_000


class Surroundings:
    """What a notebook stands in, looked at once per plan: files, local modules, distributions, environment.

    Parameters
    ----------
    folder : Path
        The notebook's folder.
    project_root : Path
    cache : Path
        A folder of ours for what is costly to find out again.
    distributions : Distributions or None
        Of a caller who makes surroundings again and again.
    """

    def __init__(self, folder: Path, project_root: Path, cache: Path, distributions: Distributions | None = None) -> None:
        self.folder = folder
        self.project_root = project_root
        self._cache = cache
        self._distributions = distributions or Distributions(cache / "distributions.json")
        self._modules = LocalModules(folder, project_root, self._distributions.provides)
        self._files: dict[str, str | None] = {}
        self._stamped: dict[str, tuple[tuple[int, ...], str | None]] = {}
        self._secret: bytes | None = None

    def refresh(self) -> None:
        """Forget what files and local modules held."""
        self._modules = LocalModules(self.folder, self.project_root, self._distributions.provides)
        self._files.clear()

    def file(self, path: str) -> str | None:
        """Return the digest of a file, or None where it is absent."""
        if path not in self._files:
            self._files[path] = self._digest(path)
        return self._files[path]

    def _digest(self, path: str) -> str | None:
        """Read a file again only if it may have changed: after each stage everything is looked at once more."""
        try:
            found = (self.folder / path).stat()
        except OSError:
            return path_digest(self.folder, path)
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._stamped.get(path, ((), None))[0] != stamp or not stat.S_ISREG(found.st_mode):
            digest = path_digest(self.folder, path)
            if time.time_ns() - found.st_mtime_ns < _TICK_NS:
                return digest  # it may change again without a new time
            self._stamped[path] = (stamp, digest)
        return self._stamped[path][1]

    def sources(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the digests of the sources of local modules, by path, and of what they import."""
        return self._modules.fingerprints((), paths)[0]

    def modules(self, names: Collection[str], paths: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fingerprints of local modules and the versions of the others' distributions."""
        if not names and not paths:
            return {}, {}
        local, foreign = self._modules.fingerprints(names, paths)
        return local, self._distributions.versions(foreign)

    def foreign(self, names: Iterable[str]) -> set[str]:
        """Return the modules, of those and of what they import, that are not the user's own."""
        return self._modules.fingerprints(names)[1]

    def acting(self, names: Iterable[str]) -> list[str]:
        """Return those of the modules whose import may change more than their own names."""
        return self._modules.acting(names)

    def secret_key(self) -> bytes:
        """Return the key under which secrets are digested: the team's, else one of this project that never leaves it."""
        if self._secret is None:
            team = os.environ.get("NBMLOPS_STORE_KEY")
            self._secret = hashlib.blake2b(team.encode(), digest_size=32).digest() if team else _project_key(self._cache / "secret.key")
        return self._secret

    def version(self, distribution: str) -> str | None:
        """Return the installed version of a distribution, or None."""
        return self._distributions.version(distribution)


def _project_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return _make_key(path)


def _make_key(path: Path) -> bytes:
    """Make a random key once; of two processes at once, the first one's holds."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_bytes(os.urandom(32))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()


def type_exact(value: object) -> str:
    """Encode plain data so that values of different types never share a text.

    Examples
    --------
    >>> type_exact(1), type_exact(1.0), type_exact(True), type_exact("1")
    ('1', '1.0', 'True', "'1'")
    >>> type_exact({"b", "a"})
    "{'a', 'b'}"
    """
    if isinstance(value, (set, frozenset)):
        inner = ", ".join(sorted(type_exact(item) for item in value))
        # not "{}" where it is empty: that is a dict
        return (f"{{{inner}}}" if inner else "set()") if isinstance(value, set) else f"frozenset({{{inner}}})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{type_exact(key)}: {type_exact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(type_exact(item) for item in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(type_exact(item) for item in value) + ",)"
    return repr(value)


def stage_key(parts: Components) -> str:
    """Hash the components of a stage: 64 hexadecimal digits."""
    from blake3 import blake3  # noqa: PLC0415 - magics load without it

    return blake3(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def components(
    stage: Stage,
    pipeline: Pipeline,
    *,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    surroundings: Surroundings,
    effects: Effects,
    seed: int,
    files: Mapping[str, str | None] | None = None,
) -> Components:
    """Collect what a stage's result depends on.

    Parameters
    ----------
    stage, pipeline
        As built with the parameters and with what has been learnt so far.
    parameters : mapping of str to object
        The values that override the defaults.
    inputs : mapping of str to str
        Identity of each input artifact.
    surroundings : Surroundings
    effects : Effects
        Files, variables and modules that the stage was seen to use.
    seed : int
        The run's seed; the stage's own wins.
    files : mapping of str to (str or None), optional
        Digests that are known already, such as those of files that were read while the stage ran.

    Returns
    -------
    dict
        JSON data; `stage_key` of it is the key, `differences` of two of them say why they differ.
    """
    used = [pipeline.setup[position] for position in stage.setup]
    places = set(stage.setup)
    imports = (pipeline.setup[position] for position in pipeline.importing if position not in places)
    unused = [item for item in imports if item.place < stage.cells[-1]]
    modules = {*stage.modules, *effects.imports, *(module for statement in used for module in statement.modules)}
    if unused:
        modules.update(surroundings.acting(module for statement in unused for module in statement.modules))
    local, versions = surroundings.modules(modules, effects.modules)
    made = set(effects.files_made) - stage.files_from.keys()
    paths = {*stage.files_read, *effects.files_read, *effects.files_absent} - made
    known = files or {}
    variables = {*stage.environment, *effects.environment, *(name for statement in used for name in statement.environment)}
    secrets = set(stage.directive.secrets)
    # a record was made under the watch that this pipeline asks for, or it does not serve it
    held = [list(step.guards) for step in stage.steps if step.guards and step.kind == "stage"]
    return {
        "schema": _SCHEMA,
        "code": list(stage.fingerprints),
        "options": {**stage.directive.result_options(), **({"held": held} if held else {})},
        "values": _values(used, pipeline, parameters, surroundings.secret_key()),
        "setup": _definitions(used),
        "configuration": [statement.fingerprint for statement in used if statement.configures],
        "inputs": dict(sorted(inputs.items())),
        "files": {path: known[path] if path in known else surroundings.file(path) for path in sorted(paths)},
        "environment": {name: variable_digest(name) for name in sorted(variables - secrets)},
        "modules": dict(sorted(local.items())),
        "distributions": {**dict(sorted(versions.items())), **{name: surroundings.version(name) or "" for name in effects.distributions}},
        "python": python_version(),
        "seed": seed if stage.directive.seed is None else stage.directive.seed,
    }


def identity(artifact: Artifact, pipeline: Pipeline, *, before: int, surroundings: Surroundings, parameters: Mapping[str, Any] | None = None) -> str:
    """Return what an artifact is to its consumers: its bytes, the form of its value, and the code that this refers to.

    Parameters
    ----------
    artifact : Artifact
    pipeline : Pipeline
    before : int
        The consuming cell: of a setup definition that is repeated, the last one before it counts.
    surroundings : Surroundings
    parameters : mapping of str to object, optional
        The values that override the defaults.
    """
    plain = f"{artifact.digest}~{artifact.form}" if artifact.form else artifact.digest
    if not artifact.refers:
        return plain
    code: dict[str, object] = {}
    for reference in artifact.refers:
        kind, _, name = reference.partition(":")
        if kind in {"name", "state"}:
            used = _closure(name, pipeline, before)
            code[reference] = [
                [item.fingerprint for item in used if not item.literals],
                _values(used, pipeline, parameters or {}, surroundings.secret_key()),
                [sorted(part.items()) for part in surroundings.modules({module for item in used for module in item.modules}, ())],
            ]
        elif kind == "dist":
            code[reference] = surroundings.version(name)
        elif kind == "module":
            code[reference] = [sorted(part.items()) for part in surroundings.modules([name], ())]
    if not code:
        return plain
    text = json.dumps([plain, code], sort_keys=True)
    return f"{artifact.digest}+{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def differences(old: Components, new: Components, parameters: Iterable[str] = ()) -> list[str]:
    """Say what differs between the components of two runs of a stage, one line each, the most telling first.

    Parameters
    ----------
    old, new : dict
        From `components`.
    parameters : iterable of str
        Which of the values are parameters; the others are constants of setup cells.
    """
    lines: list[str] = []
    declared = set(parameters)
    for group, describe in _DESCRIBE.items():
        before, after = old.get(group), new.get(group)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            for name in sorted({*before, *after}):
                if group == "files" and name not in after and old.get("code") != new.get("code"):
                    continue  # of other code nobody knows yet whether it reads that
                if before.get(name) != after.get(name):
                    label = f"{'parameter' if name in declared else 'constant'} {name}" if group == "values" else name
                    lines.append(describe(label, before.get(name), after.get(name)))
        else:
            lines.append(describe(group, before, after))
    return lines


def _values(used: list[SetupStatement], pipeline: Pipeline, parameters: Mapping[str, Any], key: bytes) -> dict[str, str]:
    values: dict[str, str] = {}
    for statement in used:
        for name in statement.names:
            declared = name in parameters and name in pipeline.parameters and pipeline.parameters[name].cell == statement.cell
            if declared:
                values[name] = _shown(name, parameters[name], key)
            elif name in statement.literals:
                label = name if name not in values else f"{name} (cell {statement.cell})"
                values[label] = _shown(name, statement.literals[name], key)
    return values


def _shown(name: str, value: object, key: bytes) -> str:
    """Return a value's exact text; of one that looks secret a keyed digest, since records are read by people and short secrets are guessed."""
    text = type_exact(value)
    return f"{MASK} {hashlib.blake2b(text.encode(), digest_size=16, key=key).hexdigest()}" if looks_secret(name, value) else text


def _definitions(used: list[SetupStatement]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement in used:
        if statement.configures or statement.literals:
            continue
        label = ", ".join(statement.names)
        # a name that several statements make (bound, then changed) is the digest of all of them, in order
        found[label] = hashlib.blake2b((found.get(label, "") + statement.fingerprint).encode(), digest_size=16).hexdigest()
    return dict(sorted(found.items()))


def _closure(name: str, pipeline: Pipeline, before: int) -> list[SetupStatement]:
    """Return the statements that make a setup definition, and those that make the setup names that its code uses, transitively."""
    found: set[int] = set()
    queue = [name.partition(".")[0]]
    seen: set[str] = set()
    while queue:
        wanted = queue.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for position, statement in enumerate(pipeline.setup):
            if wanted in statement.names and statement.place < before:
                found.add(position)
                queue.extend(statement.free)
                queue.extend(other for use in statement.uses for other in pipeline.setup[use].names)
    return [pipeline.setup[position] for position in sorted(found)]


def _changed(kind: str) -> Any:  # noqa: ANN401 - a describe function
    def describe(name: str, before: object, after: object) -> str:
        what = f"{kind} {name}".strip()
        if before is None:
            return f"{what} is new"
        if after is None:
            return f"{what} is gone"
        return f"{what} changed"

    return describe


def _plain(value: object) -> object:
    return MASK if str(value).startswith(MASK) else value


def _from_to(kind: str) -> Any:  # noqa: ANN401
    def describe(name: str, before: object, after: object) -> str:
        what = f"{kind} {name}".strip()
        if str(before).startswith(MASK) and str(after).startswith(MASK):
            return f"{what} changed"
        if before is None:
            return f"{what} is now used ({_plain(after)})"
        if after is None:
            return f"{what} is no longer used"
        return f"{what} {before} -> {after}"

    return describe


def _whole(text: str) -> Any:  # noqa: ANN401
    return lambda _name, _before, _after: text


_DESCRIBE: dict[str, Any] = {
    "code": _whole("the stage's code changed"),
    "options": _from_to("option"),
    "values": _from_to(""),
    "setup": _changed("definition"),
    "configuration": _whole("what setup configures changed"),
    "inputs": _changed("input"),
    "files": _changed("file"),
    "environment": _changed("environment variable"),
    "modules": _changed("module"),
    "distributions": _from_to(""),
    "python": _from_to(""),
    "seed": _from_to(""),
    "schema": _whole("nbmlops keeps records in another form"),
}
