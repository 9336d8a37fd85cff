"""The entry point of the command line: find the verb, run it, turn what goes wrong into one line and an exit code."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import nbmlops
from nbmlops.arguments import Parser
from nbmlops.cli.streams import guard_streams, undelivered
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["VERBS", "main"]

VERBS = {
    "run": "run what is stale and write the executed notebook",
    "graph": "show the stages and what they read from each other",
    "check": "list every diagnostic",
    "status": "show what a run would do, without running it",
    "why": "say why a stage is stale, or fresh",
    "verify": "run every stage twice, the second time under other conditions, and name what differs",
    "sweep": "run trials with parameters that Optuna chooses",
    "compare": "show what differs between runs, or trials of a sweep",
    "models": "list registered models, or the versions of one with their gates",
    "promote": "let an alias mean a version of a model, if its gates hold",
    "rollback": "let an alias mean what it meant before",
    "history": "show who moved which alias of a model and why, and verify that",
    "stage": "run one stage: the command that every scheduler schedules",
    "store": "list, show, get, collect and verify what is kept",
    "track": "send what trackers have not got yet",
    "doctor": "say what this environment can and cannot do",
}
_INTERRUPTED = 130
_GARBAGE = 50_000  # new objects until garbage is looked for: syntax trees are many, and alive


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is not None:
        return _answer(words)
    guard_streams()
    gc.set_threshold(_GARBAGE, 20, 50)
    try:
        code = _delivered(_answer(words))
    except KeyboardInterrupt:  # once more, while the first one was told
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        # `python -m` ends itself by the signal if that came in code compiled from a text, such as that of a dataclass, although it was caught
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    gc.freeze()  # the process ends: looking for garbage in all that is alive would be a tenth of a run with nothing to do
    _end(code)
    return code


def _delivered(code: int) -> int:
    """Say so if nobody can have got what was printed; how the work itself ended stands."""
    lost = undelivered()
    if lost is not None:
        print(f"{lost.code}: {lost}", file=sys.stderr)
    return code or (lost.exit_code if lost is not None else 0)


def _end(code: int) -> None:
    """End the process at once, without taking apart what the system takes back, unless somebody waits for its end: atexit, a thread, a profiler."""
    watched = sys.getprofile() is not None or sys.gettrace() is not None
    if code == _INTERRUPTED and not watched:
        # a library's thread would get the signal that this one has blocked (see `main`), and the end would be that of a signal
        atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter would do
        sys.stderr.flush()
        os._exit(code)
    if watched or atexit._ncallbacks() or len(sys._current_frames()) > 1:  # noqa: SLF001 - nothing public tells
        return
    sys.stderr.flush()
    os._exit(code)


def _answer(words: list[str]) -> int:
    """Run a command and turn what goes wrong into one line and an exit code."""
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not for `nohup`
            signal.signal(signal.SIGHUP, _interrupt)
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted(words)
    except Exception as error:
        if _came_of_interrupt(error):
            return _interrupted(words)
        if isinstance(error, FileNotFoundError) and not _has_folder():
            error = UsageError("the folder that this command was started in is gone", code="NB674", fix="change to one that is there")
        if not isinstance(error, NbmlopsError):
            raise
        return _tell(error, words)
    return code


def _interrupted(words: list[str]) -> int:
    if "--json" in words:
        error = {"code": "NB010", "message": "interrupted", "cell": None, "fix": "run the same command again"}
        print(json.dumps({"error": error, "diagnostics": []}))
    print("interrupted: finished stages are kept; the same command continues", file=sys.stderr)
    return _INTERRUPTED


def _came_of_interrupt(error: BaseException | None) -> bool:
    """Tell whether an interrupt was made another error on its way: the making of a class wraps it, a clean-up that was half done hides it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _has_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - whether it is there, not which it is
    except FileNotFoundError:
        return False
    return True


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        print(f"nbmlops {nbmlops.__version__}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        near = close_matches(verb, VERBS)
        raise UsageError(f"there is no verb {verb!r}", code="NB002", fix=f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(VERBS)}")
    module = importlib.import_module(f"nbmlops.cli.{verb}")
    parser = Parser(prog=f"nbmlops {verb}", description=VERBS[verb], epilog=f"example: {module.EXAMPLE}")
    module.add_arguments(parser)
    try:
        # intermixed: OUTPUT may come after the options; argparse cannot do that below a second verb (`store ls`)
        options = (parser.parse_args if verb == "store" else parser.parse_intermixed_args)(words[1:])
    except SystemExit as end:  # --help
        return int(end.code or 0)
    code: int = module.run(options)
    return code


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {text}" for name, text in VERBS.items()]
    return "\n".join(["usage: nbmlops VERB ...", "", *lines, "", "nbmlops VERB --help shows the options of a verb"])


def _tell(error: NbmlopsError, words: list[str]) -> int:
    if "--json" in words:
        fields = {"code": error.code, "message": error.message, "cell": error.cell, "fix": error.fix}
        print(json.dumps({"error": fields, "diagnostics": getattr(error, "diagnostics", [])}))
    print(f"{error.code}: {error}", file=sys.stderr)
    others = sum(item["severity"] == "error" for item in getattr(error, "diagnostics", [])) - 1
    if others > 0:
        import shlex  # noqa: PLC0415 - few commands name what to run next

        print(f"{others} more {'error' if others == 1 else 'errors'}: nbmlops check {shlex.quote(str(error.notebook))}", file=sys.stderr)
    return error.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
