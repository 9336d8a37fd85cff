"""The arguments of the verbs that are both a command and a magic, read the same way in both."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.errors import UsageError
from nbmlops.nearest import close_matches

if TYPE_CHECKING:
    from nbmlops.executors.progress import Watcher
    from nbmlops.session.batch import Session
    from nbmlops.session.promotions import Promotions
    from nbmlops.session.run import Run
    from nbmlops.session.sweep import SweepOptions

__all__ = [
    "Parser",
    "add_check",
    "add_compare",
    "add_graph",
    "add_history",
    "add_json",
    "add_models",
    "add_notebook",
    "add_promote",
    "add_rollback",
    "add_run",
    "add_status",
    "add_sweep",
    "add_verify",
    "add_why",
    "given_parameters",
    "given_words",
    "open_promotions",
    "open_session",
    "print_json",
    "run_session",
    "store_url",
    "strict_json",
    "sweep_options",
    "version_number",
]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our errors: one line, exit 2."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{self.prog}: {message}", code="NB004", fix=self._fix(message))

    def _fix(self, message: str) -> str:
        """Name the option that was meant, where one is near."""
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0] if message.startswith("unrecognized") else ""
        near = close_matches(unknown, self._option_string_actions) if unknown.startswith("--") else []
        return f"did you mean {near[0]}?" if near else f"see {self.prog} --help"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows the terminal's width without `shutil`, for which argparse would import three compressors with each command."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
        except (ValueError, OSError):
            columns = 80
        super().__init__(prog, width=columns - 2)


def add_notebook(parser: argparse.ArgumentParser) -> None:
    """Add NOTEBOOK and ``--store``."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="an .ipynb, or a .py in jupytext's percent format")
    parser.add_argument("--store", metavar="URL", help="where artifacts and records are kept (default: .nbmlops at the project root)")


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add ``-p NAME VALUE`` and ``-f FILE``."""
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="pairs", help="set a parameter; VALUE is YAML")
    parser.add_argument("-f", action="append", default=[], metavar="FILE.yaml", dest="files", help="set the parameters that a YAML file names")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else")


def given_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of ``-f`` and ``-p``; ``-p`` wins."""
    from nbmlops.session.parameters import names_of, read_parameter_file  # noqa: PLC0415 - help and version answer without a session

    values: dict[str, Any] = {}
    for name in options.files:
        values.update(read_parameter_file(Path(name)))
    values.update(names_of(options.pairs))
    return values


def given_words(options: argparse.Namespace) -> list[str]:
    """Return the words that a command about the same run needs too: the parameters, what looks secret masked, and the store."""
    from nbmlops.runner.redaction import MASK, looks_secret  # noqa: PLC0415 - only where something failed

    words = [word for name, value in options.pairs for word in ("-p", name, MASK if looks_secret(name, value) else value)]
    words = [*(word for name in options.files for word in ("-f", name)), *words]
    return [*words, "--store", options.store] if options.store else words


def open_session(options: argparse.Namespace, **settings: Any) -> Session:  # noqa: ANN401 - fields of Settings
    """Open the notebook that the command names."""
    from nbmlops.session.batch import open_notebook  # noqa: PLC0415 - help and version answer without a session

    return open_notebook(options.notebook, store=store_url(options.store), **settings)


def strict_json(data: Any) -> str:  # noqa: ANN401 - JSON data
    """Return JSON that every reader takes: NaN and infinities, which JSON has not, as their names."""
    return json.dumps(_finite(data), allow_nan=False)


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON data
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def store_url(given: str | None) -> str | None:
    """Return what ``--store`` names: a path on a command line starts at the working directory."""
    return given if given is None or "://" in given else str(Path(given).absolute())


