"""What holds for every drawing: nothing overlaps, lines meet boxes, and the same graph is drawn the same."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from nbmlops.views.layers import Graph
from nbmlops.views.layout import Box, layered

CHAIN = [("a", "b"), ("b", "c"), ("c", "d")]


def some_graph(seed: int, count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a graph in which each box hangs on some box shortly before it, with a few long lines."""
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(count)]
    near = [(names[chance.randrange(max(0, number - 12), number)], names[number]) for number in range(1, count)]
    far = [(names[a], names[b]) for a, b in (sorted(chance.sample(range(count), 2)) for _ in range(count // 4))]
    return names, near + far


def apart(a: Box, b: Box) -> bool:
    """Tell whether two boxes leave room between them."""
    return a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y


@pytest.mark.parametrize("direction", ["right", "down"])
def test_boxes_do_not_overlap(direction: str) -> None:
    """Two hundred boxes stand apart, all inside the picture."""
    names, edges = some_graph(1, 200)
    layout = layered(names, edges, direction=direction)  # type: ignore[arg-type]
    assert all(apart(a, b) for a, b in combinations(layout.boxes.values(), 2))
    assert all(0 < box.x < layout.width - box.width and 0 < box.y < layout.height - box.height for box in layout.boxes.values())


def test_lines_lead_from_the_end_of_one_box_to_the_start_of_another() -> None:
    """Each edge has its line, which touches both boxes."""
    names, edges = some_graph(2, 60)
    layout = layered(names, edges, direction="right")
    assert {(line.source, line.target) for line in layout.lines} == set(edges)
    for line in layout.lines:
        source, target = layout.boxes[line.source], layout.boxes[line.target]
        assert line.points[0] == pytest.approx((source.x + source.width, source.y + source.height / 2), abs=0.2)
        assert line.points[-1] == pytest.approx((target.x, target.y + target.height / 2), abs=0.2)


def height_at(points: tuple[tuple[float, float], ...], x: float) -> float:
    """Return where a line to the right is at `x`."""
    (from_x, from_y), (to_x, to_y) = next(pair for pair in pairwise(points) if pair[0][0] <= x <= pair[1][0])
    return from_y + (to_y - from_y) * (x - from_x) / (to_x - from_x)


@pytest.mark.parametrize("seed", range(4))
def test_lines_pass_no_other_box(seed: int) -> None:
    """Between its ends, a line runs above or below every box."""
    names, edges = some_graph(seed, 40)
    layout = layered(names, edges, direction="right")
    for line in layout.lines:
        for box in layout.boxes.values():
            if line.points[0][0] < box.x and box.x + box.width < line.points[-1][0]:
                for x in (box.x, box.x + box.width):
                    assert not box.y < height_at(line.points, x) < box.y + box.height


def test_a_long_line_is_straight_where_it_can_be() -> None:
    """Two boxes joined past a chain of others stand level with each other."""
    names = [f"s{number}" for number in range(10)]
    layout = layered(names, [*pairwise(names), ("s1", "s4"), ("s0", "s9"), ("s4", "s7")], direction="right")
    line = next(line for line in layout.lines if line.target == "s9" and line.source == "s0")
    assert len({y for _, y in line.points}) == 1


def test_the_same_graph_is_drawn_the_same() -> None:
    """Nothing depends on chance or on hashing."""
    names, edges = some_graph(3, 80)
    assert layered(names, edges) == layered(list(names), list(edges))


def test_a_chain_is_straight() -> None:
    """Boxes that follow each other stand in one line, in order."""
    boxes = list(layered("abcd", CHAIN, direction="right").boxes.values())
    assert len({box.y for box in boxes}) == 1
    assert [box.x for box in boxes] == sorted(box.x for box in boxes)


def test_a_deep_graph_leads_down() -> None:
    """What would be wider than a page to the right is drawn downwards."""
    names = [f"s{number}" for number in range(20)]
    assert layered(names, list(pairwise(names))).direction == "down"
    assert layered("abcd", CHAIN).direction == "right"


def test_lines_that_need_not_cross_do_not() -> None:
    """Two independent chains whose stages are mixed in the document are drawn side by side."""
    graph = Graph(6, [(0, 3), (1, 2), (3, 4), (2, 5)])
    graph.reduce_crossings()
    assert graph._crossings() == 0


def test_a_cycle_is_drawn_with_one_line_backwards() -> None:
    """Each edge of a cycle has its line, which ends at its target."""
    layout = layered("abc", [("a", "b"), ("b", "c"), ("c", "a")], direction="right")
    back = next(line for line in layout.lines if line.source == "c")
    assert back.points[0][0] > back.points[-1][0]
    assert len(layout.lines) == 3


def test_loops_repetitions_and_strangers_are_left_out() -> None:
    """An edge to itself, one said twice and one to no box are no reason to fail."""
    layout = layered("ab", [("a", "a"), ("a", "b"), ("a", "b"), ("a", "nobody")])
    assert [(line.source, line.target) for line in layout.lines] == [("a", "b")]


def test_nothing_is_drawn_of_nothing() -> None:
    """An empty graph is an empty picture."""
    layout = layered([], [])
    assert (layout.boxes, layout.lines) == ({}, ())


def test_where_everything_hangs_on_everything_lines_run_directly() -> None:
    """A graph whose routed lines would be millions of points is drawn without bend points."""
    names = [str(number) for number in range(120)]
    layout = layered(names, combinations(names, 2))
    assert max(len(line.points) for line in layout.lines) == 2
