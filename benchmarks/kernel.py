"""`%%mlstage` in a live shell: what it adds to a trivial cell."""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import run
from benchmarks.table import Row

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peers

__all__ = ["rows"]

_MOST_MS = 5.0
_CELLS = 30
# Plain cells and stage cells in turn, each with code that never ran; IPython's own history is off, as its file would be shared.
_SCRIPT = """
import json, sys, time
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)

def timed(source):
    cpu, wall = time.process_time(), time.perf_counter()
    with capture_output():
        ran = shell.run_cell(source, store_history=True)
    assert ran.success, source
    return time.process_time() - cpu, time.perf_counter() - wall

count = int(sys.argv[1])
plain = [timed(f"p{number} = {number}") for number in range(count)]
timed("%load_ext nbmlops")
timed("%%mlstage first\\nv0 = 1")
stages = [timed(f"%%mlstage s{number}\\nv{number} = v{number - 1} + 1") for number in range(1, count + 1)]
assert shell.user_ns[f"v{count}"] == count + 1
again = [timed(f"%%mlstage s{count}\\nv{count} = v{count - 1} + {number}") for number in range(2, count)]
reused = [timed(f"%%mlstage s{count}\\nv{count} = v{count - 1} + {number}") for number in (2, 3) * 8]
print(json.dumps({"plain": plain, "first": stages, "again": again, "reused": reused}))
"""


def rows(folder: Path, _peers: Peers) -> list[Row]:
    """Measure stage cells that are new, edited and reused, by processor time and by the clock."""
    (folder / "pyproject.toml").touch()
    words = [sys.executable, "-c", _SCRIPT, str(_CELLS)]
    told: dict[str, list[tuple[float, float]]] = json.loads(run(words, folder, {"IPYTHONDIR": str(folder / "ipython")}).stdout)
    found: list[Row] = []
    for name, what in (("first", "new"), ("again", "edited"), ("reused", "reused")):
        for place, unit in enumerate(("CPU", "wall")):
            ours, plain = (median(times[place] for times in told[key]) * 1000 for key in (name, "plain"))
            found.append(
                Row(
                    measured=f"%%mlstage around a trivial cell, {what}, {unit}",
                    ours=f"{ours:.1f} ms",
                    theirs=f"plain cell {plain:.1f} ms",
                    ratio=f"+{ours - plain:.1f} ms",
                    target=f"at most +{_MOST_MS:g} ms",
                    met=ours - plain <= _MOST_MS,
                )
            )
    return found
