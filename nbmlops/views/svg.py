"""A pipeline as a still picture: SVG that needs no script, no font and no network, for light and dark pages.

Boxes are opaque cards, so that they can be read on any page; where the reader prefers dark, the cards are dark too. Each state is told by
its word and by the shape of its mark; the colour only repeats it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from nbmlops.views.amounts import human_seconds
from nbmlops.views.drawing import FONT, fitted, number, text_width
from nbmlops.views.edges import Edge, edges_of
from nbmlops.views.escape import cut, escape, listed
from nbmlops.views.layout import Box, Layout, Line, layered
from nbmlops.views.states import HUES, look_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbmlops.pipeline.model import Pipeline, Stage

__all__ = ["describe_graph", "graph_svg"]

_HEIGHT = 54
_NARROWEST, _WIDEST = 132, 252
_PADDING = 14
_MARK = 14
_NAME_SIZE, _SMALL_SIZE = 13.5, 11.5
_BOLD = 1.12  # how much wider a bold text is
_SAID = 60  # stages that the description tells one by one
_PARAMETERS = "\0parameters"  # no stage can be called that

# What the presentation attributes say for light pages, said again for dark ones. The class keeps it to this picture where the SVG stands in a page.
_STYLE = (
    "@media (prefers-color-scheme:dark){"
    ".nbmlops-dag .card{fill:#1c2128}.nbmlops-dag .plain{stroke:#56606c}.nbmlops-dag .name{fill:#e9eef3}.nbmlops-dag .small{fill:#9aa4af}"
    ".nbmlops-dag .line{stroke:#7d8894}.nbmlops-dag .tip{fill:#7d8894}.nbmlops-dag .ink{stroke:#1c2128}"
    + "".join(f".nbmlops-dag .h-{hue}{{color:{dark}}}" for hue, (_, dark) in HUES.items())
    + "}"
)


class _Card(NamedTuple):
    """What stands in a box."""

    name: str
    small: str
    aside: str
    title: str
    state: str | None


def graph_svg(
    pipeline: Pipeline,
    states: Mapping[str, str] | None = None,
    *,
    seconds: Mapping[str, float] | None = None,
    parameters: bool = False,
) -> str:
    """Draw the stages of a pipeline and what they hand on.

    Parameters
    ----------
    pipeline : Pipeline
    states : mapping of str to str, optional
        A state for each stage, of a plan or of a run; one without a state shows its cells instead.
    seconds : mapping of str to float, optional
        How long stages took.
    parameters : bool
        Whether to draw the parameters as a box of their own, with a line to each stage that uses some.
    """
    edges = list(edges_of(pipeline))
    cards = {stage.name: _stage_card(stage, (states or {}).get(stage.name), (seconds or {}).get(stage.name)) for stage in pipeline.stages.values()}
    if parameters and pipeline.parameters:
        names = tuple(pipeline.parameters)
        count = f"{len(names)} value" + "s" * (len(names) != 1)
        cards = {_PARAMETERS: _Card("parameters", count, "", f"parameters: {listed(names, 40)}", None), **cards}
        edges = [*_parameter_edges(pipeline), *edges]
    width = min(max((_width(card) for card in cards.values()), default=_NARROWEST), _WIDEST)
    layout = layered(list(cards), ((edge.source, edge.target) for edge in edges), width=width, height=_HEIGHT)
    return _document(layout, "".join(_lines(layout, edges)) + "".join(_cards(layout, cards)), describe_graph(pipeline, states))


def describe_graph(pipeline: Pipeline, states: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return a title and a description for those who do not see the picture."""
    count = len(pipeline.stages)
    title = f"Pipeline of {count} stage" + "s" * (count != 1)
    if states:
        counts = Counter(states[name] for name in pipeline.stages if name in states)
        title += ": " + ", ".join(f"{number} {words_of(cut(state, 20))}" for state, number in counts.items())
    said: list[str] = []
    for stage in list(pipeline.stages.values())[:_SAID]:
        state = (states or {}).get(stage.name)
        after = f" after {listed(stage.upstream, 8)}" if stage.upstream else ""
        said.append(f"{cut(stage.name, 60)}{after}" + (f": {words_of(cut(state, 20))}" if state else ""))
    more = [f"and {count - _SAID} more"] if count > _SAID else []
    return title, "; ".join([*said, *more])


def _document(layout: Layout, body: str, said: tuple[str, str]) -> str:
    width, height = number(layout.width), number(layout.height)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbmlops-dag" role="img" aria-label="{escape(said[0])}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" style="max-width:100%;height:auto">'
        f"<title>{escape(said[0])}</title><desc>{escape(said[1])}</desc><style>{_STYLE}</style>{body}</svg>"
    )


def _parameter_edges(pipeline: Pipeline) -> Iterator[Edge]:
    for stage in pipeline.stages.values():
        names = tuple(read.name for read in stage.reads if read.kind == "parameter")
        if names:
            yield Edge(source=_PARAMETERS, target=stage.name, artifacts=names, files=())


