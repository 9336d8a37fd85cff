"""A sweep as text for a terminal, as a still card for a page, and the rows and sentences that its panel shares with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmlops.views.amounts import exact_value, human_seconds, human_value
from nbmlops.views.escape import cut, escape, listed
from nbmlops.views.html import card, html_list, html_table
from nbmlops.views.plots import plots_of, swept
from nbmlops.views.states import words_of
from nbmlops.views.tables import Table, aligned, text_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nbmlops.sweeps.state import SweepState, TrialState

__all__ = [
    "about_rows",
    "best_line",
    "best_numbers",
    "headline",
    "left_line",
    "place_rows",
    "sweep_body",
    "sweep_html",
    "sweep_text",
    "trial_header",
    "trial_row",
    "trial_state",
]

_NAME, _VALUE, _ERROR, _SENTENCE = 40, 24, 160, 400
_TEXT_ROWS, _PAGE_ROWS = 20, 60
_FAILURES = 10
_PARAMETERS = 12
_STATES = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
_STYLE = "max-width:100%;margin:2px"


def sweep_text(state: SweepState) -> str:
    """Return how a sweep stands: its counts, the best with its parameters, the trials, why some failed, and where to look further."""
    best = best_numbers(state)
    blocks = [[headline(state)], list(_best_block(state, best)), _trials_text(state, best), list(_failures(state)), _facts(state)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def sweep_html(state: SweepState) -> str:
    """Return the same as a card with pictures, for pages that run no script."""
    return card(f"<p>{escape(headline(state))}</p>{sweep_body(state)}")


def sweep_body(state: SweepState) -> str:
    """Return what stands on the card below the headline."""
    best = best_numbers(state)
    pictures = "".join(f'<img src="{plot.address}" alt="{escape(plot.alt)}" style="{_STYLE}">' for plot in plots_of(state, best))
    body = f"<p><strong>{escape(line)}</strong></p>" if (line := best_line(state, best)) else ""
    body += f"<p>{pictures}</p>" if pictures else ""
    table, left_out = _trials_table(state, best, _PAGE_ROWS)
    if table.rows:
        body += html_table(table) + (f"<p>{escape(left_out)}</p>" if left_out else "")
    facts = [f"{name}: {text}" for name, text in _fact_rows(state)]
    return body + html_list([*_failures(state), *facts])


def headline(state: SweepState) -> str:
    """Return which sweep it is and how far it has come, in one line."""
    counts = {trial_state(word): number for word, number in state.counts.items()}
    told = [f"{counts[word]} {words_of(word)}" for word in (*_STATES.values(), "unknown") if counts.get(word)]
    progress = f"{len(state.finished)} of {state.wanted} trials" + (f" ({', '.join(told)})" if told else "")
    left = left_line(state)
    line = f"sweep {cut(state.name, _NAME)} of {cut(state.notebook, 120)}: {cut(state.status, 20)}, {progress}"
    return f"{line}, {left}" if left else line


def left_line(state: SweepState) -> str:
    """Return the time that is left, as far as anybody knows."""
    left = state.seconds_left
    return f"about {human_seconds(left)} left" if state.status == "running" and left is not None and 0 <= left < math.inf else ""


def best_line(state: SweepState, best: Collection[int]) -> str:
    """Return the best trial, or how many are on the front, in one line; nothing before one is complete."""
    if state.best is not None:
        return f"best trial {state.best.number}: {_values(state, state.best)} with {_parameters(state.best.parameters)}"
    return f"{len(best)} of {len(state.complete)} trials {'is' if len(best) == 1 else 'are'} on the Pareto front" if best else ""


def trial_state(word: str) -> str:
    """Return a trial's state as the looks of states have it."""
    return _STATES.get(word, "unknown")


def trial_header(state: SweepState, names: Sequence[str]) -> tuple[str, ...]:
    """Return what stands above `trial_row`."""
    metrics = tuple(cut(item.metric, _NAME) for item in state.objectives)
    return ("trial", "state", *metrics, *(cut(name, _NAME) for name in names[:_PARAMETERS]), "took", "stages", "note")


