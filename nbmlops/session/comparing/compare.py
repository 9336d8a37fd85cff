"""Compare runs: collect what the store knows of each, and tell what differs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from nbmlops.errors import UsageError
from nbmlops.runner.redaction import MASK
from nbmlops.runner.stagekey import differences, type_exact
from nbmlops.session.comparing.codediff import RunCode, compare_code
from nbmlops.session.comparing.comparison import ABSENT, Absent, ArtifactSide, Compared, Comparison, Section, StageRow, StageSide, labels_of
from nbmlops.session.comparing.runfinder import RunFinder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nbmlops.store.records import RunRecord, StageRecord
    from nbmlops.store.store import Store

__all__ = ["compare_runs"]

_FEWEST = 2
_SHOWN = 4
_LATE_S = 1.0
# what has failed has a key too, that of what it was to do, and leaves no record
_RECORDED = frozenset({"ran", "reused", "refused"})
_Found = TypeVar("_Found")


def compare_runs(store: Store, root: Path, refs: Sequence[str]) -> Comparison:
    """Compare two runs or more.

    Parameters
    ----------
    store : Store
    root : Path
        The project's folder.
    refs : sequence of str
        Each a run's id, the beginning of one, or SWEEP/NUMBER.

    Raises
    ------
    UsageError
        If there are fewer than two, one cannot be meant, or two mean the same run.
    """
    if len(refs) < _FEWEST:
        raise UsageError(f"compare takes two runs or more, not {len(refs)}", code="NB004", fix="name two: ids (nbmlops store ls) or SWEEP/NUMBER")
    finder = RunFinder(store)
    found = [finder.find(ref) for ref in refs]
    ids = [run.run_id for run in found]
    twice = next((at for at, run_id in enumerate(ids) if run_id in ids[:at]), None)
    if twice is not None:
        first = refs[ids.index(ids[twice])]
        raise UsageError(f"{first!r} and {refs[twice]!r} are the same run, {ids[twice]}", code="NB004", fix="name another one")
    known = [_Known.of(store, run) for run in found]
    labels = labels_of(found)
    return Comparison(
        runs=tuple(Compared(run=item.run, gone=item.gone, replaced=item.replaced) for item in known),
        parameters=_parameters(known),
        metrics=_metrics(known),
        stages=_stages(known),
        artifacts=_artifacts(known),
        code=compare_code(store, root, [RunCode(label=label, run=item.run, records=item.records) for item, label in zip(known, labels, strict=True)]),
        environment=_environment(known, labels),
        notes=tuple(_notes(known, labels)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the store knows of a run."""

    run: RunRecord
    entries: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, StageRecord]
    gone: tuple[str, ...]
    replaced: tuple[str, ...]

    @classmethod
    def of(cls, store: Store, run: RunRecord) -> _Known:
        entries = {item["name"]: item for item in run.stages}
        found = {name: store.record_alone(item["key"]) for name, item in entries.items() if item.get("key") and item["status"] in _RECORDED}
        records = {name: record for name, record in found.items() if record is not None}
        end_s = run.started_s + run.seconds + _LATE_S
        return cls(
            run=run,
            entries=entries,
            records=records,
            gone=tuple(name for name, record in found.items() if record is None),
            # forced again since: the key is the same, and so is all that it is made of, but not all else that the record tells
            replaced=tuple(name for name, record in records.items() if record.started_s > end_s and record.run_id != run.run_id),
        )

    @property
    def untold(self) -> list[str]:
        """The stages that ran, and of which no record tells the environment."""
        return [name for name, item in self.entries.items() if name not in self.records and item["status"] not in {"skipped", "not-run"}]


def _parameters(known: Sequence[_Known]) -> Section[tuple[Any, ...]]:
    names = dict.fromkeys(name for item in known for name in item.run.parameters)
    rows = {name: tuple(item.run.parameters.get(name, ABSENT) for item in known) for name in names}
    return _section(rows, _same, lambda name, values: _hidden(values) and not _same_secret(name, known))