def print_json(data: Any) -> None:  # noqa: ANN401 - JSON data
    """Print one JSON object on stdout."""
    sys.stdout.write(strict_json(data) + "\n")
    sys.stdout.flush()


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    add_notebook(parser)
    parser.add_argument("output", metavar="OUTPUT.ipynb", nargs="?", help="where the executed notebook goes (default: under the store)")
    add_parameters(parser)
    parser.add_argument("--stage", action="append", default=[], metavar="NAME", help="run this stage and what it needs; repeatable")
    forced = parser.add_mutually_exclusive_group()
    forced.add_argument("--force", action="store_true", help="run every stage again and replace its record")
    forced.add_argument("--force-stage", action="append", default=[], metavar="NAME", help="run this stage again; repeatable")
    parser.add_argument("--workers", type=int, metavar="N", help="stages that may run at once (default: one per CPU)")
    parser.add_argument("--executor", default="local", metavar="NAME", help="where stages run (default: local)")
    parser.add_argument("--fail-fast", action="store_true", help="let the first failure stop independent stages too")
    parser.add_argument("--no-track", action="store_true", help="tell no tracker about this run")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but what went wrong")
    add_json(parser)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sweep`."""
    add_notebook(parser)
    add_parameters(parser)
    parser.add_argument("--trials", type=int, required=True, metavar="N", help="how many finished trials are wanted in all")
    parser.add_argument("--maximize", action="append", default=[], metavar="METRIC", help="make this metric large; repeatable")
    parser.add_argument("--minimize", action="append", default=[], metavar="METRIC", help="make this metric small; repeatable")
    parser.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="NAME=EXPR",
        help="a parameter's range: float(0.001, 0.3, log), int(2, 8), choice(a, b); repeatable (default: as the parameters cell notes)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="stages that may run at once (default: one per CPU)")
    parser.add_argument("--sampler", default="tpe", metavar="NAME", help="tpe, random, grid, cmaes, gp or nsga2 (default: tpe)")
    parser.add_argument("--pruner", default="median", metavar="NAME", help="none, median, percentile, hyperband or halving (default: median)")
    parser.add_argument("--name", default="", help="the sweep's name; the same one continues it (default: the notebook's)")
    parser.add_argument("--storage", metavar="URL", help="where Optuna keeps it, such as sqlite:///sweeps.db (default: a journal in the store)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the sampler (default: the setting seed)")
    parser.add_argument("--no-track", action="store_true", help="tell no tracker about this sweep")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but what went wrong")
    parser.add_argument("--feed", action="store_true", help=argparse.SUPPRESS)  # for the process behind a panel: a line for each state
    add_json(parser)


def sweep_options(options: argparse.Namespace) -> SweepOptions:
    """Return what the arguments of `sweep` ask for."""
    from nbmlops.session.sweep import SweepOptions  # noqa: PLC0415 - help and version answer without Optuna

    space: dict[str, str] = {}
    for text in options.space:
        name, equals, expression = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--space is {text!r}", code="NB020", fix="write NAME=EXPR, such as 'learning_rate=float(0.01, 0.3, log)'")
        if name.strip() in space:
            raise UsageError(f"--space names {name.strip()!r} twice", code="NB020", fix="give each parameter one range")
        space[name.strip()] = expression
    return SweepOptions(
        trials=options.trials,
        maximize=tuple(options.maximize),
        minimize=tuple(options.minimize),
        space=space,
        parameters=given_parameters(options),
        workers=options.workers,
        sampler=options.sampler,
        pruner=options.pruner,
        name=options.name,
        storage=options.storage,
        seed=options.seed,
        track=not options.no_track,
    )


def run_session(session: Session, options: argparse.Namespace, watcher: Watcher | None) -> Run:
    """Run a session's notebook as the options of `run` ask."""
    return session.run(
        given_parameters(options),
        output=options.output,
        stages=options.stage,
        force=options.force,
        force_stage=options.force_stage,
        workers=options.workers,
        executor=options.executor,
        track=not options.no_track,
        fail_fast=options.fail_fast,
        watcher=watcher,
    )


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `graph`."""
    add_notebook(parser)
    parser.add_argument("--format", choices=("text", "json", "svg", "html", "mermaid"), default="text", help="what to print (default: text)")
    add_json(parser)


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check`."""
    add_notebook(parser)
    add_json(parser)


def add_status(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `status`."""
    add_notebook(parser)
    add_parameters(parser)
    add_json(parser)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    add_notebook(parser)
    add_parameters(parser)
    parser.add_argument("--stage", action="append", default=[], metavar="NAME", help="judge this stage; what it needs runs once; repeatable")
    add_json(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's id, the beginning of one, or SWEEP/NUMBER for a trial; two or more")
    parser.add_argument("--store", metavar="URL", help="which store (default: that of the project of this folder)")
    add_json(parser)


def add_why(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `why`."""
    add_notebook(parser)
    parser.add_argument("stage", metavar="STAGE", help="the stage to ask about")
    add_parameters(parser)
    add_json(parser)


def add_promote(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `promote`."""
    parser.add_argument("model", metavar="MODEL", help="the registered model's name")
    parser.add_argument("version", metavar="VERSION", help="the number of the version")
    parser.add_argument("--to", required=True, metavar="ALIAS", help="the alias that shall mean it, such as champion")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is recorded")
    parser.add_argument("--override", default="", metavar="TEXT", help="why it is promoted although a gate refuses; it is recorded")
    _add_act(parser)


def add_rollback(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rollback`."""
    parser.add_argument("model", metavar="MODEL", help="the registered model's name")
    parser.add_argument("--alias", default="", metavar="ALIAS", help="which alias goes back (default: the first of the setting promotion_aliases)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is recorded")
    _add_act(parser)


def _add_act(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--approver", default="", metavar="NAME", help="the second person, where the setting promotion_approver asks for one")
    _add_store(parser)
    add_json(parser)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="URL", help="which store (default: that of the project of this folder)")


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `history`."""
    parser.add_argument("model", metavar="MODEL", help="the registered model's name")
    parser.add_argument("--verify", action="store_true", help="exit 1 if the log, or an alias, is not what was written")
    _add_store(parser)
    add_json(parser)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models`."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a registered model's name (default: list the names)")
    _add_store(parser)
    add_json(parser)


def version_number(text: str) -> int:
    """Return the number of a version.

    Raises
    ------
    UsageError
        If it is none.
    """
    if text.isascii() and text.isdecimal() and 0 < len(text) <= len(str(2**31)) and int(text):
        return int(text)
    raise UsageError(f"VERSION is {text!r}", code="NB004", fix="give a number from 1; nbmlops models MODEL lists them")


def open_promotions(options: argparse.Namespace) -> Promotions:
    """Open the registered models of the project of this folder."""
    from nbmlops.session.promotions import Promotions  # noqa: PLC0415 - help and version answer without a session
    from nbmlops.settings import load_settings  # noqa: PLC0415

    return Promotions(load_settings(Path.cwd(), store=store_url(options.store)))
