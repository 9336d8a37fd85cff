"""Files between stages: the paths that code names, who writes what a stage reads, and the order that this asks for."""

from __future__ import annotations

import ast
import fnmatch
import glob
import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from nbmlops.dataflow.files import path_parts
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.model import FileUse, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.dataflow.flow import Flow
    from nbmlops.pipeline.setup import Statement

__all__ = ["folder_of", "literal_values", "shows", "with_file_edges"]


class _Piece(Protocol):
    @property
    def role(self) -> Role: ...
    @property
    def flow(self) -> Flow: ...
    @property
    def statement(self) -> Statement | None: ...


def literal_values(pieces: Iterable[_Piece], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that one setup cell and nothing else sets to a literal or a literal path, with the value that holds in this run."""
    values: dict[str, Any] = {}
    times: dict[str, int] = {}
    statements: list[ast.stmt] = []
    for piece in pieces:
        for name in piece.flow.binds:
            times[name] = times.get(name, 0) + (piece.role not in {Role.INJECTED, Role.REPORT})
        if piece.statement is not None:
            values.update(piece.statement.literals)
            statements.append(piece.statement.tree.body[0])
    single = {name: value for name, value in values.items() if times[name] <= 1} | dict(parameters)
    for node in statements:
        for name, path in _constant_path(node, single).items():
            if times[name] <= 1:
                single.setdefault(name, path)
    return single


def _constant_path(node: ast.stmt, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the name that a statement sets to a path made of literals and known names, such as ``OUT = Path("data") / name``."""
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return {}
    parts = [values.get(part.id) if isinstance(part, ast.Name) else part for part in path_parts(node.value) or (None,)]
    texts = [part for part in parts if isinstance(part, str)]
    return {node.targets[0].id: "".join(texts)} if len(texts) == len(parts) else {}


def with_file_edges(stages: Mapping[str, Stage], effects: Mapping[str, Effects], runs: Mapping[str, str]) -> dict[str, Stage]:
    """Keep the document's order among the stages that read or write one file, and say why.

    A reader takes the file from the last stage before it that writes it; a writer waits for those that read or wrote it before.

    Parameters
    ----------
    stages : mapping of str to Stage
        In document order.
    effects : mapping of str to Effects
        What running each stage has taught.
    runs : mapping of str to str
        In which run.
    """
    writers: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    found: dict[str, Stage] = {}
    for stage in stages.values():
        learnt = effects.get(stage.name, NO_EFFECTS)
        read = {*stage.files_read, *learnt.files_read, *learnt.files_absent}
        sources = {path: writers[path] for path in sorted(read) if path in writers}
        order: dict[str, list[str]] = {name: list(why) for name, why in stage.order.items()}
        for other, why in (*_used_before(stage, users), *_written_into(read, writers, stage.name)):
            order.setdefault(other, []).append(why)
        found[stage.name] = replace(
            stage,
            files_from=sources,
            order={name: tuple(dict.fromkeys(why)) for name, why in order.items()},
            files=tuple(_uses(stage, learnt, sources, runs.get(stage.name))),
        )
        writers.update(dict.fromkeys(stage.files_written, stage.name))
        for path in {*read, *stage.files_written}:
            users.setdefault(path.rstrip("/"), []).append(stage.name)  # a folder is one, looked at or made
    return found


def _used_before(stage: Stage, users: Mapping[str, list[str]]) -> Iterable[tuple[str, str]]:
    """Yield the stages that read or write a file, or list its folder, before this one writes it."""
    for path in stage.files_written:
        for user in users.get(path.rstrip("/"), ()):
            yield user, f"{path}: {user} reads or writes it before"
        for user in users.get(folder_of(path), ()):
            yield user, f"{path}: {user} lists its folder before, or makes it"


def _written_into(read: Iterable[str], writers: Mapping[str, str], reader: str) -> Iterable[tuple[str, str]]:
    """Yield the stages that write what lies in a folder, or matches a pattern, that this one reads."""
    for path, writer in writers.items():
        for item in sorted(read):
            if _covers(item, path):
                yield writer, f"{path}: in {item}, which {reader} reads"


def shows(item: str, path: str) -> bool:
    """Tell whether listing a folder, or matching a pattern, shows a path: a folder shows what lies in it, not what lies deeper."""
    return folder_of(path) == item or (glob.has_magic(item) and fnmatch.fnmatch(path, item))


def folder_of(path: str) -> str:
    """Return the folder that a path lies in, as code names it."""
    return posixpath.dirname(path.rstrip("/")) or "."


def _uses(stage: Stage, learnt: Effects, sources: Mapping[str, str], run: str | None) -> Iterable[FileUse]:
    """Tell each file that a stage reads or writes, and how that is known."""
    seen = f"seen in run {run[:8]}" if run else "seen when it ran"
    for path in sorted({*stage.files_read, *learnt.files_read, *learnt.files_absent}):
        declared = any(path == item or fnmatch.fnmatch(path, item) for item in stage.directive.files)
        how = "--file" if declared else "named in its code" if path in stage.files_read else seen
        if path in learnt.files_absent and path not in sources:
            how += ", where there was none"
        yield FileUse(path=path, kind="read", provider=sources.get(path), how=how)
    for path in stage.files_written:
        how = "--writes" if path in stage.directive.writes else seen if path in learnt.files_written else "named in its code"
        yield FileUse(path=path, kind="write", provider=None, how=how)


def _covers(item: str, path: str) -> bool:
    """Tell whether something that is read, a folder or a pattern, holds a path."""
    return item == "." or path.startswith(f"{item}/") or (glob.has_magic(item) and fnmatch.fnmatch(path, item))
