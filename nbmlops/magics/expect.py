"""``%%mlexpect``: a suite of expectations, written in a cell."""

from __future__ import annotations

from IPython.core.magic import cell_magic, magics_class

from nbmlops.errors import UsageError
from nbmlops.magics.base import VerbMagics
from nbmlops.magics.running import run_stage

__all__ = ["ExpectMagics"]


@magics_class
class ExpectMagics(VerbMagics):
    """`%%mlexpect`."""

    @cell_magic
    def mlexpect(self, line: str, cell: str) -> None:
        """Write a suite of expectations to ``expectations/NAME.json``, and hold a frame to it.

        ::

            %%mlexpect NAME [--on FRAME]

        One expectation a line, in Great Expectations' own names: its values in the order of its fields, or a call with literals.
        ``severity=warning`` lets one pass with a mark. ``nbmlops.validate(df, "NAME")`` in a stage holds a frame to the suite.
        The cell is a stage, expect-NAME: what reads the suite runs after it, and again only if the suite has changed.

        Example::

            %%mlexpect flights --on flights
            expect_column_values_to_be_between distance 1 6000
            expect_column_values_to_be_in_set(column="origin", value_set=["EWR", "JFK", "LGA"], severity="warning")
        """
        __tracebackhide__ = True
        from nbmlops.gates.suites import is_written_by_hand  # noqa: PLC0415 - loading the extension stays light
        from nbmlops.notebook.expecting import read_line, split_expecting, suite_path, trouble_of  # noqa: PLC0415

        source = f"%%mlexpect {line}\n{cell}"
        trouble = trouble_of(source, cell=None, notebook=None)
        if trouble is not None:
            raise trouble
        name = read_line(line)[0]
        if is_written_by_hand(name):
            fix = "delete or rename it, or give the cell's suite another name"
            raise UsageError(f"there is a suite {suite_path(name)!r} that no cell has written", code="NB631", fix=fix)
        options, code = split_expecting(source) or ("", "")
        run_stage(self, options, code.lstrip("\n"), source=source)
