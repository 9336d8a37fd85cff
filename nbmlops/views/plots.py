"""A sweep as still pictures of a few kilobytes: how its values went, how parameters and values go together, what each parameter matters.

They are cards, as the pictures of pipelines are: opaque, for light and dark pages. What is best, pruned or failed is told by shape, width and word;
the colour only repeats it. Above some hundred trials the drawings leave ordinary ones out, never the best.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbmlops.views.amounts import human_value
from nbmlops.views.drawing import FONT, fitted, number, text_width
from nbmlops.views.escape import cut, escape
from nbmlops.views.scales import Scale, finite, scale_of
from nbmlops.views.states import HUES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nbmlops.sweeps.state import Objective, SweepState, TrialState

__all__ = ["Plot", "bars", "plots_of", "spans", "swept"]

_WIDTH, _HEIGHT = 460, 240
_TOP, _RIGHT, _BOTTOM = 50, 16, 34
_TITLE_SIZE, _SMALL_SIZE = 13, 11
_POINTS, _LINES, _FOOT = 200, 60, 80
_AXES, _BARS = 6, 8
_MANY = 8  # values from which a few extreme ones may be cut off
_SPREADS = 2.0
_ROOM = 400  # at most so many pixels of a title's text

# of each class on light pages and on dark ones
_LOOKS = {
    "card": ("fill:#fff;stroke:#d1d9e0", "fill:#1c2128;stroke:#3d444d"),
    "name": ("fill:#1f2328", "fill:#e9eef3"),
    "small": ("fill:#59636e", "fill:#9aa4af"),
    "grid": ("stroke:#e3e7eb", "stroke:#343b44"),
    "rest": ("stroke:#a5afba", "stroke:#59636e"),
    "over": ("stroke:#fff", "stroke:#1c2128"),
    **{f"h-{hue}": (f"color:{HUES[hue][0]}", f"color:{HUES[hue][1]}") for hue in ("blue", "green", "amber", "red")},
}


def _rules(shade: int) -> str:
    return "".join(f".nbmlops-plot .{name}{{{looks[shade]}}}" for name, looks in _LOOKS.items())


_STYLE = f"{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture.

    Parameters
    ----------
    kind : str
        Such as ``history`` or ``importances``.
    alt : str
        What it shows, in a sentence.
    svg : str
    """

    kind: str
    alt: str
    svg: str

    @property
    def address(self) -> str:
        """What an image takes as its source."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


def plots_of(state: SweepState, best: Collection[int]) -> tuple[Plot, ...]:
    """Draw a sweep: nothing before a trial is complete.

    One objective has a history, two have a Pareto plot; parallel coordinates show how the parameters and values go together, bars
    the importances if there are any.

    Parameters
    ----------
    state : SweepState
    best : collection of int
        The numbers of the trials that no other is better than: looking for them again takes long.
    """
    trials = [trial for trial in state.complete if len(trial.values) == len(state.objectives) and all(map(finite, trial.values))]
    if not trials:
        return ()
    count = len(state.objectives)
    plots = [_history(state, trials)] if count == 1 else []
    plots += [_front(state, trials, best)] if count == 2 else []  # noqa: PLR2004 - a plane has two axes
    names = swept(state)
    plots += [_parallel(state, trials, best, names)] if names else []
    plots += [_importances(state)] if state.importances and len(names) > 1 else []
    return tuple(plots)


def swept(state: SweepState) -> list[str]:
    """Return the parameters that have a range, and those that a callable has chosen for some trial."""
    return list(dict.fromkeys([*state.space, *(name for trial in state.trials for name in trial.parameters)]))


def _history(state: SweepState, trials: list[TrialState]) -> Plot:
    """Draw the objective by trial, with the best so far as a line of steps."""
    objective, best = state.objectives[0], state.best or trials[0]
    values = [trial.values[0] for trial in trials]
    y, beyond = _robust(objective, values, _HEIGHT - _BOTTOM - 10, _TOP + 6)
    left = _left(y)
    x = scale_of([0, max(state.wanted - 1, state.trials[-1].number, 1)], left + 8, _WIDTH - _RIGHT - 8)
    better = _improvements(objective, trials)
    drawn = _thinned(trials, keep={trial.number for trial in better})
    floor = _HEIGHT - _BOTTOM - 3
    parts = [_horizontal(y, left), *_below(x, "trial")]
    parts.append(_dots((x.at(trial.number), y.at(trial.values[0])) for trial in drawn))
    parts.append(_steps([(x.at(trial.number), y.at(trial.values[0])) for trial in better], x.at(trials[-1].number)))
    if finite(best.values[0]):
        parts.append(_ring(x.at(best.number), y.at(best.values[0])))
    told = [("dot", "trial"), ("step", "best so far")]
    for kind, word in (("PRUNED", "pruned"), ("FAIL", "failed")):
        places = [x.at(trial.number) for trial in state.trials if trial.state == kind]
        if places:
            parts.append(_rug(places, floor, kind))
            told.append((kind, f"{len(places)} {word}"))
    told += [("", f"{beyond} beyond the edge")] if beyond else []
    metric = cut(objective.metric, 40)
    title = f"{metric}: best {human_value(best.values[0])} in trial {best.number}"
    alt = f"History of {metric}, to {objective.direction}: {len(trials)} trials, {title.removeprefix(metric + ': ')}"
    return _plot("history", title, alt, [*parts, *_legend(told)])


def _front(state: SweepState, trials: list[TrialState], best: Collection[int]) -> Plot:
    """Draw the trials in the plane of two objectives, those that no other beats joined by a line of steps."""
    one, other = state.objectives
    y, lost_y = _robust(other, [trial.values[1] for trial in trials], _HEIGHT - _BOTTOM - 8, _TOP + 20)
    left = _left(y)
    x, lost_x = _robust(one, [trial.values[0] for trial in trials], left + 8, _WIDTH - _RIGHT - 8)
    front = sorted((trial for trial in trials if trial.number in best), key=lambda trial: trial.values)
    drawn = _thinned([trial for trial in trials if trial.number not in best])
    marked = _thinned(front)
    parts = [_horizontal(y, left), *_below(x, f"{cut(one.metric, 24)} ({one.direction})")]
    parts.append(_dots((x.at(trial.values[0]), y.at(trial.values[1])) for trial in drawn))
    points = [(x.at(trial.values[0]), y.at(trial.values[1])) for trial in marked]
    line = " ".join(f"{number(at)} {number(height)}" for at, height in points)
    diamonds = "".join(f"M{number(at)} {number(height - 5)}l5 5-5 5-5-5z" for at, height in points)
    parts.append(f'<g class="h-green"><path d="M{line}" fill="none" stroke="currentColor"/><path d="{diamonds}" fill="currentColor"/></g>')
    parts.append(_text(10, _TOP + 8, f"{cut(other.metric, 24)} ({other.direction})"))
    title = f"Pareto front: {len(front)} of {len(trials)} trials"
    told = [("dot", "trial"), ("diamond", "on the front")] + ([("", f"{lost_x + lost_y} beyond the edge")] if lost_x + lost_y else [])
    alt = f"{title}, by {cut(one.metric, 40)} ({one.direction}) and {cut(other.metric, 40)} ({other.direction})"
    return _plot("front", title, alt, [*parts, *_legend(told)])


def _parallel(state: SweepState, trials: list[TrialState], best: Collection[int], names: list[str]) -> Plot:
    """Draw each trial as a line across an axis for each parameter and each objective."""
    names = sorted(names, key=lambda name: -state.importances.get(name, 0.0))
    objectives = state.objectives[: _AXES // 2]
    shown = [name for name in names if any(name in trial.parameters for trial in trials)][: _AXES - len(objectives)]
    lost = len(names) - len(shown)
    good, few = _good(state, trials)
    drawn = _thinned(trials, keep=few | set(best), most=_LINES)
    bottom, ceiling = _HEIGHT - 16, _TOP + 26
    gap = (_WIDTH - 100) / max(len(shown) + len(objectives) - 1, 1)
    columns: list[tuple[str, float, Scale]] = []
    for name in shown:
        log = state.space.get(name, "").rstrip(" )").endswith("log")
        values = [trial.parameters[name] for trial in trials if name in trial.parameters]
        columns.append((name, 40 + gap * len(columns), scale_of(values, bottom, ceiling, log=log)))
    for position, objective in enumerate(objectives):
        scale, _ = _robust(objective, [trial.values[position] for trial in trials], bottom, ceiling)
        columns.append((objective.metric, 40 + gap * len(columns), scale))
    groups: dict[str, list[str]] = {"rest": [], "good": [], "top": []}
    for trial in drawn:
        group = "top" if trial.number in best else "good" if trial.number in good else "rest"
        groups[group].append(_across(trial, columns, len(shown)))
    thick = 3 if state.best else 1.75
    parts = [
        f'<path class="rest" d="{"".join(groups["rest"])}" fill="none" stroke-opacity=".6"/>',
        f'<path class="h-blue" d="{"".join(groups["good"])}" fill="none" stroke="currentColor" stroke-width="1.2"/>',
        f'<path class="h-green" d="{"".join(groups["top"])}" fill="none" stroke="currentColor" stroke-width="{thick}" stroke-linejoin="round"/>',
        *(_axis(name, at, scale, gap) for name, at, scale in columns),
    ]
    title = "Parameters and values" + (f" ({lost} more parameters)" if lost > 1 else " (1 more parameter)" if lost else "")
    told = [("top", "best" if state.best else "on the front"), *([("good", "next best")] if state.best else []), ("rest", "other trials")]
    alt = f"Parallel coordinates of {len(trials)} trials: {', '.join(cut(name, 40) for name, _, _ in columns)}"
    return _plot("parallel", title, alt, [*parts, *_legend(told)])


def _importances(state: SweepState) -> Plot:
    """Draw a bar for each parameter."""
    items = sorted(state.importances.items(), key=lambda item: -item[1])
    return bars("importances", f"Importance for {cut(state.objectives[0].metric, 40)}", items)


def bars(kind: str, title: str, items: Sequence[tuple[str, float]], *, whole: float = 1.0) -> Plot:
    """Draw a bar for each of the first few items.

    Parameters
    ----------
    kind, title : str
    items : sequence of (str, float)
        At least one; values below 0 have no bar.
    whole : float
        The value whose bar has the full length.
    """
    shown = items[:_BARS]
    step = 23
    room = min(max(text_width(fitted(name, 160, _SMALL_SIZE), _SMALL_SIZE) for name, _ in shown), 160)
    longest = _WIDTH - room - 90
    parts: list[str] = []
    for position, (name, share) in enumerate(shown):
        middle = _TOP + step * position
        length = max(min(share / whole, 1.0), 0.0) * longest
        label = f"{share:.2f}" if whole == 1 else f"{share:.3g}"
        parts.append(_text(room + 18, middle + 4, fitted(name, 160, _SMALL_SIZE), side="end"))
        parts.append(
            f'<path class="h-blue" d="M{number(room + 26)} {number(middle)}h{number(max(length, 1))}" stroke="currentColor" stroke-width="12"/>'
        )
        parts.append(_text(room + 32 + length, middle + 4, label))
    more = f" ({len(items) - len(shown)} more)" if len(items) > len(shown) else ""
    alt = f"{title}{more}: {', '.join(f'{cut(name, 40)} {share:.3g}' for name, share in shown)}"
    return _plot(kind, f"{title}{more}", alt, parts, height=_TOP + step * len(shown) - 4)


def spans(kind: str, title: str, rows: Sequence[tuple[str, float, float, float]], worst: str | None) -> Plot:
    """Draw a value with its interval for each of some groups, below each other; the worst has a ring.

    Parameters
    ----------
    kind, title : str
    rows : sequence of (str, float, float, float)
        Names, values and the ends of their intervals; at least one, all values finite, ends NaN where they are not known.
    worst : str or None
    """
    step = 23
    room = min(max(text_width(fitted(name, 160, _SMALL_SIZE), _SMALL_SIZE) for name, *_ in rows), 160)
    foot = _TOP + step * len(rows)
    scale = scale_of([value for _, *values in rows for value in values if finite(value)], room + 34, _WIDTH - _RIGHT - 20)
    ticks = scale.ticks(5)
    parts = [f'<path class="grid" d="{"".join(f"M{number(at)} {_TOP - 12}V{foot - 8}" for at, _ in ticks)}"/>']
    for position, (name, value, low, high) in enumerate(rows):
        middle = _TOP + step * position
        parts.append(_text(room + 18, middle + 4, fitted(name, 160, _SMALL_SIZE), side="end"))
        if finite(low) and finite(high):
            line = f"M{number(scale.at(low))} {number(middle)}H{number(scale.at(high))}"
            parts.append(f'<path class="rest" d="{line}" stroke-width="2"/>')
        parts.append(_dots([(scale.at(value), middle)]))
        if name == worst:
            parts.append(_ring(scale.at(value), middle).replace("h-green", "h-red"))
    parts += [_text(at, foot + 6, label, side="middle") for at, label in ticks]
    alt = f"{title}: {', '.join(f'{cut(name, 40)} {value:.4g}' for name, value, *_ in rows)}"
    return _plot(kind, title, alt, parts, height=foot + 16)


def _plot(kind: str, title: str, alt: str, parts: Iterable[str], height: int = _HEIGHT) -> Plot:
    heading = fitted(title, _ROOM, _TITLE_SIZE * 1.12)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbmlops-plot" role="img" aria-label="{escape(alt)}" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="{FONT}" font-size="{_SMALL_SIZE}"><title>{escape(alt)}</title><style>{_STYLE}</style>'
        f'<rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>'
        f'<text class="name" x="14" y="22" font-size="{_TITLE_SIZE}" font-weight="600">{escape(heading)}</text>{"".join(parts)}</svg>'
    )
    return Plot(kind=kind, alt=alt, svg=svg)


def _robust(objective: Objective, values: Sequence[float], start: float, end: float) -> tuple[Scale, int]:
    """Return a scale for values of an objective, and how many bad ones lie beyond its end: one diverged trial must not flatten the others."""
    ordered = sorted(values, reverse=objective.direction == "maximize")  # the best comes first
    if len(ordered) >= _MANY:
        spread = abs(ordered[len(ordered) * 3 // 4] - ordered[0])
        inside = [value for value in ordered if abs(value - ordered[0]) <= spread * (1 + _SPREADS)]
        if spread:
            return scale_of(inside, start, end), len(ordered) - len(inside)
    return scale_of(ordered, start, end), 0


def _improvements(objective: Objective, trials: Iterable[TrialState]) -> list[TrialState]:
    found: list[TrialState] = []
    for trial in trials:
        if not found or objective.better(trial.values[0], found[-1].values[0]):
            found.append(trial)
    return found


def _good(state: SweepState, trials: list[TrialState]) -> tuple[set[int], set[int]]:
    """Return the numbers of the best tenth, three at least, and of those of them that every drawing has; none with several objectives."""
    if len(state.objectives) > 1:
        return set(), set()
    ranked = sorted(trials, key=lambda trial: trial.values[0], reverse=state.objectives[0].direction == "maximize")
    numbers = [trial.number for trial in ranked[: max(len(ranked) // 10, 3)]]
    return set(numbers), set(numbers[: _LINES // 4])


def _thinned(trials: list[TrialState], keep: Iterable[int] = (), most: int = _POINTS) -> list[TrialState]:
    """Leave out trials, evenly, until about `most` are left; those to keep stay."""
    kept = set(keep)
    step = -(-len(trials) // most)
    return [trial for position, trial in enumerate(trials) if position % step == 0 or trial.number in kept] if step > 1 else trials


def _left(y: Scale) -> float:
    return 16 + max((text_width(label, _SMALL_SIZE) for _, label in y.ticks(5)), default=0)


def _horizontal(y: Scale, left: float) -> str:
    """Draw lines at the ticks of a vertical scale, with their labels."""
    labels = "".join(_text(left - 6, at + 4, label, side="end") for at, label in y.ticks(5))
    lines = "".join(f"M{number(left)} {number(at)}H{_WIDTH - _RIGHT}" for at, _ in y.ticks(5))
    return f'<path class="grid" d="{lines}"/>{labels}'


def _below(x: Scale, name: str) -> Iterator[str]:
    """Label a horizontal scale; its name stands at the right end, and no tick's label under it."""
    at_name = _WIDTH - _RIGHT - text_width(name, _SMALL_SIZE) - 14
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 12, name, side="end")
    for at, label in x.ticks(6):
        if at + text_width(label, _SMALL_SIZE) / 2 < at_name:
            yield _text(at, _HEIGHT - 12, label, side="middle")


