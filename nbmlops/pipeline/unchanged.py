"""Which stages are read off two linkings of one notebook alike, so that what was made of one holds for the other."""

from __future__ import annotations

import operator
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from collections.abc import Set as AbstractSet

    from nbmlops.pipeline.linked import Linked

__all__ = ["same_stages"]


def same_stages(earlier: Linked, now: Linked, aliasing: AbstractSet[str]) -> Iterator[str]:
    """Yield the stages of which the later linking tells what the earlier one does, but for what is read later.

    Pieces and links that did not change are the same objects. What `Builder` reads of a stage hangs on its own pieces and links, on those of
    whom it takes something from, on setup as a whole, and on who takes something from it: a stage is left out where one of these may be another.

    Parameters
    ----------
    earlier, now : Linked
    aliasing : set of str
        The stages of which it was learnt that names share state: their readers hang on everything above.
    """
    if not now.has_setup_of(earlier) or earlier.source.parameters.keys() != now.source.parameters.keys():
        return
    changed = _changed(earlier, now)
    first, named = min(changed, default=len(now.links)), earlier.source.stages.keys() == now.source.stages.keys()
    moved = {name for name, positions in now.positions.items() if earlier.positions.get(name) != positions or changed.intersection(positions)}
    for name, positions in now.positions.items():
        if name in moved or moved.intersection(now.providers[name]):
            continue
        if not _are_same(earlier.source.stages[name], now.source.stages[name]) or any(
            item.provider in changed for position in positions for item in now.links[position].links
        ):
            continue
        directive = now.source.stages[name][0].directive
        if directive is not None and directive.after and not named:
            continue
        if first < positions[0] and not aliasing.isdisjoint(now.providers[name]):
            continue
        if _is_taken_alike(earlier, now, positions) and not now.changed_setup(positions):
            yield name


def _changed(earlier: Linked, now: Linked) -> set[int]:
    """Return the positions whose piece or links are other objects."""
    pieces = zip_longest(earlier.source.pieces, now.source.pieces)
    links = zip_longest(earlier.links, now.links)
    return {place for place, ((old, new), (before, after)) in enumerate(zip(pieces, links, strict=True)) if old is not new or before is not after}


def _are_same(some: Collection[object], others: Collection[object]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _is_taken_alike(earlier: Linked, now: Linked, positions: tuple[int, ...]) -> bool:
    """Tell whether the same others take the same from these positions, and watch the same names while they run."""
    return all(
        earlier.held.get(position) == now.held.get(position) and earlier.readers.get(position) == now.readers.get(position) for position in positions
    )
