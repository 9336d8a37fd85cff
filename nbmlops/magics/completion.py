"""Complete the options of the magics, and stage and parameter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.pipeline.model import Pipeline

__all__ = ["complete", "expectation_names", "install_completion", "remove_completion"]

_IDENTIFIER = "nbmlops"

_RUN = ("-p", "-f", "--stage", "--force", "--force-stage", "--workers", "--executor", "--no-track", "--fail-fast")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "%mlrun": _RUN,
    "%mlsweep": (
        "--trials",
        "--maximize",
        "--minimize",
        "--space",
        "-p",
        "-f",
        "--workers",
        "--sampler",
        "--pruner",
        "--name",
        "--storage",
        "--seed",
        "--no-track",
        "--wait",
    ),
    "%mlgraph": ("--format",),
    "%mlstatus": ("-p", "-f"),
    "%mlwhy": ("-p", "-f"),
    "%mlcompare": ("--store",),
    "%%mlexpect": ("--on",),
    "%mlload": ("--run",),
    "%mlcheck": (),
    "%mlpipeline": ("use",),
}
_TAKES_STAGE = ("--after", "--stage", "--force-stage")
_NAMES_FIRST = ("%mlwhy", "%mlload")


def install_completion(shell: InteractiveShell, known: Callable[[], Pipeline]) -> None:
    """Register a matcher for the magics' lines, where Jedi's names would bury the options."""
    from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher  # noqa: PLC0415 - loaded already

    @context_matcher(identifier=_IDENTIFIER, priority=100)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        line = context.text_until_cursor
        words = line.split()
        if len(words) == 1 and not line.endswith(" ") and context.full_text.lstrip().startswith("%%mlexpect") and words[0].startswith("exp"):
            names = [SimpleCompletion(text=name, type="expectation") for name in expectation_names() if name.startswith(words[0])]
            return {"completions": names, "suppress": True, "matched_fragment": words[0]}
        if not words or words[0] not in {"%%mlstage", *_OPTIONS} or (len(words) == 1 and not line.endswith(" ")):
            return {"completions": []}
        symbol = "" if line.endswith(" ") else words[-1]
        found = [SimpleCompletion(text=text, type="option") for text in complete(line, symbol, known)]
        return {"completions": found, "suppress": True, "matched_fragment": symbol}

    remove_completion(shell)
    shell.Completer.custom_matchers.append(matcher)


def remove_completion(shell: InteractiveShell) -> None:
    """Take the matcher out again."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [item for item in matchers if getattr(item, "matcher_identifier", None) != _IDENTIFIER]


def expectation_names() -> list[str]:
    """Return the names of Great Expectations' own expectations, read off its files: importing it takes seconds."""
    import re  # noqa: PLC0415 - only once somebody completes
    from importlib.util import find_spec  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    spec = find_spec("great_expectations")
    names = Path(spec.origin).parent / "expectations" / "core" / "__init__.py" if spec is not None and spec.origin else None
    if names is None or not names.is_file():
        return []
    found = set(re.findall(r"^from \S*\b(expect_\w+) import", names.read_text(encoding="utf-8"), re.MULTILINE))
    return sorted(found - {"expect_multicolumn_values_to_be_unique"})  # an old name, which makes no expectation


def complete(line: str, symbol: str, known: Callable[[], Pipeline]) -> list[str]:
    """Return what can stand at the end of `line`.

    Parameters
    ----------
    line : str
        The text up to the cursor.
    symbol : str
        The word that is being written, "" after a space.
    known : callable
        Returns the pipeline whose stages and parameters are offered.
    """
    words = line.split()
    magic = words[0] if words else ""
    previous = words[-1] if line.endswith(" ") else (words[-2] if len(words) > 1 else "")
    if previous in _TAKES_STAGE or (magic in _NAMES_FIRST and previous == magic):
        found = list(known().stages)
    elif previous == "-p":
        found = list(known().parameters)
    elif magic == "%%mlstage":
        from nbmlops.notebook.directive import OPTIONS  # noqa: PLC0415 - only once somebody completes

        found = [f"--{option.flag}" for option in OPTIONS]
    else:
        found = [*_OPTIONS.get(magic, ())]
    return sorted(name for name in found if name.startswith(symbol))
