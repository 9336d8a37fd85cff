"""Who writes what lies in a folder, or matches a pattern, that a stage reads."""

from __future__ import annotations

import fnmatch
import glob
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from nbmlops.pipeline.effects import Effects
from nbmlops.pipeline.files import with_file_edges
from tests.pipeline.written import pipeline_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WRITTEN = ("a.txt", "out/", "out/b.txt", "out/c/d.txt", "/x/y", "/x/", "./z", "data/*.csv", "data/1.csv", "out")
_READ = (".", "out", "out/", "/x", "*.txt", "data/*.csv", "out/*", "/", "./", "out/c", "a.txt")
_STAGES = pipeline_of(*(f"%%mlstage s{number}\nx{number} = 1" for number in range(5)), "%%mlstage reader\ny = 1").stages


def _one_after_the_other(read: set[str], writers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, writer in writers.items():
        for item in sorted(read):
            if item == "." or path.startswith(f"{item}/") or (glob.has_magic(item) and fnmatch.fnmatch(path, item)):
                yield writer, f"{path}: in {item}, which reader reads"


@given(st.integers(0, 2**32))
def test_writers_below_a_folder_are_all_found(seed: int) -> None:
    """As if each path were held against each that is read."""
    chance = random.Random(seed)
    effects = {f"s{number}": Effects(files_written=tuple(sorted(chance.sample(_WRITTEN, chance.randrange(4))))) for number in range(5)}
    stages = {name: replace(stage, files_written=effects[name].files_written) if name in effects else stage for name, stage in _STAGES.items()}
    read = set(chance.sample(_READ, chance.randrange(5)))
    found = with_file_edges(stages, {**effects, "reader": Effects(files_read=tuple(sorted(read)))}, {})["reader"]
    writers = {path: name for name, learnt in effects.items() for path in learnt.files_written}
    wanted: dict[str, list[str]] = {}
    for writer, why in _one_after_the_other(read, writers):
        wanted.setdefault(writer, []).append(why)
    assert found.order == {writer: tuple(dict.fromkeys(why)) for writer, why in wanted.items()}
    assert found.files_from == {path: writers[path] for path in sorted(read) if path in writers}
