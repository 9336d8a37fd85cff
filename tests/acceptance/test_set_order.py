"""The order of a set is one order throughout a pipeline, as it is in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.project import Project

TEXT = "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness it was the epoch of belief"
CELLS = (
    f"%%mlstage words\nwords = set({TEXT!r}.split()) - {{'it', 'was'}}\nfirst = list(words)\nnumbers = {{8, 0, 16, 5}}",
    "%%mlstage table\ncolumns = list(words)\nsame = [columns == first, list(numbers)]",
    "print(columns, first, same)",
)


def test_a_later_stage_iterates_a_set_as_the_first_did(project: Project) -> None:
    """Labels that are taken from a set in one stage fit what is taken from it in another."""
    project.write(CELLS)
    done = project.run()
    assert done.code == 0, done.err
    run = done.data["run_id"]
    assert project.value(run, "table", "columns") == project.value(run, "words", "first")
    # compiled from its text, as a cell is: a set that comes from byte code may have another order
    assert project.value(run, "table", "same") == [True, eval("list({8, 0, 16, 5})")]


def test_an_equal_set_in_another_order_is_another_input(project: Project) -> None:
    """A stage that lists a set runs again when an edit changes its order, and is reused when it does not."""
    cells = ("%%mlstage make\ns = {8, 0}", "%%mlstage use\nt = list(s)", "print(t)")
    project.write(cells)
    project.run()
    project.write(("%%mlstage make\ns = {0, 8}", *cells[1:]))
    changed = project.run()
    assert changed.statuses == {"make": "ran", "use": "ran"}
    assert project.value(changed.data["run_id"], "use", "t") == [0, 8]
    project.write(("%%mlstage make\ns = set([0]) | {8}", *cells[1:]))
    assert project.run().statuses == {"make": "ran", "use": "reused"}
