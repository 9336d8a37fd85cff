"""Where the boxes of a graph stand and how its lines run: a layered drawing, the same every time for the same graph.

`layers` says which boxes stand side by side and in which order, `placement` how far apart; here both become pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nbmlops.views.layers import Graph
from nbmlops.views.placement import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Box", "Layout", "Line", "layered"]

Direction = Literal["right", "down"]
Point = tuple[float, float]

_BETWEEN_LAYERS = {"right": 56.0, "down": 50.0}
_BETWEEN_BOXES = {"right": 20.0, "down": 28.0}
_MARGIN = 12.0
_ROOM = 1000.0  # what a notebook's output area shows without scrolling


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a box stands, in pixels; `x` and `y` are its upper left corner."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line from the edge of one box to that of another; `points` has two for each layer in which it may bend."""

    source: str
    target: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A finished drawing, in pixels."""

    boxes: dict[str, Box]
    lines: tuple[Line, ...]
    width: float
    height: float
    direction: Direction


def layered(
    names: Sequence[str],
    edges: Iterable[tuple[str, str]],
    *,
    width: float = 160,
    height: float = 48,
    direction: Direction | None = None,
) -> Layout:
    """Lay out a directed graph.

    Parameters
    ----------
    names : sequence of str
        The boxes, each once; where nothing else decides, they keep this order.
    edges : iterable of (str, str)
        Pairs (source, target). Loops, repetitions, and pairs of which one is no box are left out; a cycle is drawn with one line backwards.
    width, height : float
        Of every box.
    direction : {"right", "down"}, optional
        Where lines lead. By default to the right while that fits a notebook's output area, else whichever is narrower.
    """
    index = {name: number for number, name in enumerate(names)}
    pairs = list(dict.fromkeys((index[a], index[b]) for a, b in edges if a != b and a in index and b in index))
    graph = Graph(len(index), pairs)
    graph.reduce_crossings()
    if direction is None:
        direction = _narrower(graph, width)
    along, across = (width, height) if direction == "right" else (height, width)
    places = place(graph, across, _BETWEEN_BOXES[direction])
    return _draw(list(index), pairs, graph, places, (along, across, direction))


def _narrower(graph: Graph, width: float) -> Direction:
    right = len(graph.rows) * (width + _BETWEEN_LAYERS["right"])
    down = max((sum(vertex < graph.count for vertex in row) for row in graph.rows), default=0) * (width + _BETWEEN_BOXES["down"])
    return "right" if right <= max(_ROOM, down) else "down"


def _draw(
    names: Sequence[str], pairs: Sequence[tuple[int, int]], graph: Graph, places: Sequence[float], shape: tuple[float, float, Direction]
) -> Layout:
    """Turn layers and places into pixels."""
    along, across, direction = shape
    step = along + _BETWEEN_LAYERS[direction]
    low = min((place - (across / 2 if vertex < graph.count else 0) for vertex, place in enumerate(places)), default=0.0)
    starts = [0.0] * len(places)
    for number, row in enumerate(graph.rows):
        for vertex in row:
            starts[vertex] = _MARGIN + number * step
    centres = [round(place - low + _MARGIN, 1) for place in places]

    def turned(main: float, cross: float) -> Point:
        return (main, cross) if direction == "right" else (cross, main)

    boxes: dict[str, Box] = {}
    for vertex, name in enumerate(names):
        x, y = turned(starts[vertex], centres[vertex] - across / 2)
        width, height = turned(along, across)
        boxes[name] = Box(name=name, x=x, y=y, width=width, height=height)
    lines: list[Line] = []
    for a, b in pairs:
        backwards = (a, b) in graph.backwards
        route = graph.routes[(b, a) if backwards else (a, b)]
        bends = [b for a, b, c in zip(route, route[1:], route[2:], strict=False) if not centres[a] == centres[b] == centres[c]]
        passed = [(starts[vertex] + side, centres[vertex]) for vertex in (route[0], *bends, route[-1]) for side in (0.0, along)][1:-1]
        lines.append(Line(source=names[a], target=names[b], points=tuple(turned(*point) for point in (reversed(passed) if backwards else passed))))
    ends = turned(
        _MARGIN * 2 + max(len(graph.rows) * step - _BETWEEN_LAYERS[direction], 0.0),
        _MARGIN + max((place + (across / 2 if vertex < graph.count else 0) for vertex, place in enumerate(centres)), default=_MARGIN),
    )
    return Layout(boxes=boxes, lines=tuple(lines), width=ends[0], height=round(ends[1], 1), direction=direction)
