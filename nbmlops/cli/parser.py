"""Arguments that several verbs share, read the same way everywhere."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from nbmlops.errors import UsageError
from nbmlops.session.batch import Session, open_notebook
from nbmlops.session.parameters import names_of, read_parameter_file

__all__ = ["Parser", "add_json", "add_notebook", "add_parameters", "given_parameters", "open_session", "print_json"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are our errors: one line, exit 2."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{self.prog}: {message}", code="NB004", fix=f"see {self.prog} --help")


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
    values: dict[str, Any] = {}
    for name in options.files:
        values.update(read_parameter_file(Path(name)))
    values.update(names_of(options.pairs))
    return values


def open_session(options: argparse.Namespace, **settings: Any) -> Session:  # noqa: ANN401 - fields of Settings
    """Open the notebook that the command names."""
    return open_notebook(options.notebook, store=options.store, **settings)


def print_json(data: Any) -> None:  # noqa: ANN401 - JSON data
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()
