"""Which names share state that can change once a stage has run: setup is made anew for each stage, what a stage hands on is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotStorable
from nbmlops.store.fingerprint import alias_sets, mutable_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.store.records import Artifact
    from nbmlops.store.serializers import Context

__all__ = ["holders", "noting_holders", "refuse_changed", "sharing"]


def sharing(values: Mapping[str, Any], kept: Iterable[str], context: Context) -> tuple[tuple[str, ...], ...]:
    """Return the sets of names that share state with something that a stage hands on.

    Parameters
    ----------
    values : mapping of str to object
        What the stage hands on, its inputs, and the setup objects that later cells read, also those that it did not use itself: after
        ``lst = []; holder = {"l": lst}``, a stage that changes `lst` changes `holder`.
    kept : iterable of str
        The names that are handed on.
    context : Context
    """
    kept = set(kept)
    candidates = {name: values[name] for name in sorted(values) if name not in context.by_reference}
    return tuple(names for names in alias_sets(candidates, context) if kept.intersection(names))


def holders(definitions: Mapping[str, Any], values: Mapping[str, Any], context: Context) -> dict[str, tuple[str, ...]]:
    """Find the functions and classes of setup cells that hold the state of a value: in a default argument, an attribute, a base or a closure.

    Parameters
    ----------
    definitions : mapping of str to object
        The functions and classes that the stage or a later cell uses.
    values : mapping of str to object
    context : Context

    Returns
    -------
    dict of str to tuple of str
        For each such value the definitions, sorted.
    """
    held = {name: mutable_ids(code) - {id(code)} for name, code in sorted(definitions.items())}
    held = {name: ids for name, ids in held.items() if ids}
    if not held:
        return {}
    found = {}
    for name, value in values.items():
        ids = mutable_ids(value, context)
        found[name] = tuple(definition for definition in held if definition != name and not ids.isdisjoint(held[definition]))
    return {name: names for name, names in found.items() if names}


def noting_holders(artifact: Artifact, definitions: Iterable[str]) -> Artifact:
    """Return an artifact that tells which definitions of setup cells hold its state too."""
    return replace(artifact, refers=(*artifact.refers, *(f"state:{name}" for name in definitions)))


def refuse_changed(stage: str, changed: Iterable[str], held: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a stage that changes a value whose state a definition of setup holds too.

    Raises
    ------
    NotStorable
        Naming both: every stage makes the definition anew, so it would not see the change.
    """
    for name in changed:
        if held.get(name):
            raise NotStorable(
                f"stage {stage!r} changes {name!r}, whose state {held[name][0]!r} of a setup cell holds too (as a default argument, an attribute, "
                "a base class or in a closure); every stage makes that anew, and would not see the change",
                code="NB616",
                fix=f"give {held[name][0]!r} what it needs as an argument, or let the stage change a copy of {name!r}",
            )