def _metrics(known: Sequence[_Known]) -> Section[tuple[Any, ...]]:
    found = [{(stage, name): value for stage, item in run.entries.items() for name, value in item.get("metrics", {}).items()} for run in known]
    return _section(_labelled(found), _same_number, lambda _name, values: _hidden(values))


def _section(
    rows: Mapping[str, tuple[Any, ...]], same: Callable[[object, object], bool], hides: Callable[[str, tuple[Any, ...]], bool]
) -> Section[tuple[Any, ...]]:
    """Sort rows of values; `hides` tells of equal ones whether they only look so."""
    differ, equal, unknown = {}, [], {}
    for name, values in rows.items():
        if not all(same(values[0], value) for value in values):
            differ[name] = values
        elif hides(name, values):
            unknown[name] = "its value is hidden as a secret"
        else:
            equal.append(name)
    return Section(differ=differ, equal=tuple(equal), unknown=unknown)


def _same(first: object, second: object) -> bool:
    """Tell whether two values of JSON are equal, in type too; NaN is NaN."""
    return first is second or type_exact(first) == type_exact(second)


def _same_number(first: object, second: object) -> bool:
    """Tell whether two metrics are equal: 1 is 1.0 there."""
    return _same(first, second) or (isinstance(first, (int, float)) and isinstance(second, (int, float)) and first == second)


def _hidden(values: tuple[Any, ...]) -> bool:
    return any(MASK in json.dumps(value, default=str) for value in values)


def _same_secret(name: str, known: Sequence[_Known]) -> bool:
    """Tell whether records prove a hidden parameter to be the same: they hold a digest of it, under a key."""
    found = [{record.components.get("values", {}).get(name) for record in run.records.values()} - {None} for run in known]
    return all(found) and len(set[Any]().union(*found)) == 1 and str(next(iter(found[0]))).startswith(f"{MASK} ")


def _labelled(runs: Sequence[Mapping[tuple[str, str], _Found]]) -> dict[str, tuple[_Found | Absent, ...]]:
    """Bring what stages have named together across runs: by its name, or, where two stages of a run have the name, by stage and name."""
    found: dict[str, tuple[_Found | Absent, ...]] = {}
    for name in dict.fromkeys(name for run in runs for _, name in run):
        stages = [[stage for stage, other in run if other == name] for run in runs]
        if all(len(item) <= 1 for item in stages):
            rows = {name: tuple(run[item[0], name] if item else ABSENT for run, item in zip(runs, stages, strict=True))}
        else:
            rows = {f"{at}.{name}": tuple(run.get((at, name), ABSENT) for run in runs) for at in dict.fromkeys(at for item in stages for at in item)}
        for label, row in rows.items():
            free = label
            while free in found:  # somebody calls a metric "train.loss"
                free += "'"
            found[free] = row
    return found


def _stages(known: Sequence[_Known]) -> Section[StageRow]:
    differ, equal, unknown = {}, [], {}
    for name in dict.fromkeys(name for item in known for name in item.entries):
        sides = tuple(_stage_side(item.entries[name]) if name in item.entries else ABSENT for item in known)
        there = [side for side in sides if side is not ABSENT]
        first = there[0]
        if len(there) < len(sides) or any((side.outcome, side.key, side.error) != (first.outcome, first.key, first.error) for side in there):
            differ[name] = StageRow(sides=sides, reasons=tuple(_reasons(name, known[0], item) for item in known))
        elif first.key is None and first.status != "skipped":
            unknown[name] = f"it is {first.status} in all, and nothing was recorded of it"
        else:
            equal.append(name)
    return Section(differ=differ, equal=tuple(equal), unknown=unknown)


def _stage_side(entry: Mapping[str, Any]) -> StageSide:
    error = entry.get("error") or {}
    text = ": ".join(str(part) for part in (error.get("type"), error.get("message")) if part)
    return StageSide(status=entry["status"], key=entry.get("key"), seconds=entry.get("seconds", 0.0), error=text)


def _reasons(name: str, first: _Known, other: _Known) -> tuple[str, ...]:
    before, after = first.records.get(name), other.records.get(name)
    if before is None or after is None or before.key == after.key:
        return ()
    return tuple(differences(dict(before.components), dict(after.components), {**first.run.parameters, **other.run.parameters}))


