"""From a document to its pipeline: a pure function of the cells and of what earlier runs have taught."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.dataflow.localtime import time_zone_variables
from nbmlops.notebook.directive import Directive
from nbmlops.notebook.roles import Role
from nbmlops.pipeline.checks import Checked, diagnose
from nbmlops.pipeline.code import fingerprint
from nbmlops.pipeline.effects import NO_EFFECTS, Effects
from nbmlops.pipeline.files import with_file_edges
from nbmlops.pipeline.linked import Linked, link_source, step_of
from nbmlops.pipeline.model import Pipeline, Read, Report, Stage, Step
from nbmlops.pipeline.paths import Paths
from nbmlops.pipeline.unchanged import same_stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nbmlops.dataflow.linking import Link
    from nbmlops.pipeline.source import Source

__all__ = ["Builder", "build"]

_Taught = tuple[str, tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...], "str | None"]


def build(
    source: Source,
    parameters: Mapping[str, Any] | None = None,
    effects: Mapping[str, Effects] | None = None,
    runs: Mapping[str, str] | None = None,
) -> Pipeline:
    """Link a document's cells into a pipeline.

    Parameters
    ----------
    source : Source
    parameters : mapping of str to object, optional
        Values that override the defaults; paths that the code names may be made of them.
    effects : mapping of str to Effects, optional
        What running each stage has taught, by stage name.
    runs : mapping of str to str, optional
        In which run it was seen, where that is known: for telling only.

    Returns
    -------
    Pipeline
        With every diagnostic; one of severity error means that it must not be run.
    """
    return Builder().build(source, parameters, effects, runs)


class Builder:
    """Builds the pipelines of one notebook again and again, as cells are edited and as effects are learnt.

    Each is what `build` gives. What went into a part of the last one and is the same now is not gone through again.
    """

    def __init__(self) -> None:
        self._linked: Linked | None = None
        self._known: dict[str, tuple[list[_Taught], Stage]] = {}
        self._built: tuple[tuple[Linked, dict[str, Effects], dict[str, str], str], Pipeline] | None = None

    def build(
        self,
        source: Source,
        parameters: Mapping[str, Any] | None = None,
        effects: Mapping[str, Effects] | None = None,
        runs: Mapping[str, str] | None = None,
    ) -> Pipeline:
        """Build a pipeline, as `build` does."""
        parameters, effects, runs = parameters or {}, effects or {}, runs or {}
        linked = link_source(source, effects, self._linked)
        given = (linked, dict(effects), dict(runs), _here())
        if not parameters and self._built is not None and self._built[0] == given:
            return self._built[1]
        if linked is not self._linked:
            self._known = dict(self._still_known(linked))
            self._linked = linked
        reader = _Reader(linked, effects, runs)
        paths = Paths(linked, parameters)
        stages = {name: paths.add_to(self._stage(name, reader), effects.get(name, NO_EFFECTS)) for name in source.stages}
        pipeline = Pipeline(
            stages=with_file_edges(stages, effects, runs),
            parameters=source.parameters,
            setup=linked.setup,
            setup_steps=linked.setup_steps,
            reports=tuple(reader.report(position) for position, piece in enumerate(source.pieces) if piece.role is Role.REPORT),
        )
        checked = Checked(
            document=source.document,
            cells=source.cells,
            pieces=source.pieces,
            links=linked.links,
            pipeline=pipeline,
            effects=effects,
            sites=source.sites,
            constants=paths.constants,
            own_functions=source.own_functions,
            parameters=parameters,
            conflicts=source.order.conflicts if source.order else (),
        )
        built = replace(pipeline, diagnostics=diagnose(checked))
        # patterns are looked up each time; and parameters that are equal may be of another type
        lasting = not parameters and not any(stage.directive.files for stage in stages.values())
        self._built = (given, built) if lasting else None
        return built

    def _still_known(self, linked: Linked) -> Iterator[tuple[str, tuple[list[_Taught], Stage]]]:
        """Give the stages that the next linking tells as the last one did, with what is read later now."""
        if self._linked is None:
            return
        aliasing = {name for taught, _ in self._known.values() for name, _, _, aliases, _ in taught if aliases}
        for name in same_stages(self._linked, linked, aliasing):
            if name in self._known:
                taught, stage = self._known[name]
                later = linked.later[linked.positions[name][-1]]
                yield name, (taught, stage if stage.later == later else replace(stage, later=later))

    def _stage(self, name: str, reader: _Reader) -> Stage:
        """Return a stage without its files: it hangs on the links, and on what its own runs and those of its providers have taught."""
        taught = reader.taught_by(name)
        known = self._known.get(name)
        if known is None or known[0] != taught:
            known = self._known[name] = (taught, reader.stage(name))
        return known[1]


def _here() -> str:
    """Return the working directory, from which messages tell how to write an absolute path."""
    with suppress(OSError):
        return str(Path.cwd())
    return ""


class _Reader:
    """Reads stages and report cells off the links of a source."""

    def __init__(self, linked: Linked, effects: Mapping[str, Effects], runs: Mapping[str, str]) -> None:
        self.linked = linked
        self.source = linked.source
        self.effects = effects
        self.runs = runs

    def taught_by(self, name: str) -> list[_Taught]:
        """Return all that goes into `stage` besides the links."""
        stages = (name, *self.linked.providers[name])
        learnt = [self.effects.get(stage, NO_EFFECTS) for stage in stages]
        return [(stage, item.mutated, item.writes, item.aliases, self.runs.get(stage)) for stage, item in zip(stages, learnt, strict=True)]

    def stage(self, name: str) -> Stage:
        """Read a stage, without the files that it uses."""
        members = self.source.stages[name]
        positions = self.linked.positions[name]
        directive = members[0].directive or Directive(name=name)
        code, fingerprints = self.source.codes[name]
        flows = [self.source.pieces[position].flow for position in positions]
        units = [self.linked.links[position] for position in positions]
        zone = {name for roled in members if roled.tree is not None for name in time_zone_variables(roled.tree)}
        return Stage(
            name=name,
            cells=tuple(roled.cell.index for roled in members),
            directive=directive,
            code=code,
            fingerprints=fingerprints,
            reads=self._reads(positions, name),
            wants=self._wants(positions, name, directive),
            binds=tuple(sorted({bound for unit in units for bound in unit.writes})),
            later=self.linked.later[positions[-1]],
            unprovided=tuple(sorted({item.name for unit in units for item in unit.links if item.provider is None or item.hidden_by is not None})),
            order={
                **dict.fromkeys(self._stars(positions, name), ("its star import may bind what this stage reads",)),
                **{other: ("--after",) for other in directive.after if other in self.source.stages and other != name},
            },
            setup=self.linked.setup_used(positions),
            steps=self._steps(name, positions),
            modules=tuple(sorted({module for flow in flows for module in (*flow.modules, *flow.star_imports)})),
            environment=tuple(sorted({*directive.env, *(variable for flow in flows for variable in flow.environment), *zone})),
        )

    def report(self, position: int) -> Report:
        """Read a report cell."""
        piece = self.source.pieces[position]
        roled = self.source.cells[piece.cell]
        return Report(
            cell=piece.cell,
            source=roled.body,
            code=fingerprint(roled.tree) if roled.tree is not None else "",
            reads=self._reads([position], None),
            setup=self.linked.setup_used([position]),
            modules=tuple(sorted(piece.flow.modules)),
            follows=self._follows(position),
            guards=self._guards(position),
        )

    def _steps(self, name: str, positions: Sequence[int]) -> tuple[Step, ...]:
        members, held = self.source.stages[name], self.linked.held
        own = [step_of(roled, guards=tuple(sorted(held.get(position, ())))) for roled, position in zip(members, positions, strict=True)]
        before = self.linked.setup_steps_before(members[-1].cell.index)
        return (*before, *own) if len(own) == 1 else tuple(sorted((*before, *own), key=lambda step: step.place))

    def _guards(self, position: int) -> tuple[str, ...]:
        """Return the artifacts that a report cell reads and that a stage after it reads in the same version."""
        return tuple(
            sorted(
                {
                    item.name
                    for item in self.linked.links[position].links
                    if item.provider is not None
                    for reader, other in self.linked.readers.get(item.provider, ())
                    if other.name == item.name and reader > position and self.source.pieces[reader].stage is not None
                }
            )
        )

    def _follows(self, position: int) -> tuple[int, ...]:
        """Return the report cells whose names a report cell reads."""
        providers = [self.source.pieces[item.provider] for item in self.linked.links[position].links if item.provider not in {None, position}]
        return tuple(sorted({piece.cell for piece in providers if piece.role is Role.REPORT}))

    def _reads(self, positions: Sequence[int], stage: str | None) -> tuple[Read, ...]:
        """Collect what the units at `positions` take from outside their stage, bundle mates included."""
        found: dict[str, Read] = {}
        for position in positions:
            for item in self.linked.links[position].links:
                read = self._read(item, stage)
                if read is not None and (read.kind != "stage" or read.provider != stage):
                    found.setdefault(read.name, read)
        for read in [read for read in found.values() if read.kind == "stage"]:
            for mates in self.effects.get(read.provider, NO_EFFECTS).aliases:
                if read.name in mates:
                    for mate in mates:
                        if not self._is_current(mate, read.provider, positions[0]):
                            continue  # after `both = [train]` in one stage and `train = 2` in the next, `train` is another object
                        how = f"shares state with {read.name}"
                        found.setdefault(mate, Read(name=mate, kind="stage", provider=read.provider, cell=read.cell, how=how))
        return tuple(found[name] for name in sorted(found))

    def _is_current(self, name: str, stage: str, position: int) -> bool:
        """Tell whether a name means at a position what a stage has left of it: no unit between has bound, changed or deleted it."""
        for piece, links in zip(reversed(self.source.pieces[:position]), reversed(self.linked.links[:position]), strict=True):
            if piece.role is not Role.REPORT and (name in links.writes or name in piece.flow.deleted):
                return piece.stage == stage
        return False

    def _stars(self, positions: Sequence[int], stage: str) -> list[str]:
        """Return the stages whose star imports may bind what the units read: running them tells which names."""
        links = [item for position in positions for item in self.linked.links[position].links if self.linked.is_open(item)]
        found = [self.source.pieces[item.provider].stage for item in links if item.provider is not None]
        return sorted({name for name in found if name is not None and name != stage})

    def _read(self, item: Link, reader: str | None) -> Read | None:
        if item.provider is None or self.linked.is_open(item):
            return None
        piece = self.source.pieces[item.provider]
        if piece.stage is not None:
            return Read(name=item.name, kind="stage", provider=piece.stage, cell=piece.cell, how=self._how(item, reader, piece.stage))
        if piece.role is Role.REPORT:
            return None
        if item.name in self.source.parameters and piece.role in {Role.PARAMETERS, Role.INJECTED}:
            return Read(name=item.name, kind="parameter", provider="parameters", cell=piece.cell, how=self._how(item, reader))
        return Read(name=item.name, kind="setup", provider="setup", cell=piece.cell, how=self._how(item, reader))

    def _how(self, item: Link, reader: str | None, provider: str | None = None) -> str:
        """Say how a read was found, and what is known of it from running only."""
        parts = [item.how + self._seen(reader) if item.how == "learnt" else item.how]
        if item.how == "name" and item.name in self._taught(reader, item.name).mutated:
            parts.append(f"changed in place here{self._seen(reader)}")
        taught = self._taught(provider, item.name)
        links = self.linked.links[item.provider] if item.provider is not None else None
        if item.name in taught.mutated:
            parts.append(f"changed in place by {provider}{self._seen(provider)}")
        elif item.name in taught.writes:
            parts.append(f"bound by {provider}{self._seen(provider)}")
        elif links is not None and provider is not None and item.name in links.mutates and item.how != "mutated here":
            mates = next((names for names in taught.aliases if item.name in names), ())
            others = ", ".join(name for name in mates if name != item.name)
            parts.append(f"shares state with {others} of {provider}{self._seen(provider)}" if others else f"changed in place by {provider}")
        return "; ".join(parts)

    def _taught(self, stage: str | None, name: str) -> Effects:
        """Return what running a stage has taught of a name; nothing where its code binds the name anyway."""
        return NO_EFFECTS if stage is None or name in self.linked.bound[stage] else self.effects.get(stage, NO_EFFECTS)

    def _seen(self, stage: str | None) -> str:
        run = self.runs.get(stage or "")
        return f", seen in run {run[:8]}" if run else ", seen when it ran"

    def _wants(self, positions: Sequence[int], stage: str, directive: Directive) -> tuple[str, ...]:
        wanted = {*(directive.outs or ()), *directive.metrics}
        # a metric that it only reads is kept by the stage that made it
        taken = {item.name for position in positions for item in self.linked.links[position].links if item.provider is not None}
        written = {name for position in positions for name in self.linked.links[position].writes}
        wanted -= taken - written - set(directive.outs or ())
        wanted |= written.intersection(directive.counted)
        for position in positions:
            for reader, item in self.linked.readers.get(position, ()):
                if self.source.pieces[reader].stage != stage and not self.linked.is_open(item):
                    wanted.add(item.name)
        wanted.update(name for name in self.linked.changed_setup(positions) if self.linked.is_read_later(name, positions[-1]))
        aliases = self.effects.get(stage, NO_EFFECTS).aliases
        wanted.update(name for names in aliases if wanted.intersection(names) for name in names)
        return tuple(sorted(wanted))
