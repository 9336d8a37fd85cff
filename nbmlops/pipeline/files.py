"""Files between stages: the paths that code names, who writes what a stage reads, and the order that this asks for."""

from __future__ import annotations

import fnmatch
import glob
import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.model import FileUse, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


__all__ = ["folder_of", "shows", "with_file_edges"]


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
    writers = _Writers()
    users: dict[str, list[str]] = {}
    found: dict[str, Stage] = {}
    for stage in stages.values():
        learnt = effects.get(stage.name, NO_EFFECTS)
        read = {*stage.files_read, *learnt.files_read, *learnt.files_absent}
        if not read and not stage.files_written:
            found[stage.name] = stage
            continue
        sources = {path: writers.of[path] for path in sorted(read) if path in writers.of}
        order: dict[str, list[str]] = {name: list(why) for name, why in stage.order.items()}
        for other, why in (*_used_before(stage, users), *writers.into(read, stage.name)):
            order.setdefault(other, []).append(why)
        found[stage.name] = replace(
            stage,
            files_from=sources,
            order={name: tuple(dict.fromkeys(why)) for name, why in order.items()},
            files=tuple(_uses(stage, learnt, sources, runs.get(stage.name))),
        )
        writers.add(stage.files_written, stage.name)
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


class _Writers:
    """The stages that write each path, as far as the document has been gone through."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._below: dict[str, list[str]] = {}

    def add(self, paths: Iterable[str], writer: str) -> None:
        """Take note of the paths that the next stage writes."""
        for path in paths:
            if path not in self.of:
                self._places[path] = len(self.of)
                for folder in {".", *(path[:place] for place, letter in enumerate(path) if letter == "/")}:
                    self._below.setdefault(folder, []).append(path)
            self.of[path] = writer

    def into(self, read: Iterable[str], reader: str) -> Iterable[tuple[str, str]]:
        """Yield the stages that write what lies in a folder, or matches a pattern, that a stage reads; in the order of the document."""
        found: set[tuple[int, str, str]] = set()
        for item in read:
            found.update((self._places[path], item, path) for path in self._below.get(item, ()))
            if glob.has_magic(item):
                found.update((self._places[path], item, path) for path in self.of if fnmatch.fnmatch(path, item))
        for _, item, path in sorted(found):
            yield self.of[path], f"{path}: in {item}, which {reader} reads"


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