def trial_row(state: SweepState, trial: TrialState, names: Sequence[str], best: Collection[int]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return a trial's cells, its state bare, and what each is sorted by.

    Parameters
    ----------
    state : SweepState
    trial : TrialState
    names : sequence of str
        The parameters, of which the first ones have columns.
    best : collection of int
        The numbers of the trials that no other is better than.
    """
    values = [trial.values[at] if at < len(trial.values) else None for at in range(len(state.objectives))]
    columns = names[:_PARAMETERS]
    given = [trial.parameters.get(name) for name in columns]
    note = ("on the front" if len(state.objectives) > 1 else "best") if trial.number in best else cut(trial.error, _ERROR)
    cells = (
        str(trial.number),
        trial_state(trial.state),
        *("" if value is None else human_value(value) for value in values),
        *(human_value(value, _VALUE) if name in trial.parameters else "" for name, value in zip(columns, given, strict=True)),
        human_seconds(trial.seconds),
        _stages(trial),
        note,
    )
    return cells, (trial.number, cells[1], *map(_key, values), *map(_key, given), _key(trial.seconds), len(trial.ran), note)


def about_rows(state: SweepState) -> list[tuple[str, str]]:
    """Return what the sweep was asked to do, and what it has found out about its parameters."""
    rows = [("space", f"{cut(name, _NAME)} = {cut(text, 120)}") for name, text in list(state.space.items())[: 2 * _PARAMETERS]]
    rows.append(("sampler", f"{cut(state.sampler, 40)}, pruner {cut(state.pruner, 40)}"))
    if state.importances:
        rows.append(("importance", listed((f"{cut(name, _NAME)} {share:.2f}" for name, share in state.importances.items()), _PARAMETERS, width=80)))
    return rows


def place_rows(state: SweepState, *, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """Return where trackers show it, some fields left out, and where the best trial's full run is."""
    told = [*state.tracking.items(), *([("best run", state.best_run)] if state.best_run else [])]
    rows = [(cut(name, 20), [f"{cut(key, 20)} {cut(value, 160)}" for key, value in fields.items() if key not in without]) for name, fields in told]
    return [(name, ", ".join(texts)) for name, texts in rows if texts]


def best_numbers(state: SweepState) -> frozenset[int]:
    """Return the numbers of the trials that no other is better than."""
    return frozenset(trial.number for trial in ([state.best] if state.best is not None else state.front))


def _best_block(state: SweepState, best: Collection[int]) -> Iterator[str]:
    if state.best is None:
        if line := best_line(state, best):
            yield line
        return
    yield f"best trial {state.best.number}: {_values(state, state.best)}"
    rows = [(cut(name, _NAME), exact_value(value, 80)) for name, value in state.best.parameters.items()]
    yield from (f"  {line}" for line in aligned(rows, header=False))


def _values(state: SweepState, trial: TrialState) -> str:
    return ", ".join(f"{cut(item.metric, _NAME)} {human_value(value)}" for item, value in zip(state.objectives, trial.values, strict=False))


def _parameters(parameters: Mapping[str, Any]) -> str:
    return listed((f"{cut(name, _NAME)} {human_value(value, _VALUE)}" for name, value in parameters.items()), _PARAMETERS, width=80)


def _stages(trial: TrialState) -> str:
    return ", ".join(f"{len(stages)} {word}" for stages, word in ((trial.ran, "ran"), (trial.reused, "reused")) if stages)


def _key(value: object) -> object:
    """Return what a cell is sorted by, a number or text; None where there is nothing, which comes last."""
    if value is None or isinstance(value, str):
        return cut(value, _VALUE) if value is not None else None
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            return None if math.isnan(value) else math.copysign(1.7e308, value)  # JSON knows no infinity
        return value if abs(value) < 2**53 else cut(value, _VALUE)
    return exact_value(value, _VALUE)


def _trials_text(state: SweepState, best: Collection[int]) -> list[str]:
    table, left_out = _trials_table(state, best, _TEXT_ROWS)
    return [*text_table(table), *([left_out] if left_out else [])] if table.rows else []


def _trials_table(state: SweepState, best: Collection[int], most: int) -> tuple[Table, str]:
    """Return at most `most` trials: the best and the last ones; and a line on those that are not shown."""
    shown = _chosen(state, best, most)
    names = swept(state)
    header = trial_header(state, names)
    rows = tuple(trial_row(state, trial, names, best)[0] for trial in shown)
    numbers = frozenset({0, *range(2, len(header) - 2)})
    lost = len(state.trials) - len(shown)
    what = "the front, the best and the last" if len(state.objectives) > 1 else "the best and the last"
    return Table(header=header, rows=rows, state=1, numbers=numbers), f"{what} {len(shown)} of {len(state.trials)} trials" if lost else ""


def _chosen(state: SweepState, best: Collection[int], most: int) -> Sequence[TrialState]:
    if len(state.trials) <= most:
        return state.trials
    last = state.trials[-(most // 2) :]
    reverse = bool(state.objectives) and state.objectives[0].direction == "maximize"
    ranked = sorted(state.complete, key=lambda trial: trial.values[:1], reverse=reverse)
    ranked = sorted(ranked, key=lambda trial: trial.number not in best)
    chosen = {trial.number for trial in last}
    for trial in ranked:
        if len(chosen) >= most:
            break
        chosen.add(trial.number)
    return [trial for trial in state.trials if trial.number in chosen]


def _failures(state: SweepState) -> Iterator[str]:
    """Return a line for the sweep's own error, and for each failed trial; of many, the last ones."""
    if state.error:
        yield f"✗ {cut(state.error, _SENTENCE)}"
    failed = [trial for trial in state.trials if trial.state == "FAIL"]
    if len(failed) > _FAILURES:
        yield f"{len(failed)} trials failed; the last {_FAILURES}:"
    yield from (f"✗ trial {trial.number}: {cut(trial.error or 'it failed', _ERROR)}" for trial in failed[-_FAILURES:])


def _fact_rows(state: SweepState) -> list[tuple[str, str]]:
    return [*about_rows(state), *place_rows(state)]


def _facts(state: SweepState) -> list[str]:
    rows = _fact_rows(state)
    return aligned([("" if at and rows[at - 1][0] == name else name, text) for at, (name, text) in enumerate(rows)], header=False)
