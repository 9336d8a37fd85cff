"""The options of a stage: one table, one parser for the magic line and for cell metadata."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError
from nbmlops.nearest import close_matches
from nbmlops.notebook.expecting import split_expecting
from nbmlops.notebook.expressions import parse_expression
from nbmlops.notebook.values import CHECKERS, STAGE_NAME, Kind
from nbmlops.pattern import pattern

__all__ = [
    "OPTIONS",
    "WRITTEN_BY_RUNS",
    "Directive",
    "Option",
    "directive_from_metadata",
    "parse_directive",
    "split_magic",
]

MAGIC = "mlstage"

# A run writes its outcome next to the options in `metadata.nbmlops`; an executed notebook is a notebook too.
WRITTEN_BY_RUNS = frozenset({"run", "status"})

_MAGIC_LINE = pattern(rf"(?P<above>\s*)%%{MAGIC}(?!\w)(?P<line>[^\n]*)(?P<body>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a stage, as parsing, help and completion need it.

    Parameters
    ----------
    flag : str
        The name, without dashes; the same in cell metadata.
    field : str
        The field of `Directive` that holds it.
    kind : str
        Which values it takes: a key of `CHECKERS`.
    metavar : str
        What help shows for the value; "" for a flag.
    help : str
        One line.
    changes_result : bool, default False
        Whether it is part of the stage key.
    repeatable : bool, default False
        Whether it may be given more than once, each adding to a list.
    may_be_empty : bool, default False
        Whether an empty list says something else than no option: `--out ""` is no output.
    """

    flag: str
    field: str
    kind: Kind
    metavar: str
    help: str
    changes_result: bool = False
    repeatable: bool = False
    may_be_empty: bool = False


OPTIONS: tuple[Option, ...] = (
    Option(
        flag="in",
        field="ins",
        kind="names",
        metavar="NAME,...",
        help="The variables that the stage reads, instead of those found by reading its code.",
        changes_result=True,
        repeatable=True,
        may_be_empty=True,
    ),
    Option(
        flag="out",
        field="outs",
        kind="names",
        metavar="NAME,...",
        help="The variables that the stage hands on, instead of those that later cells read.",
        changes_result=True,
        repeatable=True,
        may_be_empty=True,
    ),
    Option(
        flag="after",
        field="after",
        kind="stages",
        metavar="STAGE,...",
        help="Stages that must be done first.",
        repeatable=True,
    ),
    Option(
        flag="file",
        field="files",
        kind="paths",
        metavar="PATH,...",
        help="Input files or globs, relative to the notebook's folder.",
        changes_result=True,
        repeatable=True,
    ),
    Option(
        flag="writes",
        field="writes",
        kind="paths",
        metavar="PATH,...",
        help="Output files or globs, kept in the store and restored from it.",
        changes_result=True,
        repeatable=True,
    ),
    Option(
        flag="env",
        field="env",
        kind="variables",
        metavar="NAME,...",
        help="Environment variables that the result depends on.",
        changes_result=True,
        repeatable=True,
    ),
    Option(
        flag="metrics",
        field="metrics",
        kind="names",
        metavar="NAME,...",
        help="Variables, each a dict or a number, that are the stage's metrics.",
        changes_result=True,
        repeatable=True,
    ),
    Option(
        flag="require",
        field="require",
        kind="expressions",
        metavar="EXPR",
        help='A gate on the metrics, such as "roc_auc >= 0.7".',
        repeatable=True,
    ),
    Option(
        flag="if",
        field="condition",
        kind="expression",
        metavar="EXPR",
        help="Run the stage only if this is true.",
        changes_result=True,
    ),
    Option(flag="retries", field="retries", kind="count", metavar="N", help="How often to try again after a failure."),
    Option(
        flag="timeout",
        field="timeout_s",
        kind="duration",
        metavar="TIME",
        help="Stop the stage after this time: 90, 90s, 10m, 1h30m.",
    ),
    Option(flag="cpus", field="cpus", kind="amount", metavar="N", help="CPUs that the stage wants."),
    Option(flag="memory", field="memory_bytes", kind="size", metavar="SIZE", help="Memory that it wants: 4GiB, 500MB."),
    Option(flag="gpus", field="gpus", kind="count", metavar="N", help="GPUs that the stage wants."),
    Option(flag="image", field="image", kind="image", metavar="REF", help="Container image to run the stage in."),
    Option(
        flag="secret",
        field="secrets",
        kind="variables",
        metavar="ENVVAR,...",
        help="Environment variables whose values are passed on and never shown.",
        repeatable=True,
    ),
    Option(
        flag="seed",
        field="seed",
        kind="seed",
        metavar="N",
        help="Seed of the stage's random state, instead of the run's.",
        changes_result=True,
    ),
    Option(flag="no-cache", field="cache", kind="off", metavar="", help="Run the stage every time."),
)