def _artifacts(known: Sequence[_Known]) -> Section[tuple[ArtifactSide | Absent, ...]]:
    differ, equal, unknown = {}, [], {}
    for name, sides in _labelled([_artifacts_of(item) for item in known]).items():
        there = [side for side in sides if not isinstance(side, Absent)]
        forms = {side.form for side in there} - {None}
        lost = [lost for item, side in zip(known, sides, strict=True) if side is ABSENT and (lost := (*item.gone, *item.replaced))]
        if len({side.digest for side in there}) > 1 or len(forms) > 1:
            differ[name] = sides
        elif there[0].format == "file" and lost:
            unknown[name] = f"only the record of a stage tells which files it wrote, and that of {', '.join(lost[0][:_SHOWN])} is gone"
        elif len(there) < len(sides):
            differ[name] = sides
        else:
            equal.append(name)
    return Section(differ=differ, equal=tuple(equal), unknown=unknown)


def _artifacts_of(known: _Known) -> dict[tuple[str, str], ArtifactSide]:
    found = {}
    for stage, entry in known.entries.items():
        record = known.records.get(stage)
        for name, item in entry.get("outputs", {}).items():
            told = record.outputs.get(name) if record is not None else None
            told = told if told is not None and told.digest == item["digest"] else None
            found[stage, name] = ArtifactSide(
                stage=stage,
                digest=item["digest"],
                format=item["format"],
                size_bytes=item["bytes"],
                type=None if told is None else told.type,
                summary=None if told is None else told.summary,
                form=told.form if told is not None and stage not in known.replaced else None,
            )
        if record is not None and stage not in known.replaced:
            for path, digest in record.files_written.items():
                found[stage, f"./{path}" if path.isidentifier() else path] = ArtifactSide(stage=stage, digest=digest, format="file", size_bytes=None)
    return found


def _environment(known: Sequence[_Known], labels: Sequence[str]) -> Section[tuple[Any, ...]]:
    told = [_environment_of(item) for item in known]
    differ, equal, unknown = {}, [], {}
    for name in dict.fromkeys(name for item in told for name in item):
        values = tuple(item.get(name, ABSENT) for item in told)
        untold = [at for at, value in enumerate(values) if value is ABSENT and known[at].untold]
        if len({value for at, value in enumerate(values) if at not in untold}) > 1:
            differ[name] = tuple("not recorded" if at in untold else value for at, value in enumerate(values))
        elif untold:
            unknown[name] = f"{labels[untold[0]]} has no record of {', '.join(known[untold[0]].untold[:_SHOWN])}"
        else:
            equal.append(name)
    return Section(differ=differ, equal=tuple(equal), unknown=unknown)


def _environment_of(known: _Known) -> dict[str, str]:
    """Return Python, the distributions that the stages use, and the numbers of threads; where stages had several, each with its stages."""
    found: dict[str, dict[str, list[str]]] = {}
    for stage, record in known.records.items():
        told = {"python": record.components.get("python"), **record.components.get("distributions", {})}
        if stage not in known.replaced:
            told.update({name: value or "not set" for name, value in record.environment.items() if name != "threads"})
        for name, value in told.items():
            if value is not None:
                found.setdefault(name, {}).setdefault(str(value), []).append(stage)
    return {
        name: next(iter(values)) if len(values) == 1 else "; ".join(f"{value} ({', '.join(stages)})" for value, stages in sorted(values.items()))
        for name, values in found.items()
    }


def _notes(known: Sequence[_Known], labels: Sequence[str]) -> list[str]:
    notes = []
    notebooks = dict.fromkeys(item.run.notebook for item in known)
    if len(notebooks) > 1:
        notes.append(f"these are runs of different notebooks: {', '.join(notebooks)}")
    for item, label in zip(known, labels, strict=True):
        if item.gone:
            notes.append(
                f"{label}: the store no longer holds the record of {', '.join(item.gone)}: of what it made only digests and sizes are known, "
                "not the files it wrote, nor its environment"
            )
        if item.replaced:
            notes.append(f"{label}: {', '.join(item.replaced)} has run again since, and its record is the later one's")
    return notes
