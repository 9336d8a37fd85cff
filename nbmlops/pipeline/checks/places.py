"""What a stage takes from outside the notebook's folder: absolute paths, and the network."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.dataflow.files import FILE_CALLS
from nbmlops.pattern import pattern
from nbmlops.pipeline.checks.libraries import PATH_CALLS, is_network
from nbmlops.pipeline.checks.sites import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.dataflow.flow import PathUse
    from nbmlops.pipeline.checks.checked import Checked, StageCode
    from nbmlops.pipeline.model import Diagnostic

__all__ = ["absolute_paths", "network", "windows_paths"]

_ABSOLUTE = pattern(r"~|/(?!/)")
_WINDOWS = pattern(r"[A-Za-z]:[\\/]|\.{0,2}\\?(?:[\w .-]+\\)+[\w .-]+\.\w{1,6}$")
_URL = pattern(
    r"(?:https?|ftps?|s3a?|gcs|gs|abfss?|az|adl|hdfs|hf|sftp|ssh|postgres\w*(?:\+\w+)?|mysql(?:\+\w+)?|mssql\S*?|mongodb\S*?|redis|snowflake)://",
    re.IGNORECASE,
)
_SCRATCH = pattern(r"/(?:dev|proc|sys|tmp|var/tmp)(?:/|$)")
_DOWNLOADS = pattern(r"\s*(?:sudo\s+)?(?:wget|curl|git\s+clone|aws\s+s3|gsutil|kaggle|gdown|scp|rsync|ssh|huggingface-cli)\b")
_CONNECTING = frozenset({"sqlalchemy.create_engine", "pandas.read_sql", "pandas.read_sql_query", "pandas.read_sql_table", "pandas.read_html"})


def absolute_paths(checked: Checked) -> Iterator[Diagnostic]:
    """Find files named by a path from the root or from the home folder (NB306)."""
    for code, node, text in _paths(checked):
        if _ABSOLUTE.match(text) and not _SCRATCH.match(text) and text != "/":
            what = f"names a file by the path {text!r}, which is another file, or none, on another machine"
            yield code.finding(node, "NB306", "info", what, f"name it relative to the notebook: {_relative(checked, text)!r}; or make it a parameter")


def windows_paths(checked: Checked) -> Iterator[Diagnostic]:
    """Find paths that only Windows understands (NB505)."""
    for code, node, text in _paths(checked):
        if _WINDOWS.match(text):
            plain = re.sub(r"^[A-Za-z]:", "", text).replace("\\", "/")
            what = f"names a file by the Windows path {text!r}, which is no path elsewhere"
            yield code.finding(node, "NB505", "warning", what, f"write it with slashes, relative to the notebook: {_relative(checked, plain)!r}")


def _relative(checked: Checked, text: str) -> str:
    path = checked.document.path
    if path is not None and text.startswith("/"):
        folder = path.resolve().parent
        found = os.path.relpath(text, folder)
        if not found.startswith("../../"):
            return found
    return Path(text).name or "data"


def _paths(checked: Checked) -> Iterator[tuple[StageCode, ast.AST, str]]:
    """Yield the paths that stages name, with constants put in; what comes from a parameter is as it should be."""
    told: set[tuple[int, int, str]] = set()
    for code in checked.code:
        for call in code.sites.calls:
            first = call.args[0] if call.args else None
            if code.sites.name(call.func) in PATH_CALLS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                told.add((code.sites.cell, call.lineno, first.value))
                yield code, call, first.value
        for use in (*code.flow.files_read, *code.flow.files_written):
            text = None if use.function in checked.own_functions else _literal(checked, use, parameters=False)
            if text is not None and (code.sites.cell, use.line, text) not in told:
                yield code, ast.Pass(lineno=use.line), text


def _literal(checked: Checked, use: PathUse, *, parameters: bool) -> str | None:
    """Return a path's text with constants put in, and parameters if wanted; None if it is computed."""
    if not parameters and use.names and use.names[0] in checked.pipeline.parameters:
        return None
    parts = [checked.constants.get(part.id) if isinstance(part, ast.Name) else part for part in use.parts]
    # what follows the first part decides nothing about where the path begins
    return "".join(str(part) for part in parts if part is not None) if isinstance(parts[0], str) else None


def network(checked: Checked) -> Iterator[Diagnostic]:
    """Find what a stage gets from the network (NB307); ``--no-cache`` accepts it."""
    for code in checked.code:
        if all(not directive.cache for directive in code.directives):
            continue
        told: set[int] = set()
        for node, what in _reaches(checked, code):
            line = getattr(node, "lineno", 0)
            if line not in told:
                told.add(line)
                message = f"reaches the network, {_without_secrets(what)}: what is there is no part of its key, so a reused stage has the old answer"
                fix = f"run it each time: %%mlstage {code.stage} --no-cache; or keep the answer in a file and read that"
                yield code.finding(node, "NB307", "warning", message, fix)


def _without_secrets(address: str) -> str:
    """Leave out of an address what may be a password or a token."""
    return re.sub(r"//[^/@\s]+@", "//***@", address).partition("?")[0]


def _reaches(checked: Checked, code: StageCode) -> Iterator[tuple[ast.AST, str]]:
    for call in code.sites.calls:
        name = code.sites.name(call.func)
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        first = call.args[0] if call.args else None
        text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
        if (
            (is_network(name) and not name.startswith("urllib.request.Request"))
            or (name.startswith("torchvision.datasets.") and any(item.arg == "download" for item in call.keywords))
            or (name.startswith("transformers.") and method == "from_pretrained")
        ):
            yield call, shown(call.func)
        elif (method in FILE_CALLS or name in FILE_CALLS or name in _CONNECTING) and _URL.match(text):
            yield call, text
        elif method in {"system", "getoutput"} and _DOWNLOADS.match(text):
            yield call, text.split()[0]
    for use in (*code.flow.files_read, *code.flow.files_written):
        path = None if use.function in checked.own_functions else _literal(checked, use, parameters=True)
        if path is not None and _URL.match(path):
            yield ast.Pass(lineno=use.line), path
