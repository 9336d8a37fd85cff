"""Where the boxes of a layer stand: near what they are joined to, with lines as straight as the others let them be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmlops.views.layers import Graph

__all__ = ["place"]

_BETWEEN_BENDS = 14.0
_STRAIGHT, _BENT, _FREE = 8.0, 2.0, 1.0  # how much a line resists bending: between two bend points, at one, at none
_ROUNDS = 3
_ROUNDING = 1e-6
_NEARLY = 14.0, 0.2  # a line that is no more aslant than this, plus this part of a box, is made straight if that costs nothing


def place(graph: Graph, size: float, gap: float) -> list[float]:
    """Return the centre of each box and bend point, across the direction of flow.

    Parameters
    ----------
    graph : Graph
    size : float
        Of every box.
    gap : float
        Between boxes.
    """
    return _Placement(graph, size, gap).places


class _Placement:
    def __init__(self, graph: Graph, size: float, gap: float) -> None:
        self.graph = graph
        self.size, self.gap = size, gap
        self.places = [0.0] * len(graph.up)
        self.neighbours = {vertex: (row, position) for row in graph.rows for position, vertex in enumerate(row)}
        self.offsets = [self._packed(row) for row in graph.rows]
        for row, packed in zip(graph.rows, self.offsets, strict=True):
            for vertex, offset in zip(row, packed, strict=True):
                self.places[vertex] = offset - packed[-1] / 2
        self._settle_all()
        self._straighten_all()

    def _apart(self, a: int, b: int) -> float:
        """Return how far apart the centres of two neighbours must be at least."""
        boxes = (a < self.graph.count) + (b < self.graph.count)
        return boxes * self.size / 2 + (self.gap if boxes else _BETWEEN_BENDS)

    def _packed(self, row: Sequence[int]) -> list[float]:
        offsets = [0.0] * len(row)
        for position in range(1, len(row)):
            offsets[position] = offsets[position - 1] + self._apart(row[position - 1], row[position])
        return offsets

    def _settle_all(self) -> None:
        up, down = self.graph.up, self.graph.down
        onwards = range(len(self.graph.rows))
        for order, sides in ((onwards, (up,)), (onwards[::-1], (down,)), *[(onwards[::way], (up, down)) for way in (1, -1) * _ROUNDS]):
            for number in order:
                self._settle(self.graph.rows[number], self.offsets[number], sides)

    def _settle(self, row: Sequence[int], offsets: Sequence[float], sides: Sequence[Sequence[Sequence[int]]]) -> None:
        """Move the vertices of a row as near to their neighbours as the others let them.

        The least squares under a given order are an isotonic regression: vertices that want each other's place become one block that
        stands where they want to be on average.
        """
        blocks: list[tuple[float, float, int]] = []
        for vertex, offset in zip(row, offsets, strict=True):
            wish, weight = self._wish(vertex, sides)
            start, count = wish - offset, 1
            while blocks and blocks[-1][0] > start:
                other_start, other_weight, other_count = blocks.pop()
                start = (other_start * other_weight + start * weight) / (other_weight + weight)
                weight += other_weight
                count += other_count
            blocks.append((start, weight, count))
        position = 0
        for start, _, count in blocks:
            for _ in range(count):
                self.places[row[position]] = start + offsets[position]
                position += 1

    def _wish(self, vertex: int, sides: Sequence[Sequence[Sequence[int]]]) -> tuple[float, float]:
        total = summed = 0.0
        count = self.graph.count
        bend = vertex >= count
        for side in sides:
            for other in side[vertex]:
                weight = (_STRAIGHT if other >= count else _BENT) if bend else (_BENT if other >= count else _FREE)
                total += weight
                summed += weight * self.places[other]
        return (summed / total, total) if total else (self.places[vertex], 0.1)

    def _straighten_all(self) -> None:
        for chain in self._chains():
            start = 0
            while start < len(chain):
                start += self._straighten(chain[start:])

    def _straighten(self, chain: Sequence[int]) -> int:
        """Bring as many vertices of a chain as can be into line, from its first on, and return how many they are."""
        low, high = float("-inf"), float("inf")
        taken: list[int] = []
        for vertex in chain:
            least, most = self._room(vertex)
            if max(low, least) > min(high, most) + _ROUNDING:
                break
            low, high = max(low, least), min(high, most)
            taken.append(vertex)
        if len(taken) > 1:
            middle = min(max(sum(self.places[vertex] for vertex in taken) / len(taken), low), high)
            for vertex in taken:
                self.places[vertex] = middle
        return max(len(taken), 1)

    def _room(self, vertex: int) -> tuple[float, float]:
        """Return how far a vertex can move while its neighbours in the layer stay."""
        row, position = self.neighbours[vertex]
        low = self.places[row[position - 1]] + self._apart(row[position - 1], vertex) if position else float("-inf")
        high = self.places[row[position + 1]] - self._apart(vertex, row[position + 1]) if position + 1 < len(row) else float("inf")
        return low, high

    def _chains(self) -> list[list[int]]:
        """Join vertices by the lines that should be straight, each to one before and one after: trunks first, then what is nearly straight."""
        links = sorted(link for a in range(len(self.places)) for b in self.graph.down[a] if (link := self._link(a, b)) is not None)
        after: dict[int, int] = {}
        before: dict[int, int] = {}
        for _, _, a, b in links:
            if a not in after and b not in before:
                after[a], before[b] = b, a
        chains: list[list[int]] = []
        for vertex in (vertex for row in self.graph.rows for vertex in row if vertex in after and vertex not in before):
            chain = [vertex]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            chains.append(chain)
        return sorted(chains, key=lambda chain: -sum(vertex >= self.graph.count for vertex in chain))

    def _link(self, a: int, b: int) -> tuple[int, float, int, int] | None:
        aslant = abs(self.places[a] - self.places[b])
        bends = (a >= self.graph.count) + (b >= self.graph.count)
        only = len(self.graph.down[a]) == 1 and len(self.graph.up[b]) == 1
        if bends == 2 or only or aslant < _NEARLY[0] + _NEARLY[1] * self.size:  # noqa: PLR2004 - both ends
            return (-bends, aslant, a, b)
        return None
