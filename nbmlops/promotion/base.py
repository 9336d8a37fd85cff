"""What a registry is: it keeps versions of models with their evidence, and says which one an alias means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from nbmlops.plugins import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["REGISTRIES", "Evidence", "ModelRequest", "ModelVersion", "Registry", "check_types"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model that a stage wants registered, as its record keeps it.

    Parameters
    ----------
    name : str
        The registered model's name.
    digest : str
        Of the model itself and of nothing else: equal for equal models, whenever and in whatever run they were made.
    files : mapping of str to str
        The files of the packed model, by path relative to its folder with ``/``: the objects in the store that hold their bytes.
    flavor : str
        How MLflow loads it, such as ``sklearn``.
    metrics : mapping of str to float
        What the stage says of it; what the run logged counts too, where this does not name it.
    """

    name: str
    digest: str
    files: Mapping[str, str]
    flavor: str
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelRequest:
        """Rebuild a request from `to_json`; fields of a newer version are ignored."""
        return cls(**_known(cls, data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for a version, and against it: of the last run that made it or reused it.

    Parameters
    ----------
    run_id, stage : str
        The run, and the stage of it that registered the model.
    status : str
        How that run ended: only ``done`` speaks for the version.
    time_s : float
        Unix time at which it ended.
    notebook, notebook_digest, output : str
        The notebook's path in the project, the snapshot of the executed notebook, and where it was written.
    metrics : mapping of str to float
        By name; NaN is kept, and passes no gate.
    gates : tuple of mapping
        Of every stage of the run, with ``stage``: ``name``, ``value``, ``threshold``, ``passed`` and what else the gate says. One with
        ``"judge": "require"`` is an expression, which is judged again against the champion of the day.
    parameters : mapping of str to JSON
    data : mapping of str to str
        Digest of each file that the run read, by path.
    environment : mapping of str to str
        Python and the distributions, with their versions.
    environment_digest : str
    commit : str
        Of git; "" where there is none. ``-dirty`` at its end where files were changed.
    user : str
    files : mapping of str to str
        blake3 of each file of the registered model, by path.
    tracking : mapping of str to str
        Where the run is found in MLflow: ``run_id``, ``experiment`` and the like; empty where it is not.
    """

    run_id: str
    stage: str
    status: str
    time_s: float
    notebook: str = ""
    notebook_digest: str = ""
    output: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_digest: str = ""
    commit: str = ""
    user: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    tracking: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as JSON data."""
        return {**asdict(self), "gates": [dict(gate) for gate in self.gates]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Rebuild evidence from `to_json`; fields of a newer version are ignored. `TypeError` if a value is none of its field's."""
        known = _known(cls, data)
        check_types(cls, known)
        return cls(**{**known, "gates": tuple(known.get("gates", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a registered model.

    Parameters
    ----------
    model : str
    version : int
        From 1.
    digest : str
        Of the model: what `ModelRequest.digest` was; "" for one that nbmlops did not register.
    created_s : float
        Unix time.
    evidence : Evidence or None
        None for a version that nbmlops did not register, or whose evidence cannot be read: no gate of it holds.
    aliases : tuple of str
        Those that mean this version now.
    url : str
        Where a browser finds it; "" where the registry has no server.
    """

    model: str
    version: int
    digest: str
    created_s: float
    evidence: Evidence | None
    aliases: tuple[str, ...] = ()
    url: str = ""


class Registry(Protocol):
    """A place that keeps models.

    It is made as ``REGISTRIES.get(name)(project_root)``, which must neither reach a network nor import anything heavy. Every method may
    raise `nbmlops.errors.TrackerUnavailable` if the registry does not answer.
    """

    def names(self) -> tuple[str, ...]:
        """Return the names of all registered models, sorted."""

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return every version, the newest first; empty if there is no such model."""

    def version(self, model: str, number: int) -> ModelVersion:
        """Return one version; `UsageError` if there is none, which names those that there are."""

    def register(self, request: ModelRequest, evidence: Evidence, folder: Path) -> ModelVersion:
        """Make a version of what lies in `folder`, or find the one that has the same digest; it has `evidence` then."""

    def files(self, model: str, number: int) -> AbstractContextManager[Path]:
        """Give a folder with the files that the registry would serve for a version."""

    def aliases(self, model: str) -> Mapping[str, int]:
        """Return which version each alias means."""

    def move(self, model: str, alias: str, number: int | None) -> None:
        """Let an alias mean a version; None takes it away."""

    def tags(self, model: str) -> Mapping[str, str]:
        """Return the tags of the registered model itself."""

    def set_tags(self, model: str, tags: Mapping[str, str], *, number: int | None = None) -> None:
        """Set tags of the model, or of one version of it."""

    def delete_tags(self, model: str, names: Sequence[str]) -> None:
        """Take tags of the model away; one that is not there is no error."""

    def close(self) -> None:
        """Let go of connections; the registry is not used again."""


REGISTRIES = Family("nbmlops.registries", {"mlflow": "nbmlops.promotion.mlflow_registry:MlflowRegistry"})


def check_types(cls: type, data: Mapping[str, Any]) -> None:
    """Raise `TypeError` if JSON data, which anybody may have edited, are not of the types of a dataclass's fields."""
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__} is a {type(data).__name__}")
    wanted = {item.name: str(item.type) for item in fields(cls)}
    for name, value in data.items():
        if not _KINDS[wanted[name]](value):
            raise TypeError(f"{name} is a {type(value).__name__}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(key, str) and check(item) for key, item in value.items())


_KINDS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int),
    "int | None": lambda value: value is None or isinstance(value, int),
    "float": _is_number,
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "Mapping[str, float]": _mapping_of(_is_number),
    "Mapping[str, str]": _mapping_of(lambda value: isinstance(value, str)),
    "tuple[Mapping[str, Any], ...]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(item, dict) for item in value),
}


def _known(cls: type[ModelRequest | Evidence], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(cls)}
    return {name: value for name, value in data.items() if name in names}
