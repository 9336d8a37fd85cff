"""The magics of promotion, in a shell that never imports MLflow."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.promotion.office import Office

SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from nbmlops.errors import NbmlopsError
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nbmlops")
for line in (
    "mlmodels",
    "mlpromote flight-delay 2 --to champion --reason 'better on every route'",
    "mlpromote flight-delay 3 --to champion --reason please",
    "mlpromote flight-delay 3 --to champion",
    "mlpromote flight-delay three --to champion --reason x",
    "mlmodels flight-delay",
    "mlrollback flight-delay --reason 'no good'",
    "mlhistory flight-delay",
    "mlpromote flight-dealy",
):
    try:
        shell.run_line_magic(*line.split(" ", 1) if " " in line else (line, ""))
    except NbmlopsError as error:
        print(*error._render_traceback_())
shell.is_stage_process = True
try:
    shell.run_line_magic("mlpromote", "flight-delay 2 --to champion --reason x")
except NbmlopsError as error:
    print(*error._render_traceback_())
print("mlflow" in sys.modules)
"""


def test_the_acts_of_a_kernel(office: Office) -> None:
    """They say what the commands say, in one line where they refuse, and MLflow stays in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SHELL], cwd=office.root, env=dict(os.environ), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["flight-delay", "champion of flight-delay means version 2 now; before nothing"]
    assert any(line.startswith("NB651: version 3 of 'flight-delay' may not be champion") for line in lines)
    assert "NB004: %mlpromote: --reason is missing; write %mlpromote MODEL VERSION --to ALIAS --reason TEXT" in lines
    assert any(line.startswith("NB004: VERSION is 'three'") for line in lines)
    assert "✗ version 3: gate roc_auc >= champion.roc_auc - 0.01 of stage train does not hold: 0.5 against 0.74" in lines
    assert any(line.startswith("NB661: champion of 'flight-delay' meant nothing before") for line in lines)
    assert any("Ada <ada@example.org>" in line and "better on every route" in line for line in lines)
    assert any(line.startswith("NB665:") for line in lines)
    assert "! no model is registered as 'flight-dealy'; did you mean 'flight-delay'?" in lines  # no error, which would stop Run All
    assert lines[-1] == "False"
