"""What a stage hands on: its variables as artifacts, the files that it wrote, its metrics."""

from __future__ import annotations

import glob
import numbers
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotStorable
from nbmlops.runner.environment import FOLDER
from nbmlops.runner.leaving.threads import busy_threads
from nbmlops.store.fingerprint import state_fingerprint
from nbmlops.store.records import Artifact
from nbmlops.store.serializers import Context, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbmlops.store.store import Store

__all__ = ["keep_files", "keep_values", "metrics_of", "refuse_links"]


def keep_values(
    namespace: dict[str, Any],
    names: Iterable[str],
    aliases: Iterable[tuple[str, ...]],
    *,
    store: Store,
    context: Context,
    stage: str,
    cell: int,
    hooked: dict[str, tuple[object, ...]] | None = None,
) -> dict[str, Artifact]:
    """Store values as artifacts; names that share mutable state go into one object.

    Parameters
    ----------
    namespace : dict of str to object
    names : iterable of str
    aliases : iterable of tuple of str
        The names that share state.
    store : Store
    context : Context
    stage : str
    cell : int
    hooked : dict of str to tuple of object, optional
        Gets, for each name, the objects whose class decides by itself what of them is stored.

    Raises
    ------
    NotStorable
        If a value cannot be kept, or a name is not bound; the message names the stage and the remedy.
    """
    bundles = {name: members for members in aliases for name in members}
    names = tuple(names)
    busy = busy_threads(context.local_roots)
    before = _marks(namespace, names, context) if busy else {}
    found: dict[str, Artifact] = {}
    for name in names:
        if name in found:
            continue
        if name not in namespace:
            raise NotStorable(
                f"stage {stage!r} did not bind {name!r}, which a later cell reads",
                code="NB611",
                cell=cell,
                fix=f"bind {name!r} on every way through the stage",
            )
        members = bundles.get(name, ())
        value = {member: namespace[member] for member in members} if members else namespace[name]
        try:
            encoded = encode(value, context)
        except NotStorable as error:
            raise NotStorable(
                f"stage {stage!r} hands on {name!r}, which cannot be stored: {error.message}",
                code="NB612",
                cell=cell,
                fix=error.fix or "make it where it is used, in a setup cell or in the stage that needs it",
            ) from error
        if hooked is not None and encoded.hooked:
            hooked.update(dict.fromkeys(members or (name,), encoded.hooked))
        # what a thread changes between hashing and writing would lie in the store under a name that is not its own
        digest = store.objects.put([bytes(memoryview(part).cast("B")) for part in encoded.buffers] if busy else encoded.buffers)
        form = store.objects.put([encoded.form]) if encoded.form else ""
        for member in members or (name,):
            found[member] = Artifact(
                name=member,
                digest=digest,
                form=form,
                format=encoded.format,
                size_bytes=encoded.size_bytes,
                members=tuple(members),
                refers=encoded.refers,
                type=encoded.type,
                summary=encoded.summary,
            )
    if busy and _marks(namespace, names, context) != before:
        moving = [name for name, mark in _marks(namespace, names, context).items() if mark != before.get(name)] or list(names)
        raise NotStorable(
            f"stage {stage!r} hands on {moving[0]!r}, which a thread of it, in {busy[0]}(), still changes while it is stored",
            code="NB671",
            cell=cell,
            fix="wait for the thread at the end of the stage: thread.join()",
        )
    return found


def _marks(namespace: dict[str, Any], names: Iterable[str], context: Context) -> dict[str, str | None]:
    return {name: state_fingerprint(namespace[name], context) for name in names if name in namespace}


def metrics_of(namespace: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return what ``--metrics`` names, as JSON: the items of a mapping, or a number under its own name.

    Raises
    ------
    NotStorable
        If it is neither.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = namespace.get(name)
        items = value if isinstance(value, dict) else {name: value}
        for key, item in items.items():
            found[str(key)] = _plain_metric(name, str(key), item)
    return found


def refuse_links(paths: Iterable[str], stage: str, cell: int) -> None:
    """Refuse symbolic links that a stage has made: a file is kept by its content, and what is written through the link would not be found.

    Raises
    ------
    NotStorable
        If there is one.
    """
    for path in paths:
        raise NotStorable(
            f"stage {stage!r} makes the link {path!r}, which cannot be kept: a later stage would get a copy of what it leads to",
            code="NB612",
            cell=cell,
            fix="copy the file with shutil.copy, or hand its path on in a variable",
        )


def keep_files(paths: Iterable[str], *, folder: Path, project_root: Path, store: Store) -> dict[str, str]:
    """Store files that a stage has written and folders that it has made, those inside the project; return the digest of each by its path.

    Parameters
    ----------
    paths : iterable of str
        Paths and patterns, relative to `folder`.
    folder, project_root : Path
    store : Store
    """
    found: dict[str, str] = {}
    named = {match for path in paths for match in (glob.glob(path, root_dir=folder, recursive=True) if glob.has_magic(path) else [path])}  # noqa: PTH207 - relative names
    for path in sorted(named):
        full = folder / path
        if path.endswith("/") and full.is_dir():
            found[path] = store.objects.put([FOLDER])
        elif full.is_file() and full.resolve().is_relative_to(project_root.resolve()):
            found[path] = store.objects.put([full.read_bytes()])
    return found


def _plain_metric(name: str, key: str, value: Any) -> Any:  # noqa: ANN401 - JSON data
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        return float(value)
    label = name if name == key else f"{name}[{key!r}]"
    raise NotStorable(
        f"--metrics {name}: {label} is a {type(value).__name__}, no number",
        code="NB613",
        fix="give a number, or a dict of names to numbers",
    )