def _axis(name: str, at: float, scale: Scale, gap: float) -> str:
    labels = "".join(_text(at + 4, height + 4, fitted(label, gap - 8, 10), size=10, over=True) for height, label in scale.ticks(4))
    first = at - gap / 2 < 0 or at < gap / 2 + 1
    room = min(gap - 6, 150)
    side = "start" if at <= 40 and first else "end" if at > _WIDTH - 70 else "middle"  # noqa: PLR2004 - the first and the last axis
    place = 14 if side == "start" else _WIDTH - 14 if side == "end" else at
    heading = fitted(name, room, _SMALL_SIZE)
    return f'<path class="rest" d="M{number(at)} {number(scale.start)}V{number(scale.end)}"/>{_text(place, _TOP + 13, heading, side=side)}{labels}'


def _across(trial: TrialState, columns: Sequence[tuple[str, float, Scale]], parameters: int) -> str:
    """Return a trial's line; a parameter that it has not leaves a gap."""
    told, pen = [], "M"
    for position, (name, at, scale) in enumerate(columns):
        if position < parameters and name not in trial.parameters:
            pen = "M"
            continue
        value = trial.parameters[name] if position < parameters else trial.values[position - parameters]
        told.append(f"{pen}{at:.0f} {scale.at(value):.0f}")
        pen = " "  # after M, further points are lines
    return "".join(told)