def _stage_card(stage: Stage, state: str | None, seconds: float | None) -> _Card:
    cells = ("cell " if len(stage.cells) == 1 else "cells ") + listed(map(str, stage.cells), 4)
    took = human_seconds(seconds) if seconds is not None else ""
    title = ", ".join(filter(None, (stage.name, cells, words_of(state) if state else "", took)))
    return _Card(fitted(stage.name, _WIDEST - 2 * _PADDING, _NAME_SIZE * _BOLD), cut(words_of(state), 18) if state else cells, took, title, state)


def _width(card: _Card) -> int:
    small = (_MARK + 6 if card.state else 0) + text_width(card.small, _SMALL_SIZE) + (16 + text_width(card.aside, _SMALL_SIZE) if card.aside else 0)
    wanted = max(text_width(card.name, _NAME_SIZE * _BOLD), small) + 2 * _PADDING
    return max(_NARROWEST, int(wanted / 4 + 1) * 4)


def _lines(layout: Layout, edges: list[Edge]) -> Iterator[str]:
    carried = {(edge.source, edge.target): edge for edge in edges}
    ends: dict[tuple[float, float], str] = {}
    for line in layout.lines:
        edge = carried[line.source, line.target]
        what = f": {listed(edge.carries, 40)}" if edge.carries else ": order only"
        title = f"{_shown(line.source)} → {_shown(line.target)}{what}"
        dash = ' stroke-dasharray="2 5"' if edge.only_order else ""
        yield (
            f'<g><title>{escape(title)}</title><path class="line" d="{_curve(line, layout.direction)}" fill="none" stroke="#87919c" '
            f'stroke-width="1.6" stroke-linecap="round"{dash}/></g>'
        )
        ends[line.points[-1]] = _arrow(line, layout.direction)
    if ends:
        yield f'<path class="tip" d="{"".join(ends.values())}" fill="#87919c"/>'


def _shown(name: str) -> str:
    return "parameters" if name == _PARAMETERS else cut(name, 60)


def _curve(line: Line, direction: str) -> str:
    """Return path data: curves between layers, straight past them."""
    points = line.points
    (x, y), parts = points[0], [f"M{number(points[0][0])} {number(points[0][1])}"]
    for position, (to_x, to_y) in enumerate(points[1:]):
        if position % 2 or x == to_x or y == to_y:
            parts.append(f"L{number(to_x)} {number(to_y)}")
        else:
            middle_x, middle_y = (x + to_x) / 2, (y + to_y) / 2
            bends = (middle_x, y, middle_x, to_y) if direction == "right" else (x, middle_y, to_x, middle_y)
            parts.append(f"C{' '.join(map(number, (*bends, to_x, to_y)))}")
        x, y = to_x, to_y
    return "".join(parts)


def _arrow(line: Line, direction: str) -> str:
    (from_x, from_y), (x, y) = line.points[-2:]
    if direction == "right":
        back = -7 if x >= from_x else 7
        return f"M{number(x)} {number(y)}l{back} -4.2v8.4z"
    back = -7 if y >= from_y else 7
    return f"M{number(x)} {number(y)}l-4.2 {back}h8.4z"


def _cards(layout: Layout, cards: Mapping[str, _Card]) -> Iterator[str]:
    for name, card in cards.items():
        yield _card(layout.boxes[name], card)


def _card(box: Box, card: _Card) -> str:
    x, y = number(box.x), number(box.y)
    look = look_of(card.state) if card.state else None
    hue = f' class="h-{look.hue}" color="{HUES[look.hue][0]}"' if look else ""
    outline = 'stroke="currentColor" stroke-width="1.5"' if look else 'stroke="#b6bfc9" stroke-width="1.25"'
    dash = ' stroke-dasharray="5 4"' if look and look.dashed else ""
    kind = "card" if look else "card plain"
    radius = 10 if card.title.startswith("parameters:") else 8
    start = _PADDING + (_MARK + 6 if look else 0)
    small = 'class="small" fill="#59636e"' if not look else 'fill="currentColor"'
    mark = f'<g transform="translate({_PADDING} {_HEIGHT - 25}) scale({_MARK / 16})">{look.mark}</g>' if look else ""
    aside = (
        f'<text class="small" x="{number(box.width - _PADDING)}" y="{_HEIGHT - 14}" text-anchor="end" font-size="{_SMALL_SIZE}" fill="#59636e">'
        f"{escape(card.aside)}</text>"
        if card.aside
        else ""
    )
    return (
        f'<g transform="translate({x} {y})"{hue}><title>{escape(cut(card.title, 300))}</title>'
        f'<rect class="{kind}" width="{number(box.width)}" height="{number(box.height)}" rx="{radius}" fill="#fff" {outline}{dash}/>'
        f'<text class="name" x="{_PADDING}" y="22" font-size="{_NAME_SIZE}" font-weight="600" fill="#1f2328">{escape(card.name)}</text>'
        f'{mark}<text {small} x="{start}" y="{_HEIGHT - 14}" font-size="{_SMALL_SIZE}">{escape(card.small)}</text>{aside}</g>'
    )
