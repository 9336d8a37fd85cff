"""Tables of cases as text: a notebook of a few cells, and what is said of it.

A case begins with ``# title``, perhaps a line ``[3.12]`` for the Python that it needs. Then come its cells, each below a line ``--- WHAT``:

- ``--- NAME OPTIONS`` is a stage with the magic line, ``--- NAME tag`` one with the tag ``stage:NAME``;
- ``--- setup``, ``--- parameters``, ``--- skip`` are cells with that tag, ``--- code`` and ``--- report`` have none;
- ``--- file PATH`` is a file beside the notebook.

Below ``===`` stands what is expected, in lines that the table's own test reads.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.acceptance.project import Cell, cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Case", "Part", "cases"]

_ROLES = frozenset({"setup", "parameters", "skip"})
_UNTAGGED = frozenset({"code", "report"})


@dataclass(frozen=True)
class Part:
    """One cell: what it is, its options, its code."""

    what: str
    options: str
    code: str

    @property
    def stage(self) -> str | None:
        """The stage that it belongs to."""
        return None if self.what in _ROLES | _UNTAGGED else self.what

    @property
    def cell(self) -> Cell:
        """The cell as a notebook has it."""
        if self.stage is None:
            return cell(self.code, *({self.what} & _ROLES))
        if self.options == "tag":
            return cell(self.code, f"stage:{self.stage}")
        return cell(f"%%mlstage {self.stage} {self.options}".rstrip() + f"\n{self.code}")


@dataclass
class Case:
    """One row of a table."""

    title: str
    parts: list[Part] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    expected: list[str] = field(default_factory=list)
    python: tuple[int, ...] = (3, 11)

    def write_files(self, folder: Path) -> None:
        """Put the case's files into a folder."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def cases(folder: Path) -> list[Case]:
    """Read the tables of a folder; rows that this Python cannot parse are none of its table."""
    found = [case for path in sorted(folder.glob("*.txt")) for case in _read(path)]
    titles = [case.title for case in found]
    assert len(set(titles)) == len(titles), sorted(title for title in titles if titles.count(title) > 1)
    return [case for case in found if case.python <= sys.version_info[:2]]


def _read(path: Path) -> Iterator[Case]:
    for text in re.split(r"\n\n(?=# .*\n(?:\[|--- ))", "\n\n" + path.read_text(encoding="utf-8")):
        if not text.strip():
            continue
        head, _, below = text.strip("\n").partition("\n===")
        title, *lines = head.splitlines()
        case = Case(f"{path.stem}: {title.removeprefix('# ')}", expected=[line for line in below.splitlines() if line.strip()])
        if lines[0].startswith("["):
            case.python = tuple(int(part) for part in lines.pop(0).strip("[]").split("."))
        for piece in re.split(r"^--- ", "\n".join(lines), flags=re.MULTILINE)[1:]:
            first, _, code = piece.partition("\n")
            what, _, options = first.strip().partition(" ")
            if what == "file":
                case.files[options] = code
            else:
                case.parts.append(Part(what, options, code.rstrip("\n")))
        yield case
