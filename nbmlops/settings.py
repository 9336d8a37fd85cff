"""What a project or a user may set, read once into one frozen object.

Options win over ``NBMLOPS_*`` variables, which win over ``[tool.nbmlops]`` in the project's ``pyproject.toml``.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass
from nbmlops.errors import UsageError
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "find_project_root", "load_settings"]

_ALIAS = pattern(r"[A-Za-z0-9_-]{1,100}")
_VERSION = pattern(r"[vV]\d+")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
_MARKERS = ("pyproject.toml", ".git", ".nbmlops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one project.

    Parameters
    ----------
    project_root : Path
        The folder that holds `.nbmlops`, and outside which no module is local.
    store : str
        Path or fsspec URL of the store.
    workers : int
        How many stages may run at once; at least 1. 0 means one per CPU.
    trackers : tuple of str
        Names of the trackers that get every run; empty for none.
    track_wait_s : int
        How long a command waits, after its last stage, for its trackers; what is not sent by then waits for the next command.
    experiment : str
        The MLflow experiment and W&B project; "" means the notebook's name.
    trusted_stores : tuple of str
        Stores outside the project root from which pickles may be read.
    retention_days, retention_runs : int
        Which runs `store gc` keeps: those younger, and the last ones of each notebook.
    kernel_limit_bytes : int
        In a kernel, bound names above this size are kept only if a later cell reads them.
    output_limit_bytes : int
        How much of one cell's text output a notebook shows; the rest is kept in the store.
    seed : int
        The seed from which every stage's random state is derived, from 0.
    registry : str
        Where models are registered.
    model : str
        The registered model whose champion gates compare with; "" means the one that the notebook registers.
    promotion_aliases : tuple of str
        The aliases that are promoted to; the first is that of the model in use.
    promotion_require : tuple of str
        Expressions, as of ``--require``, that a version must fulfil to be promoted, whatever its notebook asks.
    promotion_approver : tuple of str
        Who may be the second person of a promotion: names, or ``yes`` for anybody but who promotes; empty where none is asked for.
    champion_absent : {"pass", "refuse"}
        What becomes of a gate that compares with a champion that there is not yet.
    """

    project_root: Path
    store: str
    workers: int = 0
    trackers: tuple[str, ...] = ("mlflow",)
    track_wait_s: int = 10
    experiment: str = ""
    trusted_stores: tuple[str, ...] = ()
    retention_days: int = 30
    retention_runs: int = 20
    kernel_limit_bytes: int = 1 << 30
    output_limit_bytes: int = 2 << 20
    seed: int = 0
    registry: str = "mlflow"
    model: str = ""
    promotion_aliases: tuple[str, ...] = ("champion", "challenger")
    promotion_require: tuple[str, ...] = ()
    promotion_approver: tuple[str, ...] = ()
    champion_absent: str = "pass"

    def __post_init__(self) -> None:
        if self.champion_absent not in {"pass", "refuse"}:
            raise UsageError(f"setting 'champion_absent' is {self.champion_absent!r}", code="NB005", fix="give pass or refuse")
        for alias in self.promotion_aliases:
            if not _ALIAS.fullmatch(alias) or alias == "latest" or _VERSION.fullmatch(alias):
                fix = "give letters, digits, _ and -; latest, v1, v2 and so on are MLflow's own"
                raise UsageError(f"setting 'promotion_aliases' names {alias!r}", code="NB005", fix=fix)
        if not self.promotion_aliases:
            raise UsageError("setting 'promotion_aliases' is empty", code="NB005", fix="name at least the alias of the model in use")
        for name in ("workers", "track_wait_s", "retention_days", "retention_runs", "kernel_limit_bytes", "output_limit_bytes", "seed"):
            if getattr(self, name) < 0:
                raise UsageError(f"setting {name!r} is {getattr(self, name)}", code="NB005", fix="give a number from 0")

    @property
    def worker_count(self) -> int:
        """How many stages may run at once, with 0 resolved to the CPUs that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


def find_project_root(start: Path) -> Path:
    """Return the nearest folder upward from `start` that holds a marker, else `start` itself."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return start


def load_settings(start: Path, **options: Any) -> Settings:  # noqa: ANN401 - typed by the fields of Settings
    """Read the settings that hold in the folder `start`.

    Parameters
    ----------
    start : Path
        The notebook's folder.
    **options
        Fields of `Settings` given on the command line; None means not given.

    Raises
    ------
    UsageError
        If a setting is unknown or has a value of the wrong type.
    """
    root = find_project_root(start)
    known = {item.name for item in fields(Settings)} - {"project_root"}
    values: dict[str, Any] = {}
    table = _project_table(root / "pyproject.toml")
    for name, value in table.items():
        if name.replace("-", "_") not in known:
            raise UsageError(
                f"pyproject.toml, [tool.nbmlops]: unknown setting {name!r}",
                code="NB005",
                fix=f"known are: {', '.join(sorted(known))}",
            )
        values[name.replace("-", "_")] = _convert(name.replace("-", "_"), value, "pyproject.toml, [tool.nbmlops]")
    for name in sorted(known):
        text = os.environ.get(f"NBMLOPS_{name.upper()}")
        if text is not None:
            values[name] = _convert(name, text, f"NBMLOPS_{name.upper()}")
    values.setdefault("store", str(root / ".nbmlops"))
    settings = Settings(project_root=root, **values)
    return replace(settings, **{name: value for name, value in options.items() if value is not None})


def _project_table(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        if not text.strip():  # it only marks the project's root
            return {}
        import tomllib  # noqa: PLC0415 - most notebooks stand in no project with settings

        table = tomllib.loads(text).get("tool", {}).get("nbmlops", {})
    except (OSError, ValueError) as error:  # what is no TOML, or no UTF-8
        raise UsageError(f"{path.name} cannot be read: {error}", code="NB005", fix="mend the file") from error
    return dict(table)


def _convert(name: str, value: object, place: str) -> Any:  # noqa: ANN401 - one of the types in Settings
    kind = str(Settings.__annotations__[name])
    if name == "promotion_approver" and isinstance(value, (bool, str)) and str(value).strip().lower() in _TRUTHS:
        return ("yes",) if _TRUTHS[str(value).strip().lower()] else ()
    if kind.startswith("tuple"):
        if isinstance(value, str):
            separator = ";" if name == "promotion_require" else ","  # an expression may hold commas
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
    elif kind == "int":
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().isdecimal():
            return int(value)
    elif isinstance(value, str):
        return value
    wanted = {"int": "a whole number", "str": "a string"}.get(kind, "a list of strings")
    raise UsageError(f"{place}: setting {name!r} is {value!r}", code="NB005", fix=f"give {wanted}")
