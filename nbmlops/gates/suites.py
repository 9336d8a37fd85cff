"""Suites of expectations as JSON files: ``expectations/NAME.json`` beside the notebook, or at the project's root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.errors import UsageError
from nbmlops.nearest import close_matches
from nbmlops.notebook.expecting import SUITE_NAME, suite_path
from nbmlops.pattern import pattern
from nbmlops.settings import find_project_root
from nbmlops.store.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BY_CELL", "FOLDER", "Suite", "check_name", "is_written_by_hand", "read_suite", "suite_json", "write_suite"]

FOLDER = "expectations"
BY_CELL = "%%mlexpect"
_ALIEN = pattern(r"[/\\]|\.json$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite that was read.

    Parameters
    ----------
    name : str
    expectations : tuple of mapping
        Each with ``type``, ``kwargs``, ``severity`` and perhaps ``notes``, ``description`` and ``meta``.
    place : str
        Where it came from, for messages.
    """

    name: str
    expectations: tuple[Mapping[str, Any], ...]
    place: str


def check_name(name: object) -> str:
    """Return a suite's name, which becomes a file's.

    Raises
    ------
    UsageError
        If it cannot be one.
    """
    if isinstance(name, str) and SUITE_NAME.fullmatch(name):
        return name
    raise UsageError(f"{name!r} is no name of a suite", code="NB631", fix="a name begins with a letter and has up to 55 letters, digits, '-' and '_'")


def read_suite(suite: object) -> Suite:
    """Read a suite from a file, or take the one that is given.

    Parameters
    ----------
    suite : str, Path or great_expectations.ExpectationSuite
        A name means ``expectations/NAME.json`` in the working directory, else at the project's root.

    Raises
    ------
    UsageError
        If there is none, or it is none.
    """
    if isinstance(suite, (str, Path)):
        return _parsed(*_find(suite))
    told = getattr(suite, "to_json_dict", None)
    if told is None or not hasattr(suite, "expectations"):
        raise UsageError(
            f"a suite is a name, a path or an ExpectationSuite, and this is a {type(suite).__name__}",
            code="NB631",
            fix=f"give the name of a file in {FOLDER}/",
        )
    return _of_data(told(), str(getattr(suite, "name", "suite")), "the suite")


def _find(suite: str | Path) -> tuple[str, bytes]:
    """Return where the file is, as messages call it, and its bytes. Opening tells whether it is there: that is what a stage is seen to depend on."""
    text = str(suite)
    relative = Path(text) if isinstance(suite, Path) or _ALIEN.search(text) else Path(suite_path(check_name(text)))
    found = _bytes(relative)
    if found is None and not relative.is_absolute():
        root = find_project_root(Path.cwd())
        found = _bytes(root / relative) if root != Path.cwd() else None
    if found is not None:
        return relative.as_posix(), found
    there = sorted({path.stem for folder in (Path.cwd(), find_project_root(Path.cwd())) for path in (folder / FOLDER).glob("*.json")})
    near = close_matches(relative.stem, there)
    listed = f"there are: {', '.join(there[:8])}" if there else f"there is none in {FOLDER}/ yet"
    raise UsageError(
        f"there is no suite {relative.as_posix()!r}; {listed}",
        code="NB631",
        fix=f"did you mean {near[0]!r}?" if near else "write it with %%mlexpect NAME, or let nbmlops.propose_suite(df, NAME) begin it",
    )


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a path with a zero byte is that of no file
        return None
    except OSError as error:
        raise UsageError(f"the suite {path.as_posix()!r} cannot be read: {error.strerror}", code="NB631", fix="give a file") from error


def _parsed(place: str, data: bytes) -> Suite:
    """Read a file's bytes."""
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        _refuse(place, f"is no text: byte {error.start}", "save it as UTF-8")
    except json.JSONDecodeError as error:
        _refuse(place, f"is no JSON: line {error.lineno}, column {error.colno}: {error.msg}", "mend that place")
    except (ValueError, RecursionError) as error:
        _refuse(place, f"is no JSON: {error}", "mend it")
    return _of_data(found, Path(place).stem, place)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _of_data(data: object, name: str, place: str) -> Suite:
    """Check that JSON data are a suite."""
    if not isinstance(data, dict):
        _refuse(place, f"is a JSON {type(data).__name__}, no suite", 'write {"name": ..., "expectations": [...]}')
    expectations = data.get("expectations")
    if not isinstance(expectations, list):
        _refuse(place, "has no list of expectations", 'write {"name": ..., "expectations": [...]}')
    if not expectations:
        raise UsageError(f"the suite {place!r} has no expectations", code="NB636", fix="write one: an empty suite would let everything pass")
    checked = tuple(_expectation(item, number, place) for number, item in enumerate(expectations, 1))
    given = data.get("name")
    return Suite(name=given if isinstance(given, str) and given else name, expectations=checked, place=place)


def _expectation(item: object, number: int, place: str) -> Mapping[str, Any]:
    where = f"expectation {number} of {place!r}"
    if isinstance(item, dict) and "expectation_type" in item and "type" not in item:
        raise UsageError(f"{where} is in the form of Great Expectations before 1.0", code="NB631", fix='write "type" for "expectation_type"')
    if not isinstance(item, dict) or not isinstance(item.get("type"), str) or not isinstance(item.get("kwargs", {}), dict):
        raise UsageError(f"{where} is no expectation", code="NB631", fix='write {"type": "expect_...", "kwargs": {...}}')
    if any(isinstance(value, dict) and "$PARAMETER" in value for value in item.get("kwargs", {}).values()):
        raise UsageError(f"{where} has a $PARAMETER, for which nbmlops.validate has no value", code="NB636", fix="write the value")
    kept = {key: item[key] for key in ("severity", "notes", "description", "meta") if item.get(key)}
    return {"type": item["type"], "kwargs": {key: value for key, value in item.get("kwargs", {}).items() if key != "batch_id"}, **kept}


def _refuse(place: str, what: str, fix: str) -> NoReturn:
    raise UsageError(f"the suite {place!r} {what}", code="NB631", fix=fix)


def suite_json(name: str, expectations: Iterable[Mapping[str, Any]], written_by: str) -> bytes:
    """Return a suite as the JSON that Great Expectations reads; the same expectations give the same bytes."""
    data = {"name": name, "expectations": [dict(sorted(item.items())) for item in expectations], "meta": {"nbmlops": written_by}, "notes": None}
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def is_written_by_hand(name: str) -> bool:
    """Tell whether there is a suite of that name that no cell of `%%mlexpect` has written: a cell is not to take its place unasked."""
    data = _bytes(Path(suite_path(name)))
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return data is not None
    meta = found.get("meta") if isinstance(found, dict) else None
    return not isinstance(meta, dict) or meta.get("nbmlops") != BY_CELL


def write_suite(name: str, data: bytes) -> Path:
    """Put a suite beside the notebook; return its path.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    path = Path(suite_path(check_name(name)))
    try:
        path.parent.mkdir(exist_ok=True)
        replace_file(path, data, point="suite")
    except OSError as error:
        raise UsageError(f"{path.as_posix()!r} cannot be written: {error.strerror}", code="NB631", fix="make its folder writable") from error
    return path
