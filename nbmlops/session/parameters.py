"""Check the parameters that a user gives against those that the notebook declares."""

from __future__ import annotations

import json
import keyword
import math
from typing import TYPE_CHECKING, Any

from nbmlops.errors import UsageError
from nbmlops.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nbmlops.pipeline.model import Parameter

__all__ = ["check_parameters", "parse_value", "read_parameter_file"]


def parse_value(name: str, text: str) -> Any:  # noqa: ANN401 - YAML data
    """Read a value as YAML 1.2: ``1e-3`` is a float, ``yes`` a string, ``[a, b]`` a list.

    Raises
    ------
    UsageError
        If it is not YAML, or has an alias or a tag.
    """
    return _yaml(text, f"parameter {name!r}")


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Read a YAML file of names to values.

    Raises
    ------
    UsageError
        If it cannot be read, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the parameter file {path} cannot be read: {error}", code="NB006", fix="give a YAML file of names to values") from error
    data = _yaml(text, f"the parameter file {path}")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"the parameter file {path} holds a {type(data).__name__}", code="NB006", fix="give a mapping of names to values")
    return data


def check_parameters(given: Mapping[str, Any], declared: Mapping[str, Parameter], notebook: str) -> dict[str, Any]:
    """Return the values that override the defaults, each of the type that its default asks for.

    Raises
    ------
    UsageError
        For a name that the notebook does not declare or that is no identifier, a value whose type the default rules out, and one
        that JSON does not give back as it was.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        _check_name(name, declared, notebook)
        found[name] = _check_value(declared[name], value, notebook)
    return found


def all_parameters(declared: Mapping[str, Parameter], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with the value that it has in a run, as JSON; an expression stands as None."""
    return {name: overrides[name] if name in overrides else _shown(item.default) for name, item in declared.items()}


def _check_name(name: str, declared: Mapping[str, Parameter], notebook: str) -> None:
    if not str(name).isidentifier() or keyword.iskeyword(str(name)):
        raise UsageError(f"{name!r} is no name of a parameter", code="NB001", notebook=notebook, fix=_known(declared))
    if name not in declared:
        near = close_matches(name, declared)
        fix = f"did you mean {near[0]!r}?" if near else _known(declared)
        raise UsageError(f"the notebook has no parameter {name!r}", code="NB001", notebook=notebook, fix=fix)


def _known(declared: Mapping[str, Parameter]) -> str:
    if not declared:
        return "tag a cell 'parameters' that assigns it a default"
    return f"its parameters are: {', '.join(declared)}"


def _check_value(parameter: Parameter, value: Any, notebook: str) -> Any:  # noqa: ANN401 - JSON data
    _check_round_trip(parameter, value, notebook)
    default = parameter.default
    if not parameter.literal or default is None or value is None or type(value) is type(default):
        return value
    if type(default) is float and type(value) is int and _is_float(value):
        return float(value)
    if type(default) is int and type(value) is float:
        return value
    if isinstance(default, tuple) and isinstance(value, list):
        return value
    raise UsageError(
        f"parameter {parameter.name!r} is {value!r}, {_a(value)}, but its default {default!r} is {_a(default)}",
        code="NB007",
        notebook=notebook,
        cell=parameter.cell,
        fix=f"give {_a(default)}",
    )


def _is_float(value: int) -> bool:
    """Tell whether a float has exactly this value: 2**53 + 1 would become another number, and 10**400 none at all."""
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _a(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _check_round_trip(parameter: Parameter, value: Any, notebook: str) -> None:  # noqa: ANN401
    try:
        same = _same(json.loads(json.dumps(value)), value)
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise UsageError(
            f"parameter {parameter.name!r} has a value of type {type(value).__name__}, which would not come back as it is",
            code="NB008",
            notebook=notebook,
            cell=parameter.cell,
            fix="give a number, string, boolean, null, or a list or mapping (with string keys) of these",
        )


def _same(back: Any, value: Any) -> bool:  # noqa: ANN401
    if type(back) is not type(value):
        return False
    if isinstance(value, dict):
        return list(back) == list(value) and all(_same(back[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(back) == len(value) and all(map(_same, back, value))
    return bool(back == value) or (isinstance(value, float) and math.isnan(value) and math.isnan(back))


def _shown(value: Any) -> Any:  # noqa: ANN401
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return repr(value)


def _yaml(text: str, what: str) -> Any:  # noqa: ANN401
    from ruamel.yaml import YAML  # noqa: PLC0415 - only where parameters are given
    from ruamel.yaml.constructor import SafeConstructor  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    from ruamel.yaml.tokens import AliasToken  # noqa: PLC0415

    class CoreConstructor(SafeConstructor):
        """YAML 1.2's core schema has no dates: ``2013-01-01`` is a string."""

    CoreConstructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _loader, node: node.value)
    parser = YAML(typ="safe", pure=True)
    parser.Constructor = CoreConstructor
    try:
        if any(isinstance(token, AliasToken) for token in YAML(typ="safe", pure=True).scan(text)):
            raise UsageError(f"{what} has a YAML alias", code="NB006", fix="write the value out")
        return parser.load(text)
    except (YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{what} is not YAML: {problem}", code="NB006", fix="quote the value, for example -p name '\"text\"'") from error


def names_of(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Parse the pairs of ``-p NAME VALUE``; the last of a repeated name wins."""
    return {name: parse_value(name, text) for name, text in pairs}
