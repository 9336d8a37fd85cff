"""Something that makes a live kernel differ from a run from top to bottom, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmlops.pattern import pattern
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbmlops.session.live.cells import Notebook

__all__ = ["Finding", "listed", "merged", "said", "way_back"]

_PROMPT = pattern(r"\[\d+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One piece of hidden state.

    Parameters
    ----------
    code : str
        One of the codes NB4xx.
    message : str
        What happened, to which name, where.
    again : frozenset of int
        The cells of the notebook that put it right when they run again.
    first : str
        What is to be done before that, where running cells does not help.
    name : str
        The name that it is about, or "".
    live : bool
        Whether the stage is to be run on what is live, instead of being reused: its reader may have meant the change.
    via : str
        The stage through which it came, where the finding is about one further up.
    """

    code: str
    message: str
    again: frozenset[int] = frozenset()
    first: str = ""
    name: str = ""
    live: bool = True
    via: str = ""

    @property
    def told(self) -> str:
        """The message, with the stage through which it came."""
        return f"{self.via} is not reproducible: {self.message}" if self.via else self.message

    def behind(self, stage: str, label: str, cells: Iterable[int]) -> Finding:
        """Return what this means for a reader of the stage that it concerns."""
        return replace(self, via=self.via or f"stage {stage} {label}", again=self.again | set(cells), live=True)


def way_back(findings: Iterable[Finding], notebook: Notebook, *, own: int | None) -> str:
    """Say what puts everything right.

    Parameters
    ----------
    findings : iterable of Finding
    notebook : Notebook
    own : int or None
        The cell that used it, which runs last.
    """
    found = list(findings)
    steps = list(dict.fromkeys(finding.first for finding in found if finding.first))
    cells = sorted({index for finding in found for index in finding.again} - {own})
    if cells:
        again = "" if any(notebook.seen[index] is None for index in cells) else " again"
        order = ", in this order" if len(cells) > 1 else ""
        steps.append(f"run {', '.join(notebook.label(index) for index in cells)}{again}{order}")
    if own is not None:
        steps.append("then this cell" if cells else "then run this cell again" if steps else "run this cell again")
    return ", ".join(steps)


def said(findings: Iterable[Finding], notebook: Notebook, own: int) -> tuple[str, ...]:
    """Return findings as the remarks of a record: code, what happened, and what to do."""
    return tuple(f"{finding.code}: {finding.told}; {way_back([finding], notebook, own=own)}" for finding in findings)


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, each told once."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.told)
        found[key] = replace(found[key], again=found[key].again | finding.again) if key in found else finding
    return tuple(found.values())


def listed(found: Iterable[tuple[str, Finding]], notebook: Notebook, cells: Mapping[str, int | None]) -> list[Diagnostic]:
    """Return findings as `%mlcheck` lists them: one for each cause, with the stages that it reaches.

    Parameters
    ----------
    found : iterable of (str, Finding)
        With the stage that each is about.
    notebook : Notebook
    cells : mapping of str to (int or None)
        Where each stage stands.
    """
    causes: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for stage, finding in found:
        causes.setdefault((finding.code, _PROMPT.sub("[]", finding.message)), []).append((stage, finding))
    rows = []
    for (code, _), items in causes.items():
        stages = list(dict.fromkeys(stage for stage, _ in items if stage))
        others = f"; it reaches {'stage' if len(stages) == 2 else 'stages'} {', '.join(stages[1:])}" if len(stages) > 1 else ""  # noqa: PLR2004
        fix = way_back([merged_again(items)], notebook, own=None)
        first = stages[0] if stages else None
        cell = cells.get(first) if first is not None else min(items[0][1].again, default=None)
        rows.append(Diagnostic(code=code, severity="warning", stage=first, cell=cell, message=f"{items[-1][1].message}{others}", fix=fix))
    return rows


def merged_again(items: Iterable[tuple[str, Finding]]) -> Finding:
    """Return one finding with the cells of all."""
    found = [finding for _, finding in items]
    return replace(found[0], again=frozenset(index for finding in found for index in finding.again))
