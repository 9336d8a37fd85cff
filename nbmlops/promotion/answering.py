"""The process that works with the registry: ``python -m nbmlops.promotion.answering``.

Each line of its standard input is a question as JSON, and each line of its standard output the answer; it ends with its input. An act that it
is in the middle of is finished, though whoever asked has gone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nbmlops.errors import NbmlopsError
from nbmlops.promotion.base import REGISTRIES
from nbmlops.promotion.desk import Desk
from nbmlops.promotion.state import Candidate, Expected
from nbmlops.settings import Settings
from nbmlops.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["answer", "main"]


def main() -> None:
    """Answer until there are no more questions."""
    questions, answers = sys.stdin, _own_output()
    desks: dict[str, Desk] = {}
    for line in questions:
        question = json.loads(line)
        key = json.dumps(question["settings"], sort_keys=True)
        try:
            if key not in desks:
                desks[key] = _desk(question["settings"])
            told: dict[str, Any] = {"answer": answer(desks[key], question["act"], question["arguments"])}
        except NbmlopsError as error:
            told = {"error": {"kind": type(error).__name__, "message": error.message, "parts": _parts(error)}}
        except Exception as error:  # noqa: BLE001 - a fault of ours is told too, and the next question is answered
            message = f"the registry's process failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            parts = {"message": message, "code": "NB660", "notebook": None, "cell": None, "fix": "please report it"}
            told = {"error": {"kind": "NbmlopsError", "message": message, "parts": parts}}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def answer(desk: Desk, act: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Answer one question as JSON data."""
    return _ACTS[act](desk, dict(arguments))


def _own_output() -> TextIO:
    """Return what was standard output: whatever a library prints goes to standard error from now on."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


def _desk(told: Mapping[str, Any]) -> Desk:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    settings = Settings(**{**values, "project_root": Path(values["project_root"])})
    return Desk(settings, REGISTRIES.get(settings.registry)(settings.project_root), Store(settings.store, settings=settings))


def _parts(error: NbmlopsError) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if isinstance(value, (str, int, float, bool, type(None)))}


def _names(desk: Desk, _arguments: dict[str, Any]) -> list[str]:
    return list(desk.registry.names())


def _look(desk: Desk, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    return desk.look(**arguments).to_json()


def _history(desk: Desk, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    return desk.history(**arguments).to_json()


def _champion(desk: Desk, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    found = desk.champion(**arguments)
    return None if found is None else Candidate(version=found).to_json()


def _promote(desk: Desk, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    return desk.promote(**arguments | {"expected": _expected(arguments)}).to_json()


def _rollback(desk: Desk, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    return desk.rollback(**arguments | {"expected": _expected(arguments)}).to_json()


def _expected(arguments: dict[str, Any]) -> Expected | None:
    return None if arguments["expected"] is None else Expected(**arguments["expected"])


_ACTS: dict[str, Callable[[Desk, dict[str, Any]], Any]] = {
    "names": _names,
    "look": _look,
    "history": _history,
    "champion": _champion,
    "promote": _promote,
    "rollback": _rollback,
}

if __name__ == "__main__":
    main()