def _dots(places: Iterable[tuple[float, float]]) -> str:
    path = "".join(f"M{number(x)} {number(y)}h0" for x, y in places)
    return f'<path class="h-blue" d="{path}" stroke="currentColor" stroke-width="5" stroke-linecap="round" stroke-opacity=".65"/>'


def _steps(places: Sequence[tuple[float, float]], end: float) -> str:
    path = "".join(f"H{number(x)}V{number(y)}" for x, y in places[1:])
    (x, y) = places[0]
    return f'<path class="h-green" d="M{number(x)} {number(y)}{path}H{number(end)}" fill="none" stroke="currentColor" stroke-width="1.75"/>'


def _ring(x: float, y: float) -> str:
    return f'<circle class="h-green" cx="{number(x)}" cy="{number(y)}" r="6" fill="none" stroke="currentColor" stroke-width="2"/>'


def _rug(places: Sequence[float], y: float, kind: str) -> str:
    """Mark trials without a value at the foot of a drawing."""
    step = -(-len(places) // _FOOT)
    shape = "m-3-3l6 6m0-6l-6 6" if kind == "FAIL" else "m-3.5-3h7l-3.5 6z"
    path = "".join(f"M{number(x)} {number(y)}{shape}" for x in places[::step])
    hue = "red" if kind == "FAIL" else "amber"
    return f'<path class="h-{hue}" d="{path}" fill="none" stroke="currentColor" stroke-width="1.4"/>'


def _legend(told: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Draw what the marks mean, in a row below the title."""
    x, y = 14.0, 37.0
    for kind, words in told:
        if kind == "dot":
            yield _dots([(x + 4, y)])
        elif kind == "diamond":
            yield f'<path class="h-green" d="M{number(x + 5)} {y - 5}l5 5-5 5-5-5z" fill="currentColor"/>'
        elif kind in {"PRUNED", "FAIL"}:
            yield _rug([x + 5], y, kind)
        elif kind:
            look = {"step": ("h-green", "currentColor", 1.75), "top": ("h-green", "currentColor", 3), "good": ("h-blue", "currentColor", 1.2)}
            hue, colour, width = look.get(kind, ("rest", "", 1))
            stroke = f' stroke="{colour}"' if colour else ""
            yield f'<path class="{hue}" d="M{number(x)} {y}h14"{stroke} stroke-width="{width}"/>'
        x += 0 if not kind else 18 if kind in {"step", "top", "good", "rest"} else 14
        yield _text(x, y + 4, words)
        x += text_width(words, _SMALL_SIZE) + 12


def _text(x: float, y: float, words: str, *, side: str = "start", size: float = _SMALL_SIZE, over: bool = False) -> str:
    """Write words; `over` lines, which leave a margin around them."""
    anchor = "" if side == "start" else f' text-anchor="{side}"'
    smaller = "" if size == _SMALL_SIZE else f' font-size="{number(size)}"'
    margin = ' over" stroke-width="3" paint-order="stroke" stroke-linejoin="round' if over else ""
    return f'<text class="small{margin}" x="{number(x)}" y="{number(y)}"{anchor}{smaller}>{escape(words)}</text>'
