"""What a suite of expectations says about a frame: each expectation met or not, and the evidence of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Check", "Validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What became of one expectation.

    Parameters
    ----------
    expectation : str
        Its name, as Great Expectations has it.
    about : str
        The column or columns that it is about; "" for the whole table.
    wanted : mapping of str to Any
        Its other arguments.
    severity : str
        ``critical``, ``warning`` or ``info``.
    met : bool
        Never true of one that could not be computed.
    observed : Any
        What was found, where the expectation is about one number of the column or table; else None.
    unexpected, looked_at : int or None
        How many values fail, and how many there are; None where values are not looked at one by one.
    examples : tuple
        A few values that fail.
    reason : str
        Why it could not be computed, or what its verdict does not say; "" for nothing.
    notes : str
        What its author wrote about it.
    """

    expectation: str
    about: str = ""
    wanted: Mapping[str, Any]
    severity: str = "critical"
    met: bool
    observed: Any = None
    unexpected: int | None = None
    looked_at: int | None = None
    examples: tuple[Any, ...] = ()
    reason: str = ""
    notes: str = ""

    @property
    def title(self) -> str:
        """The expectation and its column, in words."""
        return f"{self.expectation}({self.about})"

    @property
    def told(self) -> str:
        """Say in one line what was found instead of what is expected."""
        if self.reason:
            return f"{self.title}: {self.reason}"
        if self.unexpected:
            examples = f", such as {', '.join(map(str, self.examples[:3]))}" if self.examples else ""
            return f"{self.title}: {self.unexpected:,} of {self.looked_at:,} values{examples}"
        return self.title if self.observed is None else f"{self.title}: found {self.observed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a suite says about a frame.

    Parameters
    ----------
    name : str
        The suite's, or the one that was given.
    rows : int
        Of the frame.
    checks : tuple of Check
        In the order of the suite.
    reason : str
        Why the whole is refused whatever the expectations say; "" for nothing.
    digests : mapping of str to str
        Of the ``frame``, where it can be stored, and of the ``suite``.
    report : str or None
        The digest of Great Expectations' own result as JSON in the store; None outside a stage.
    """

    name: str
    rows: int
    checks: tuple[Check, ...]
    reason: str = ""
    digests: Mapping[str, str]
    report: str | None = None

    def __repr__(self) -> str:
        """Give one line: the table has been shown."""
        return self.headline

    @property
    def passed(self) -> bool:
        """Whether every critical expectation is met."""
        return not self.reason and not self.refusing

    @property
    def met(self) -> int:
        """How many expectations are met."""
        return sum(check.met for check in self.checks)

    @property
    def refusing(self) -> tuple[Check, ...]:
        """The critical expectations that are not met."""
        return tuple(check for check in self.checks if not check.met and check.severity not in {"warning", "info"})

    @property
    def warning(self) -> str:
        """What passes with a mark, in one line; "" for nothing."""
        marked = [check for check in self.checks if (not check.met and check.severity == "warning") or (check.met and check.reason)]
        return "; ".join(check.told for check in marked[:3]) + (f" (and {len(marked) - 3} more)" if len(marked) > 3 else "")  # noqa: PLR2004

    @property
    def refusal(self) -> str:
        """Why the frame is refused, in one line; "" where it is not."""
        if self.reason:
            return self.reason
        more = f" (and {len(self.refusing) - 1} more)" if len(self.refusing) > 1 else ""
        return f"{self.refusing[0].told}{more}" if self.refusing else ""

    @property
    def headline(self) -> str:
        """Say in one line how it went."""
        verdict = "refused" if not self.passed else "passed, with warnings" if self.warning else "passed"
        return f"{self.name}: {verdict}, {self.met} of {len(self.checks)} expectations met, {self.rows:,} rows"

    def evidence(self) -> dict[str, Any]:
        """Return what the gate leaves, as JSON."""
        found: dict[str, Any] = {
            "name": _line(f"expectations:{self.name}"),
            "judge": "expectations",
            "value": self.met,
            "threshold": len(self.checks),
            "passed": self.passed,
            "digests": dict(self.digests),
        }
        told = {"reason": _line(self.refusal), "warning": _line(self.warning), "report": self.report}
        return found | {name: text for name, text in told.items() if text}


def _line(text: str) -> str:
    """Return a text in one line: names of columns, and values, may hold anything."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
