"""A comparison in which everything that is text is one text."""

from __future__ import annotations

from nbmlops.session.comparing.comparison import ABSENT, ArtifactSide, CodeDiff, Compared, Comparison, Section, StageRow, StageSide
from nbmlops.store.records import RunRecord

__all__ = ["comparison"]


def comparison(text: str) -> Comparison:
    """Return a comparison of a run with a trial, with a row of each kind."""
    about = {"notebook": text, "notebook_digest": "", "status": text, "started_s": 1_795_653_344.0, "seconds": 1.5}
    runs = (
        Compared(run=RunRecord(run_id="8f3a", git_commit=text, **about)),  # type: ignore[arg-type]
        Compared(run=RunRecord(run_id="9b1c", sweep=text, trial=7, **about), gone=(text,)),  # type: ignore[arg-type]
    )
    values = Section(differ={text: (text, ABSENT)}, equal=(text,), unknown={text: text})
    side = StageSide(status=text, key="k", seconds=1.0, error=text)
    artifact = ArtifactSide(stage=text, digest="ab" * 32, format=text, size_bytes=1, type=text, summary=text)
    return Comparison(
        runs=runs,
        parameters=values,
        metrics=values,
        stages=Section(differ={text: StageRow(sides=(side, ABSENT), reasons=((), (text,)))}),
        artifacts=Section(differ={text: (artifact, ABSENT)}),
        code=Section(differ={text: CodeDiff(cells=text, setup=f"-{text}\n+{text}")}),
        environment=values,
        notes=(text,),
    )
