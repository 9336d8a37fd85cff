"""One stage, run again and again from the inputs of its first execution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmlops.runner.environment import file_digest
from nbmlops.session.verifying.causes import BY_ITSELF, Difference, causes_of
from nbmlops.session.verifying.conditions import FACTORS, Conditions
from nbmlops.session.verifying.distance import apart
from nbmlops.session.verifying.verdict import StageVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.task import StageError, StageTask
    from nbmlops.session.verifying.rehearsals import Rehearsals, Rehearsed
    from nbmlops.store.records import Artifact, StageRecord

__all__ = ["Repeats", "error_of"]

_WORDS = {"hash_seed": "hash seed", "shift_s": "date", "threads": "number of threads", "zone": "time zone", "locale": "locale", "place": "folder"}
_ENDS = {"failed": "fails", "timed-out": "runs out of time", "cancelled": "is cancelled"}
# code that waits for a clock that stands still would wait for ever
_STILL_S, _STILL_FACTOR = 60.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What is needed to run one stage again.

    Parameters
    ----------
    stage : Stage
    task : StageTask
    record : StageRecord
        Of its first execution.
    rehearsals : Rehearsals
    settled : mapping of str to callable
        The files that earlier stages wrote.
    untracked : mapping of str to Path
        The files that the first run wrote unseen, whichever stage it was.
    progress : callable
        Gets what is done now, in words.
    """

    stage: Stage
    task: StageTask
    record: StageRecord
    rehearsals: Rehearsals
    settled: Mapping[str, Callable[[Path], None]]
    untracked: Mapping[str, Path]
    progress: Callable[[str], None]

    def judge(self, usual: Conditions, other: Conditions, places: str) -> tuple[StageVerdict, tuple[str, ...]]:
        """Run the stage under other conditions, and where that differs, find out why.

        Parameters
        ----------
        usual, other : Conditions
            Of the first and the second execution.
        places : str
            Where the code gives a reason.

        Returns
        -------
        (StageVerdict, tuple of str)
            And the files that the stage wrote unseen.
        """
        self.progress("second time")
        second = self._run(other)
        unseen = tuple(path for path in second.files if path in self.untracked)
        differing = self._differences(second)
        if not differing:
            return StageVerdict(name=self.stage.name, same=True), unseen
        causes = causes_of(differing, usual, other, lambda conditions: self._probe(conditions, usual), self._probe_twice)
        artifacts = {item.name for item in differing if item.kind == "artifact"}
        verdict = StageVerdict(
            name=self.stage.name,
            same=False,
            artifacts=tuple(sorted(artifacts if second.outcome.status == "ran" else self.record.outputs)),
            files=tuple(sorted(item.name for item in differing if item.kind == "file")),
            cause="; ".join([*self._sentences(causes, second), *([f"see {places}"] if places else [])]),
        )
        return verdict, unseen

    def _run(self, conditions: Conditions, *, limit_s: float | None = None) -> Rehearsed:
        limits = [limit for limit in (limit_s, self.task.timeout_s) if limit is not None]
        task = replace(self.task, timeout_s=min(limits, default=None))
        written = self.rehearsals.written(self.record)
        return self.rehearsals.run(task, conditions, self.settled, written, retries=self.stage.directive.retries)

    def _probe(self, conditions: Conditions, usual: Conditions) -> frozenset[Difference]:
        changed = [_WORDS[name] for name in FACTORS if getattr(conditions, name) != getattr(usual, name)]
        self.progress(f"again, with another {changed[0]}" if changed else "again, under equal conditions")
        return self._differences(self._run(conditions))

    def _probe_twice(self, conditions: Conditions) -> frozenset[Difference]:
        """Return what differs between two more executions."""
        self.progress("twice more, with the clock standing still")
        one, two = (self._run(conditions, limit_s=_STILL_S + _STILL_FACTOR * self.record.seconds) for _ in range(2))
        ends = (one.outcome.status, two.outcome.status)
        if ends != ("ran", "ran"):
            return frozenset({Difference("end", status) for status in ends if status != "ran"}) if ends[0] != ends[1] else frozenset()
        return self._artifacts(one.outcome.outputs, two.outcome.outputs) | _files(one.files, two.files)

    def _differences(self, again: Rehearsed) -> frozenset[Difference]:
        """Return what an execution does not have in common with the first one."""
        if again.outcome.status != "ran":
            return frozenset({Difference("end", again.outcome.status)})
        first = {path: self._first_digest(path) for path in again.files}
        return self._artifacts(self.record.outputs, again.outcome.outputs) | _files(first, again.files)

    def _artifacts(self, left: Mapping[str, Artifact], right: Mapping[str, Artifact]) -> frozenset[Difference]:
        names = {*self.stage.wants, *(set(left) & set(right))}
        return frozenset(Difference("artifact", name) for name in names if _digest(left, name) != _digest(right, name))

    def _first_digest(self, path: str) -> str | None:
        """Return what a file held after the first execution."""
        seen = self.rehearsals.written(self.record)
        if path in seen:
            return seen[path]
        return file_digest(self.untracked.get(path) or self.rehearsals.replicas["first"].original / path)

    def _sentences(self, causes: Iterable[tuple[str, frozenset[Difference]]], second: Rehearsed) -> list[str]:
        found = list(causes)
        return [self._sentence(text, part, second, alone=len(found) == 1) for text, part in found]

    def _sentence(self, text: str, part: frozenset[Difference], second: Rehearsed, *, alone: bool) -> str:
        if any(item.kind == "end" for item in part):
            error = f" ({error_of(second.outcome.error)})" if second.outcome.error else ""
            return f"it {_ENDS.get(second.outcome.status, second.outcome.status)} the second time{error}: {text}"
        names = ", ".join(sorted(item.name if item.kind == "artifact" else f"file {item.name}" for item in part))
        told = text if alone else f"{names}: {text}"
        if text in BY_ITSELF:  # how far random numbers are apart tells nothing
            return told
        sizes = [f"{name}: {size}" for name in sorted(item.name for item in part if item.kind == "artifact") if (size := self._apart(name, second))]
        return f"{told} ({'; '.join(sizes)})" if sizes else told

    def _apart(self, name: str, second: Rehearsed) -> str:
        left, right = self.record.outputs.get(name), second.outcome.outputs.get(name)
        return apart(self.rehearsals.store, left, right) if left is not None and right is not None else ""


def error_of(error: StageError) -> str:
    """Return an error in one line."""
    place = f" in cell {error.cell}" if error.cell is not None else ""
    return f"{error.type}{place}: {error.message}"


def _digest(artifacts: Mapping[str, Artifact], name: str) -> str | None:
    return artifacts[name].digest if name in artifacts else None


def _files(left: Mapping[str, str | None], right: Mapping[str, str | None]) -> frozenset[Difference]:
    return frozenset(Difference("file", path) for path in {*left, *right} if left.get(path) != right.get(path))
