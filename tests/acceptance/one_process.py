"""A program that runs cells from top to bottom in a shell of IPython's, and prints what each of them printed, as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.colors = "nocolor"
printed = []
for source in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        ran = shell.run_cell(source)
    printed.append(text.getvalue())
    if not ran.success:
        raise SystemExit(f"{source}: {ran.error_in_exec or ran.error_before_exec}")
sys.stdout.write(json.dumps(printed))
