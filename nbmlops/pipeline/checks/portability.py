"""``NB5xx``: what works in this kernel and in this notebook, and not in batch, in a text file or on another machine."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nbmlops.notebook.roles import Role
from nbmlops.pattern import pattern
from nbmlops.pipeline.checks.libraries import ASKING, PROCESSES, WIDGETS
from nbmlops.pipeline.checks.sites import magic_words, shown
from nbmlops.pipeline.effects import NO_EFFECTS
from nbmlops.pipeline.model import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.notebook.roles import RoledCell
    from nbmlops.pipeline.checks.checked import Checked, StageCode
    from nbmlops.pipeline.checks.sites import Sites

__all__ = ["cell_marks", "installations", "questions", "shell_commands", "unseen_processes", "widgets"]

# what jupytext takes for the beginning of a cell, in its own words
_MARK = pattern(r"^\s*#\s*(?:%%%*\s.*|(?:%%|<codecell>|In\[[0-9 ]*\]:?)\s*)$")
_INSTALLING = pattern(
    r"\s*(?:sudo\s+)?(?:[\w./{}-]*python[\d.]*\s+-m\s+)?(?:pip3?|conda|mamba|uv|poetry|apt|apt-get|yum|brew)\s+(?:-\S+\s+)*(?:pip\s+)?(?:install|add|sync)\b"
)
_SHOWING = pattern(
    r"\s*(?:ls|pwd|echo|nvidia-smi|date|df|du|free|uname|which|whoami|hostname|head|tail|wc|tree|lscpu|pip\s+(?:list|show|freeze)|python3?\s+--version)\b[^|>&;]*$"
)
_SHELL_MAGICS = frozenset({"!", "bash", "cmd", "perl", "ruby", "script", "sh", "sx", "system", "sc"})
_INSTALL_MAGICS = frozenset({"conda", "mamba", "pip", "uv"})
_LIVE_BACKENDS = frozenset({"gtk", "ipympl", "nbagg", "notebook", "osx", "qt", "qt5", "qt6", "tk", "widget", "wx"})

_PASSWORD = pattern(r"//\S+@")
_ANSWERS = {
    "input": 'make it a parameter: answer = "yes" in the cell with the tag parameters',
    "getpass.getpass": 'os.environ["TOKEN"], and --secret TOKEN behind %%mlstage NAME, which hides its value',
}


def cell_marks(checked: Checked) -> Iterator[Diagnostic]:
    """Find lines inside a cell that begin a new one where the notebook is kept as text (NB501)."""
    for roled in checked.cells:
        if roled.cell.kind != "code" or not ("%%" in roled.body or "codecell" in roled.body or "In[" in roled.body):
            continue
        for number, line in enumerate(roled.body.splitlines(), start=1):
            if _MARK.match(line) and not _inside_text(roled, number):
                yield Diagnostic(
                    code="NB501",
                    severity="warning",
                    message=f"the line {line.strip()[:40]!r} inside a cell begins a new cell where the notebook is kept as a .py file",
                    fix=f"split the cell there, or write # --{line.strip().lstrip('# ').lstrip('%').rstrip()[:40]}",
                    cell=roled.cell.index,
                    line=number,
                    stage=roled.stage,
                )


def _inside_text(roled: RoledCell, line: int) -> bool:
    if roled.tree is None:
        return False
    texts = (node for node in ast.walk(roled.tree) if isinstance(node, (ast.Constant, ast.JoinedStr)))
    return any(node.lineno <= line <= (node.end_lineno or node.lineno) and node.lineno != node.end_lineno for node in texts)


def shell_commands(checked: Checked) -> Iterator[Diagnostic]:
    """Find commands that a stage starts, whose files nobody sees (NB502); ``--file`` or ``--writes`` accepts them."""
    for code in checked.code:
        if all(directive.files or directive.writes or not directive.cache for directive in code.directives):
            continue
        for call, text in _commands(code.sites):
            if _INSTALLING.match(text) or (_SHOWING.match(text) and isinstance(code.sites.parents.get(call), ast.Expr)):
                continue
            # only its name: an argument may be a password
            command = next(iter(text.split()), "!")
            what = f"starts a command, {command}: the files that it reads and writes are not seen, and it may be missing on another machine"
            fix = f"name its files: %%mlstage {code.stage} --file INPUT --writes OUTPUT"
            yield code.finding(call, "NB502", "warning", what, fix)


def _commands(sites: Sites) -> Iterator[tuple[ast.Call, str]]:
    for call in sites.calls:
        words = magic_words(call)
        first = call.args[0] if call.args else None
        if words is not None:
            if words[0] in _SHELL_MAGICS:
                yield call, (" ".join(words[1:]) if words[0] in {"!", "sx", "system", "sc"} else f"%%{words[0]}")
        elif _is_shell(call):
            yield call, first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "!"
        elif (name := sites.name(call.func)) in PROCESSES:
            yield call, name


def _is_shell(call: ast.Call) -> bool:
    """Tell ``get_ipython().system(...)``, which IPython makes of ``!``."""
    func = call.func
    if not (isinstance(func, ast.Attribute) and func.attr in {"getoutput", "system"} and isinstance(func.value, ast.Call)):
        return False
    return isinstance(func.value.func, ast.Name) and func.value.func.id == "get_ipython"


def installations(checked: Checked) -> Iterator[Diagnostic]:
    """Find cells that install packages (NB503): in batch they run too late, or in every stage's process."""
    for sites in checked.sites:
        for call in sites.calls:
            words = magic_words(call)
            first = call.args[0] if call.args else None
            text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) and _is_shell(call) else ""
            if words is not None and words[0] in _INSTALL_MAGICS and "install" in words[1]:
                text = f"%{words[0]} {words[1]}"
            elif words is not None and words[0] in _SHELL_MAGICS and len(words) > 2:  # noqa: PLR2004 - a cell magic has a body
                text = next((line for line in words[2].splitlines() if _INSTALLING.match(line)), "")
            elif not _INSTALLING.match(text):
                text = ""
            if text:
                command = " ".join(_PASSWORD.sub("//***@", text).split())[:60]
                when = "after the stages" if sites.role is Role.REPORT else "in the process of each stage that runs it"
                yield Diagnostic(
                    code="NB503",
                    severity="warning",
                    message=f"the cell installs packages, {command}: in batch that happens {when}, not before",
                    fix="install them before the run, from a requirements.txt, and give the cell the tag skip",
                    cell=sites.cell,
                    line=call.lineno,
                    stage=sites.stage,
                )


