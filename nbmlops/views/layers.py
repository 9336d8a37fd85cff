"""Which layer each box of a graph is in, and in which order a layer's boxes stand.

The method is Sugiyama's: cycles are cut, each box gets a layer, a line that spans several layers gets a bend point in each, and the
layers are ordered so that few lines cross. The lines that leave one box share their bend points, so that what everything reads is one
trunk with branches.

References
----------
Sugiyama, Tagawa, Toda (1981). Methods for visual understanding of hierarchical system structures. doi:10.1109/TSMC.1981.4308636.
Gansner, Koutsofios, North, Vo (1993). A technique for drawing directed graphs. doi:10.1109/32.221135.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Graph"]

_ROUNDS = 6
_PATIENCE = 2
_MOST_BENDS = 4000  # where nearly everything hangs on everything, routing lines around boxes costs seconds and shows nothing


class Graph:
    """A directed graph by number, in layers.

    Parameters
    ----------
    count : int
        The boxes are 0 to `count` - 1; vertices from `count` on are bend points.
    pairs : sequence of (int, int)
        Edges, each once, without loops.
    """

    def __init__(self, count: int, pairs: Sequence[tuple[int, int]]) -> None:
        self.count = count
        self.backwards = _backwards(count, pairs)
        forward = list(dict.fromkeys((b, a) if (a, b) in self.backwards else (a, b) for a, b in pairs))
        self.layers = _layers(count, forward)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layers, default=-1) + 1)]
        for vertex in range(count):
            self.rows[self.layers[vertex]].append(vertex)
        self.up: list[list[int]] = [[] for _ in range(count)]
        self.down: list[list[int]] = [[] for _ in range(count)]
        farthest = {a: self.layers[b] for a, b in sorted(forward, key=lambda pair: self.layers[pair[1]])}
        self._bends = sum(layer - self.layers[a] - 1 for a, layer in farthest.items()) <= _MOST_BENDS
        trunks: dict[tuple[int, int], int] = {}
        self.routes = {(a, b): self._route(a, b, trunks) for a, b in forward}

    def _route(self, source: int, target: int, trunks: dict[tuple[int, int], int]) -> list[int]:
        """Return the vertices that a line passes, making the bend points that `source` has not got yet."""
        route = [source]
        if not self._bends and self.layers[target] > self.layers[source] + 1:
            return [source, target]
        for layer in range(self.layers[source] + 1, self.layers[target]):
            bend = trunks.get((source, layer))
            if bend is None:
                bend = trunks[source, layer] = len(self.up)
                self.rows[layer].append(bend)
                self.up.append([route[-1]])
                self.down.append([])
                self.down[route[-1]].append(bend)
            route.append(bend)
        self.up[target].append(route[-1])
        self.down[route[-1]].append(target)
        return [*route, target]

    def reduce_crossings(self) -> None:
        """Order each layer by the mean place of its neighbours, downwards and upwards in turn, and keep the best order."""
        best, fewest, idle = [row[:] for row in self.rows], self._crossings(), 0
        for _ in range(_ROUNDS):
            if not fewest or idle == _PATIENCE:
                break
            for upper, lower in pairwise(self.rows):
                _order(lower, upper, self.up)
            for lower, upper in pairwise(reversed(self.rows)):
                _order(upper, lower, self.down)
            found = self._crossings()
            idle = 0 if found < fewest else idle + 1
            if found < fewest:
                best, fewest = [row[:] for row in self.rows], found
        self.rows = best

    def _crossings(self) -> int:
        """Count the pairs of lines that cross: for each layer, the inversions among their lower ends."""
        total = 0
        for upper, lower in pairwise(self.rows):
            place = {vertex: position for position, vertex in enumerate(lower)}
            seen: list[int] = []
            for vertex in upper:
                ends = [place[other] for other in self.down[vertex]]
                for end in ends:
                    total += len(seen) - bisect_right(seen, end)
                for end in ends:
                    insort(seen, end)
        return total


def _order(row: list[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]]) -> None:
    """Sort a row by the mean place of each vertex's neighbours in the fixed row; those without any keep theirs."""
    place = {vertex: position for position, vertex in enumerate(fixed)}
    wish: dict[int, float] = {}
    for position, vertex in enumerate(row):
        near = neighbours[vertex]
        if len(near) == 1:
            wish[vertex] = place[near[0]]
        else:
            wish[vertex] = sum([place[other] for other in near]) / len(near) if near else position
    row.sort(key=wish.__getitem__)


def _backwards(count: int, pairs: Sequence[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Return the edges that close a cycle, met in a depth-first walk in the given order."""
    followers: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        followers[a].append(b)
    closing: set[tuple[int, int]] = set()
    state = [0] * count  # 0 unseen, 1 on the walk's path, 2 done
    for root in range(count):
        walk = [] if state[root] else [(root, iter(followers[root]))]
        state[root] = state[root] or 1
        while walk:
            vertex, rest = walk[-1]
            for follower in rest:
                if state[follower] == 1:
                    closing.add((vertex, follower))
                elif not state[follower]:
                    state[follower] = 1
                    walk.append((follower, iter(followers[follower])))
                    break
            else:
                state[vertex] = 2
                walk.pop()
    return frozenset(closing)


def _layers(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Give each vertex the layer after its last predecessor, then move what has more followers than predecessors close to the former."""
    up: list[list[int]] = [[] for _ in range(count)]
    down: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        up[b].append(a)
        down[a].append(b)
    waits = [len(before) for before in up]
    order = [vertex for vertex in range(count) if not waits[vertex]]
    for vertex in order:  # grows while it is walked
        for follower in down[vertex]:
            waits[follower] -= 1
            if not waits[follower]:
                order.append(follower)
    layers = [0] * count
    for vertex in order:
        layers[vertex] = max((layers[before] + 1 for before in up[vertex]), default=0)
    for vertex in reversed(order):
        if len(down[vertex]) > len(up[vertex]):
            layers[vertex] = min(layers[follower] for follower in down[vertex]) - 1
    return layers
