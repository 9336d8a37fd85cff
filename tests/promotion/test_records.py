"""The acts from Python leave what those of the desk leave, which command, magics and panel call."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.promotion.office import MODEL

if TYPE_CHECKING:
    from tests.promotion.office import Office

PYTHON = """
import os
import sys
import nbmlops
event = nbmlops.promote("flight-delay", 1, to="champion", reason="the first")
assert (event.act, event.version, event.from_version) == ("promote", 1, None), event
nbmlops.promote("flight-delay", 3, to="champion", reason="a drill", override="to hear the alarms")
assert nbmlops.rollback("flight-delay", reason="it is over").version == 1
assert [event.act for event in nbmlops.history("flight-delay").events] == ["rollback", "override", "promote"]
assert nbmlops.models("flight-delay").aliases == {"champion": 1}
try:
    nbmlops.promote("flight-delay", 4, to="champion", reason="x")
except nbmlops.errors.GateRefused as error:
    assert error.exit_code == 3, error.exit_code
assert "mlflow" not in sys.modules
child = os.fork()
if not child:
    os._exit(nbmlops.models("flight-delay").aliases != {"champion": 1})  # with a process of its own, which leaves the parent's alone
assert os.waitpid(child, 0)[1] == 0
assert nbmlops.history("flight-delay").broken == ""
"""


def test_python_leaves_the_same_records(office: Office) -> None:
    """Who, why, evidence, from, to, notebook, commit, digests of data and environment: in the store's log, and in the registry's tags."""
    done = subprocess.run([sys.executable, "-c", PYTHON], cwd=office.root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    history = office.desk().history(MODEL)
    assert (history.broken, history.notes) == ("", ())
    looked = [(item.act, item.alias, item.from_version, item.version, item.reason, item.override) for item in reversed(history.events)]
    assert looked == [
        ("promote", "champion", None, 1, "the first", ""),
        ("override", "champion", 1, 3, "a drill", "to hear the alarms"),
        ("rollback", "champion", 3, 1, "it is over", ""),
    ]
    for item in history.events:
        assert (item.who, item.notebook, item.commit) == ("Ada <ada@example.org>", "nb.ipynb", "c0ffee")
        assert (item.data, item.environment, item.digest) == ({"data.csv": "d" * 64}, "e" * 64, f"{item.version:064x}")
        assert [gate["passed"] for gate in item.evidence] == [item.version == 1]
    tags = " ".join(text for name, text in office.registry.tags(MODEL).items() if name.startswith("nbmlops.promotion."))
    assert all(reason in tags for reason in ("the first", "a drill", "to hear the alarms", "it is over", "Ada", "c0ffee", "d" * 64, "e" * 64))