def questions(checked: Checked) -> Iterator[Diagnostic]:
    """Find cells that wait for somebody to type (NB506): in batch nobody does, and the cell fails."""
    for sites in checked.sites:
        for call in sites.calls:
            name = sites.name(call.func)
            words = magic_words(call)
            if name in ASKING or (words is not None and words[0] == "debug"):
                what = shown(call) if words is None else "%debug"
                yield Diagnostic(
                    code="NB506",
                    severity="warning",
                    message=f"the cell waits for somebody to type, {what}: in batch it fails there",
                    fix=_ANSWERS.get(name, "remove the line"),
                    cell=sites.cell,
                    line=call.lineno,
                    stage=sites.stage,
                )


def widgets(checked: Checked) -> Iterator[Diagnostic]:
    """Find widgets and live figures in stages (NB504): in batch nobody moves them."""
    for code in checked.code:
        call, widget = next(((call, found) for call in code.sites.calls if (found := _widget(code, call))), (None, ""))
        if call is not None:
            what = f"makes something to be operated by hand, {widget}: in batch nobody does, and a reused stage shows it without life"
            yield code.finding(call, "NB504", "warning", what, "make its value a parameter, and move it to a cell that is no stage")


def _widget(code: StageCode, call: ast.Call) -> str:
    words = magic_words(call)
    if words is not None:
        return f"%matplotlib {words[1]}" if words[0] == "matplotlib" and words[1].strip() in _LIVE_BACKENDS else ""
    return shown(call.func) if WIDGETS.fullmatch(code.sites.name(call.func)) else ""


def unseen_processes(checked: Checked) -> Iterator[Diagnostic]:
    """Find the stages that were seen to start processes and declare no files (NB322); ``--file`` or ``--writes`` accepts it."""
    told = {item.stage for item in shell_commands(checked)}
    for name, stage in checked.pipeline.stages.items():
        seen = checked.effects.get(name, NO_EFFECTS).unseen
        unseen = [what for what in seen if name not in told or not what.startswith("the program")]
        if unseen and not (stage.directive.files or stage.directive.writes):
            yield Diagnostic(
                code="NB322",
                severity="warning",
                message=f"stage {name!r} starts {' and '.join(unseen)}: of what these read, only the files among their arguments are seen",
                fix="name the files with --file PATH and --writes PATH, variables with --env NAME",
                cell=stage.cells[0],
                stage=name,
            )
