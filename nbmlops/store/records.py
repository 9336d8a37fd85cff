"""What is written down about stages and runs, and the seal that shows whether it is still what was written.

A sealed file is one JSON object, ``{"blake3":"...","keyed":"...","body":{...}}``, whose digests are those of the bytes of `body`.
The plain digest tells damage; the keyed one, present where the team has a key, tells who wrote it.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any

from blake3 import blake3

from nbmlops.dataclass import dataclass
from nbmlops.pattern import pattern
from nbmlops.pipeline.effects import NO_EFFECTS, Effects

__all__ = ["Artifact", "BadSeal", "ForeignSeal", "RunRecord", "StageRecord", "is_digest", "is_name", "seal", "unseal"]

_DIGEST = pattern(r"[0-9a-f]{64}")
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SEALED = pattern(rb'\{"blake3":"([0-9a-f]{64})",(?:"keyed":"([0-9a-f]{64})",)?"body":(\{.*\})\}\n', re.DOTALL)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class BadSeal(ValueError):
    """Sealed bytes that are not what was sealed."""


class ForeignSeal(BadSeal):
    """Sealed bytes that are undamaged, but not sealed with the team's key."""


def is_digest(text: object) -> bool:
    """Tell whether `text` can be the name of an object: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def is_name(text: object) -> bool:
    """Tell whether `text` can be a stage key or a run id, and so part of a path."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def seal(data: Mapping[str, Any], *, key: bytes | None = None) -> bytes:
    """Return `data` as JSON bytes that carry their own digest.

    Parameters
    ----------
    data : mapping
        JSON data. NaN and infinities are kept, and so is the order of the keys.
    key : bytes of length 32, or None
        The team's key; with it the bytes also carry a keyed digest.
    """
    body = json.dumps(dict(data), separators=(",", ":")).encode("ascii")
    keyed = b'"keyed":"%s",' % blake3(body, key=key).hexdigest().encode() if key else b""
    return b'{"blake3":"%s",%s"body":%s}\n' % (blake3(body).hexdigest().encode(), keyed, body)


