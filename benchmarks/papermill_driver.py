"""papermill in its own process, imports done: execute one notebook for each line read, and say what that cost.

Run by the peers' Python as a file of its own: it imports nothing of nbmlops.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import papermill  # noqa: TID253 - what this process is for


def main() -> None:
    """Serve lines of ``[notebook, output, parameters]`` with lines of ``[CPU seconds, wall seconds]``."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        notebook, output, parameters = json.loads(line)
        cpu_s, wall_s = _cpu(), time.perf_counter()
        papermill.execute_notebook(notebook, output, parameters=parameters, kernel_name="python3", progress_bar=False)
        answer = [_cpu() - cpu_s, time.perf_counter() - wall_s]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _cpu() -> float:
    """Return the processor time of this process and of the kernels that have ended, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
