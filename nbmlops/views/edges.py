"""What each edge of a pipeline carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline

__all__ = ["Edge", "edges_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What one stage gets from another.

    Parameters
    ----------
    source, target : str
    artifacts : tuple of str
        Names that the target reads from the source.
    files : tuple of str
        Paths that the source writes and the target reads.
    """

    source: str
    target: str
    artifacts: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def only_order(self) -> bool:
        """Whether nothing is handed on: ``--after``."""
        return not self.artifacts and not self.files

    @property
    def carries(self) -> tuple[str, ...]:
        """Everything that is handed on."""
        return (*self.artifacts, *self.files)


def edges_of(pipeline: Pipeline) -> tuple[Edge, ...]:
    """Return the edges between the stages of a pipeline, in document order of their targets."""
    found: list[Edge] = []
    for stage in pipeline.stages.values():
        for upstream in stage.upstream:
            if upstream in pipeline.stages:
                artifacts = tuple(dict.fromkeys(read.name for read in stage.reads if read.kind == "stage" and read.provider == upstream))
                files = tuple(path for path, writer in stage.files_from.items() if writer == upstream)
                found.append(Edge(source=upstream, target=stage.name, artifacts=artifacts, files=files))
    return tuple(found)