def unseal(sealed: bytes | memoryview, *, key: bytes | None = None) -> dict[str, Any]:
    """Return the data that `seal` was given.

    Raises
    ------
    ForeignSeal
        If a key is given and the bytes, though undamaged, were not sealed with it.
    BadSeal
        If the bytes are not what was sealed.
    """
    match = _SEALED.fullmatch(bytes(sealed))
    if match is None:
        raise BadSeal("not sealed JSON")
    digest, keyed, body = match.groups()
    if blake3(body).hexdigest().encode() != digest:
        raise BadSeal("the bytes differ from their digest")
    if key and not (keyed and hmac.compare_digest(blake3(body, key=key).hexdigest().encode(), keyed)):
        raise ForeignSeal("not sealed with the key of NBMLOPS_STORE_KEY")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadSeal("not JSON") from error
    return dict(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One version of a variable, as the store keeps it.

    Parameters
    ----------
    name : str
        The variable's name.
    digest : str
        The object that holds its bytes.
    format : str
        The serializer that wrote it, such as "arrow", "npy", "json" or "pickle5".
    size_bytes : int
    form : str
        The object that tells in which form the value was, such as the order in which its sets are iterated; "" for none. Equal values have
        one digest, and may have several forms.
    members : tuple of str
        For an alias set: the names that the object holds together, as one mapping of name to value. Empty otherwise.
    refers : tuple of str
        The code that the value refers to: ``name:clean`` (a notebook definition, by reference), ``code:clean:<hash>`` (notebook
        code kept by value), ``module:helpers`` (a project-local module), ``dist:scikit-learn``; ``state:Config`` names a definition of a
        setup cell that holds the value too, as a class attribute does.
    type : str
        The value's type for people, such as "pandas.DataFrame".
    summary : str
        Its shape for people, such as "1,000 x 20".
    """

    name: str
    digest: str
    format: str
    size_bytes: int
    form: str = ""
    members: tuple[str, ...] = ()
    refers: tuple[str, ...] = ()
    type: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ValueError(f"artifact {self.name!r} has no digest: {self.digest!r}")
        if self.form and not is_digest(self.form):
            raise ValueError(f"artifact {self.name!r} has a form that is no digest: {self.form!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the artifact as JSON data."""
        return _to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        """Rebuild an artifact from `to_json`; fields of a newer version are ignored."""
        known = _known(cls, data)
        return cls(**known | {name: tuple(known.get(name, ())) for name in ("members", "refers")})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What one execution of a stage produced.

    Parameters
    ----------
    key : str
        The stage key: what the record is found by.
    stage, notebook : str
        The stage's name, and the notebook's path relative to the project root.
    components : mapping
        What the key was made of, for `why`.
    code : str
        The digest of the stage's code and the setup it uses: what learnt effects are found by.
    outputs : mapping of str to Artifact
        By variable name; the members of an alias set share a digest.
    cell_outputs : str or None
        The object that holds a JSON list with, for each of the stage's cells, the list of its nbformat outputs.
    metrics : mapping
        What ``--metrics`` named and `log_metric` logged; NaN is kept.
    series : mapping of str to list of [int, float]
        The course of metrics that were logged by step: step and value.
    gates : tuple of mapping
        Each gate's evidence when the stage ran; its ``--require`` expressions are judged again whenever the record serves.
    evidence : tuple of mapping
        What gates in the stage's code found, which holds as long as the record does.
    models : tuple of mapping
        What the stage wants registered.
    effects : Effects
        What running taught that reading could not tell.
    seconds : float
        What the computation took.
    started_s : float
        Unix time in seconds.
    reproducible : bool
        False if the stage ran on values that no run from top to bottom gives.
    remarks : tuple of str
        Why it is not reproducible, and what may make it differ.
    environment : mapping of str to str
        Python and the distributions the stage uses, with their versions.
    files_written : mapping of str to str
        Path to the object that holds the file's content.
    attempt : str
        The fencing token of the execution.
    run_id : str
        The run that computed it.
    """

    key: str
    stage: str
    notebook: str
    code: str
    components: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Artifact] = field(default_factory=dict)
    cell_outputs: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    evidence: tuple[Mapping[str, Any], ...] = ()
    models: tuple[Mapping[str, Any], ...] = ()
    effects: Effects = NO_EFFECTS
    seconds: float = 0.0
    started_s: float = 0.0
    reproducible: bool = True
    remarks: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files_written: Mapping[str, str] = field(default_factory=dict)
    attempt: str = ""
    run_id: str = ""

    def __post_init__(self) -> None:
        if not is_name(self.key):
            raise ValueError(f"stage {self.stage!r} has no valid key: {self.key!r}")
        for digest in self.digests():
            if not is_digest(digest):
                raise ValueError(f"the record of stage {self.stage!r} names no digest: {digest!r}")

    def digests(self) -> frozenset[str]:
        """Return the names of the objects that the record needs to be whole."""
        found = {digest for artifact in self.outputs.values() for digest in (artifact.digest, artifact.form) if digest}
        found |= set(self.files_written.values())
        found |= {digest for item in self.models for digest in dict(item.get("files", _NOTHING)).values()}
        found |= {item["report"] for item in self.evidence if item.get("report")}
        return frozenset(found if self.cell_outputs is None else found | {self.cell_outputs})

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        outputs = {name: artifact.to_json() for name, artifact in self.outputs.items()}
        return _to_json(self) | {"outputs": outputs, "effects": self.effects.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageRecord:
        """Rebuild a record from `to_json`; fields of a newer version are ignored."""
        known = _known(cls, data)
        known["outputs"] = {name: Artifact.from_json(item) for name, item in known.get("outputs", _NOTHING).items()}
        known["effects"] = Effects.from_json(known.get("effects", {}))
        return cls(**known | {name: tuple(known.get(name, ())) for name in ("gates", "evidence", "models", "remarks")})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One execution of a pipeline.

    Parameters
    ----------
    run_id : str
    notebook : str
        Its path relative to the project root.
    notebook_digest : str
        The snapshot of what was run; "" where none was taken.
    status : str
        ``running``, ``done``, ``failed``, ``refused`` or ``cancelled``.
    started_s, seconds : float
        Unix time, and how long it took.
    parameters : mapping
    stages : tuple of mapping
        The elements that `run --json` shows; the record of each is found by its ``key``.
    output : str or None
        The executed notebook.
    tracking : mapping
        By tracker, where the run is found there.
    diagnostics : tuple of mapping
    seed : int
    git_commit : str or None
    sweep : str
        The name of the sweep that the run is a trial of; "" for a run of its own.
    trial : int
        The trial's number there.
    """

    run_id: str
    notebook: str
    notebook_digest: str
    status: str
    started_s: float
    seconds: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()
    output: str | None = None
    tracking: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    seed: int = 0
    git_commit: str | None = None
    sweep: str = ""
    trial: int = -1

    def __post_init__(self) -> None:
        if not is_name(self.run_id):
            raise ValueError(f"not a run id: {self.run_id!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON data."""
        return _to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRecord:
        """Rebuild a run from `to_json`; fields of a newer version are ignored."""
        known = _known(cls, data)
        return cls(**known | {name: tuple(known.get(name, ())) for name in ("stages", "diagnostics")})


def _to_json(record: Artifact | StageRecord | RunRecord) -> dict[str, Any]:
    return {item.name: _plain(getattr(record, item.name)) for item in fields(record)}


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON, where the records hold mappings and tuples
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _known(cls: type[Artifact | StageRecord | RunRecord], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(cls)}
    return {name: value for name, value in data.items() if name in names}