_BY_FLAG = {option.flag: option for option in OPTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What a stage's magic line, or its cell metadata, says.

    Parameters
    ----------
    name : str
        The stage's name.
    ins, outs : tuple of str or None
        Variables that it reads and hands on; None where reading the code decides.
    after : tuple of str
        Stages that must be done first.
    files, writes : tuple of str
        Input and output files or globs.
    env : tuple of str
        Environment variables that it depends on.
    metrics : tuple of str
        Variables that are its metrics.
    require : tuple of str
        Expressions that must hold for its metrics.
    condition : str or None
        The expression of ``--if``.
    retries : int
        How often to try again.
    timeout_s : float or None
        The time it may take, in seconds; None is no limit.
    cpus : float or None
        CPUs that it wants.
    memory_bytes : int or None
        Memory that it wants.
    gpus : int or None
        GPUs that it wants.
    image : str or None
        Container image to run in.
    secrets : tuple of str
        Environment variables with secrets.
    seed : int or None
        Its own seed, from 0; None takes the run's.
    cache : bool
        Whether its result may be reused.
    kept_tags : tuple of str
        Tags of Kale that mean something elsewhere only, as they are written: labels, annotations, the parts of a secret.
    """

    name: str
    ins: tuple[str, ...] | None = None
    outs: tuple[str, ...] | None = None
    after: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    condition: str | None = None
    retries: int = 0
    timeout_s: float | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    image: str | None = None
    secrets: tuple[str, ...] = ()
    seed: int | None = None
    cache: bool = True
    kept_tags: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[str, ...]:
        """The variables whose rows its gates count, as ``rows.X`` does."""
        gates = (parse_expression(text) for text in self.require if "rows." in text)
        return tuple(name.removeprefix("rows.") for gate in gates for name in gate.names if name.startswith("rows."))

    def result_options(self) -> dict[str, Any]:
        """Return, as JSON data by flag, the options given that change the result; the order of a list does not."""
        default = _defaults()
        return {
            option.flag: sorted(value) if isinstance(value, tuple) else value
            for option in OPTIONS
            if option.changes_result and (value := getattr(self, option.field)) != default[option.field]
        }

    def given_options(self) -> dict[str, Any]:
        """Return, as JSON data by the names of cell metadata, every option that differs from its default."""
        default = _defaults()
        given = {option.flag: getattr(self, option.field) for option in OPTIONS if getattr(self, option.field) != default[option.field]}
        if not self.cache:
            given["no-cache"] = True
        if self.kept_tags:
            given["tags"] = self.kept_tags
        return {flag: list(value) if isinstance(value, tuple) else value for flag, value in given.items()}


@functools.cache
def _defaults() -> dict[str, Any]:
    return {item.name: item.default for item in fields(Directive)}


@functools.lru_cache(maxsize=1024)  # a kernel reads every cell of its notebook again around each cell that runs
def parse_directive(line: str, *, cell: int | None = None, notebook: str | None = None) -> Directive:
    """Parse what follows ``%%mlstage`` in a cell's first line.

    Parameters
    ----------
    line : str
        The stage's name and its options, quoted as in a shell.
    cell : int or None
        The cell's position, for messages.
    notebook : str or None
        The file as the user named it, for messages.

    Raises
    ------
    NotebookError
        If an option is unknown, given twice or has a bad value, or the name is missing or none.

    Examples
    --------
    >>> parse_directive("train --out model --timeout 10m").timeout_s
    600.0
    """
    builder = _Builder(cell, notebook, "%%mlstage ")
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        builder.refuse(f"cannot be read: {str(error).lower()}", "close the quotes; write a backslash twice")
    names: list[str] = []
    last: str | None = None
    while tokens:
        token = tokens.pop(0)
        if token.startswith("--"):
            last = _take_option(builder, token[2:], tokens)
        elif token.startswith("-"):
            builder.refuse(f"has the unknown option {token!r}", "options begin with two dashes")
        elif names:
            builder.refuse(f"has the unexpected word {token!r}", _quoting(last))
        else:
            names.append(token)
    if not names:
        builder.refuse("has no stage name", "write: %%mlstage NAME")
    return builder.directive(names[0])


def _take_option(builder: _Builder, text: str, tokens: list[str]) -> str:
    flag, equals, value = text.partition("=")
    option = builder.option(flag)
    if option.kind == "off":
        if equals:
            builder.refuse(f"gives --{flag} a value", f"write only --{flag}")
        builder.add(option, raw=True)
        return flag
    if not equals:
        if not tokens or tokens[0].startswith("--"):
            builder.refuse(f"gives --{flag} no value", f"write: --{flag} {option.metavar}")
        value = tokens.pop(0)
    builder.add(option, value)
    return flag


def _quoting(flag: str | None) -> str:
    option = _BY_FLAG.get(flag or "")
    if option is not None and option.kind in {"expression", "expressions"}:
        return f'quote the expression: --{option.flag} "roc_auc >= 0.7"'
    if option is not None and option.repeatable:
        return f"write a list without spaces: --{option.flag} {option.metavar}"
    return "write: %%mlstage NAME [--option value]..."


def directive_from_metadata(name: str, options: object, *, cell: int | None = None, notebook: str | None = None) -> Directive:
    """Read the same options from a tagged cell's ``{"nbmlops": {...}}``.

    Parameters
    ----------
    name : str
        The stage's name, from the tag ``stage:NAME``.
    options : Mapping
        The options, named as in the magic line; lists may be JSON lists or text with commas.
    cell : int or None
        The cell's position, for messages.
    notebook : str or None
        The file as the user named it, for messages.

    Raises
    ------
    NotebookError
        As `parse_directive` does.
    """
    builder = _Builder(cell, notebook, "the cell's metadata 'nbmlops' ")
    if not isinstance(options, Mapping):
        builder.refuse(f"are {options!r}, not an object", 'write them like {"nbmlops": {"out": ["model"]}}')
    for flag, value in options.items():
        if flag in WRITTEN_BY_RUNS or value is None:
            continue
        if flag in {"cache", "no-cache"}:
            if not isinstance(value, bool):
                builder.refuse(f"gives {flag!r} the value {value!r}", "write true or false")
            if (flag == "cache") != value:
                builder.add(_BY_FLAG["no-cache"], raw=True)
            continue
        builder.add(builder.option(str(flag)), value)
    return builder.directive(name)


class _Builder:
    """The options of one stage while they are read, and where to say they are wrong."""

    def __init__(self, cell: int | None, notebook: str | None, subject: str) -> None:
        self.cell = cell
        self.notebook = notebook
        self.subject = subject
        self.values: dict[str, Any] = {}

    def refuse(self, message: str, fix: str) -> NoReturn:
        raise NotebookError(self.subject + message, code="NB105", notebook=self.notebook, cell=self.cell, fix=fix)

    def option(self, flag: str) -> Option:
        if flag not in _BY_FLAG:
            near = close_matches(flag, _BY_FLAG)
            fix = f"did you mean --{near[0]}?" if near else f"known are: {', '.join(_BY_FLAG)}"
            self.refuse(f"has the unknown option {flag!r}", fix)
        return _BY_FLAG[flag]

    def add(self, option: Option, raw: object) -> None:
        try:
            value = CHECKERS[option.kind](raw)
        except ValueError as error:
            message, fix = error.args
            self.refuse(f"gives --{option.flag} {message}", fix)
        if option.repeatable:
            if not value and not option.may_be_empty:
                self.refuse(f"gives --{option.flag} nothing", f"write: --{option.flag} {option.metavar}")
            value = tuple(dict.fromkeys((*self.values.get(option.field, ()), *value)))
        elif option.field in self.values:
            self.refuse(f"gives --{option.flag} twice", "keep one of them")
        self.values[option.field] = value

    def directive(self, name: str) -> Directive:
        if not STAGE_NAME.fullmatch(name):
            fix = "a name begins with a letter and has up to 63 letters, digits, '-' and '_'"
            self.refuse(f"has the stage name {name!r}", fix)
        return Directive(name=name, **self.values)


def split_magic(source: str) -> tuple[str, str] | None:
    """Split a cell that begins with ``%%mlstage`` into its directive line and its body; one with ``%%mlexpect``, into those of the stage that it is.

    Parameters
    ----------
    source : str
        A code cell's text.

    Returns
    -------
    tuple of str and str, or None
        The line after ``%%mlstage``, and the body with an empty line in its place, so that line numbers hold;
        None where the first line that is not blank is something else.
    """
    match = _MAGIC_LINE.fullmatch(source)
    if match is None:
        return split_expecting(source)
    above = "\n" * match["above"].count("\n")
    return match["line"].strip(), above + match["body"]
