"""What a stage that ran in the live kernel hands on: its artifacts, and the record that batch reuses."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotStorable
from nbmlops.pipeline.effects import Effects
from nbmlops.runner.handover import keep_values
from nbmlops.runner.leaving.openfiles import flush_open_files
from nbmlops.runner.sharing import holders, noting_holders
from nbmlops.store.fingerprint import alias_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmlops.pipeline.model import Stage
    from nbmlops.runner.leaving.leftbehind import LeftBehind
    from nbmlops.runner.watching.observation import Observation
    from nbmlops.session.live.kernel import KernelSession
    from nbmlops.session.live.reads import ReadAbove
    from nbmlops.store.records import Artifact
    from nbmlops.store.serializers import Context

__all__ = ["Kept", "keep", "observed_effects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store keeps of a stage.

    Parameters
    ----------
    outputs : dict of str to Artifact
    aliases : tuple of tuple of str
        The names that share state, as far as they are kept.
    lost : tuple of str
        Of what a later cell reads, why it could not be kept.
    files : dict of str to (str or None)
        The files that were read, with what they held.
    written : dict of str to str
        The files that were written.
    held : dict of str to str
        The values that it has changed and that a function or class of a setup cell holds too, with that definition.
    above : ReadAbove
        What was read for it before it ran.
    """

    outputs: dict[str, Artifact]
    aliases: tuple[tuple[str, ...], ...]
    lost: tuple[str, ...]
    files: dict[str, str | None]
    written: dict[str, str]
    held: dict[str, str]
    above: ReadAbove


def keep(
    session: KernelSession, stage: Stage, observation: Observation, mutated: Iterable[str], watched: Iterable[str], context: Context, above: ReadAbove
) -> Kept:
    """Store what a stage has bound and changed, and the files that it wrote.

    Parameters
    ----------
    session : KernelSession
    stage : Stage
    observation : Observation
    mutated : iterable of str
        The names whose value it has changed in place.
    watched : iterable of str
        Its inputs, and the setup names that it can reach.
    context : Context
    above : ReadAbove
        What was read for it before.
    """
    namespace = session.shell.user_ns
    later = session.later_reads(stage)
    handed = {name for name in stage.binds if name in namespace} | set(mutated)
    needed = later & handed | {*(stage.directive.outs or ()), *stage.directive.metrics}
    candidates = (handed | set(stage.inputs) | (set(watched) & later)) - context.by_reference
    found = alias_sets({name: namespace[name] for name in sorted(candidates) if name in namespace}, context)
    aliases = tuple(names for names in found if set(names) & handed)
    names = [*sorted(handed), *(name for group in aliases for name in group)]
    outputs, lost = _store_values(session, stage, names, aliases, needed, context)
    paths = observation.outputs()
    if paths:
        flush_open_files()
    definitions = {name: namespace[name] for name in context.by_reference if name in namespace}
    held = holders(definitions, {name: namespace[name] for name in outputs}, context)
    return Kept(
        outputs={name: noting_holders(artifact, held.get(name, ())) for name, artifact in outputs.items()},
        held={name: held[name][0] for name in held if name in set(mutated)},
        aliases=tuple(group for group in aliases if set(group) <= set(outputs)),
        lost=tuple(lost),
        files={**above.files, **observation.files_read()},
        above=above,
        written={
            path: session.store.objects.put([(session.folder / path).read_bytes()]) for path in paths if (session.folder / path).is_file()
        },
    )  # fmt: skip


def observed_effects(
    stage: Stage, observation: Observation, kept: Kept, *, mutated: Iterable[str], draws: tuple[str, ...], left: LeftBehind
) -> Effects:
    """Return what running the stage has taught, as batch would have learnt it."""
    files, written = kept.files, kept.written
    return Effects(
        mutated=tuple(sorted(mutated)),
        aliases=kept.aliases,
        files_read=tuple(sorted(path for path, digest in files.items() if digest is not None and path not in stage.files_read)),
        files_absent=tuple(sorted(path for path, digest in files.items() if digest is None and path not in {*stage.files_read, *written})),
        files_written=tuple(sorted(set(written) - set(stage.files_written))),
        files_made=tuple(path for path in stage.files_read if path in written and path in observation.new),
        files_removed=observation.files_removed(),
        environment=tuple(sorted({*observation.environment, *kept.above.environment})),
        modules=tuple(sorted({*observation.modules(), *kept.above.modules})),
        imports=observation.imports(),
        unseen=tuple(sorted(observation.unseen)),
        random=draws,
        left_behind=left.entries(),
    )


def _store_values(
    session: KernelSession, stage: Stage, names: list[str], aliases: tuple[tuple[str, ...], ...], needed: set[str], context: Context
) -> tuple[dict[str, Artifact], list[str]]:
    """Store every name that can be stored; say which of those that later cells read cannot."""
    namespace = session.shell.user_ns
    kept: dict[str, Artifact] = {}
    lost: list[str] = []
    for name in dict.fromkeys(names):
        if name in kept or (is_module(namespace[name]) and name not in needed):
            continue
        members = next((group for group in aliases if name in group), ())
        if name not in needed and _too_large(namespace[name], session.settings.kernel_limit_bytes):
            continue
        try:
            groups = (members,) if members else ()
            kept.update(keep_values(namespace, [name], groups, store=session.store, context=context, stage=stage.name, cell=stage.cells[0]))
        except NotStorable as error:
            if name in needed:
                lost.append(error.message)
        except MemoryError:
            if name in needed:
                lost.append(f"there is no memory left to store {name!r}")
    return kept, lost


def is_module(value: object) -> bool:
    """Tell modules, which are not worth an artifact unless a later cell reads them."""
    return type(value).__name__ == "module"


def _too_large(value: Any, limit: int) -> bool:  # noqa: ANN401 - any value
    size = getattr(value, "nbytes", None)
    if size is None and hasattr(value, "memory_usage"):
        with suppress(Exception):
            usage = value.memory_usage()
            size = int(usage.sum()) if hasattr(usage, "sum") else int(usage)
    return isinstance(size, int) and size > limit
