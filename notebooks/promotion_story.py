"""The story of flight_delay_promotion.ipynb from end to end, by the commands that its text names: ``make promotion-demo``.

Everything goes to a folder of its own, which is made anew each time: the store, MLflow's registry and the executed notebooks. The story stops where a
command does not exit as it should: 0, or 3 where something is refused.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parents[1]
NOTEBOOK = "notebooks/flight_delay_promotion.ipynb"
NBMLOPS = (sys.executable, "-m", "nbmlops")
MODEL = "late-flights"
STORY = [
    ("September in kilometres and UTC: refused, and nothing is learnt from it.", 3, ["run", "-p", "delivered", "in kilometres and UTC"]),
    ("September as agreed, and a first model, which looks at the schedule.", 0, ["run"]),
    ("It becomes champion: there was none.", 0, ["promote", "1", "--to", "champion", "--reason", "the first model"]),
    ("A challenger that has learnt from 400 flights: its run is refused.", 3, ["run", "-p", "sample_rows", "400"]),
    ("Nor may it be promoted.", 3, ["promote", "2", "--to", "champion", "--reason", "it trains faster"]),
    ("A challenger that looks at the weather.", 0, ["run", "-p", "looks_at", "weather"]),
    ("Beside the champion, on the same test flights:", 0, ["models"]),
    ("It is promoted.", 0, ["promote", "3", "--to", "champion", "--reason", "it looks at the weather"]),
    ("Alarms: back to what was in use before.", 0, ["rollback", "--reason", "alarms since noon"]),
    ("Who decided what, and is that still what was written?", 0, ["history", "--verify"]),
]


def command(step: int, words: list[str], folder: Path) -> list[str]:
    """Return the arguments of nbmlops for a step."""
    verb, *rest = words
    if verb == "run":
        return [verb, NOTEBOOK, os.path.relpath(folder / f"{step}.ipynb", PROJECT), *rest]
    return [verb, MODEL, *rest]


def tell(folder: Path) -> int:
    """Run the story in `folder` and return the exit code of the whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = {
        "NBMLOPS_STORE": str(folder / "store"),
        "NBMLOPS_TRUSTED_STORES": str(folder / "store"),
        "NBMLOPS_TRACKERS": "mlflow",
        "NBMLOPS_TRACK_WAIT_S": "120",  # the next step needs the version that a run registers
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_REGISTRY_URI"} | own
    began = time.monotonic()
    for step, (what, wanted, words) in enumerate(STORY, 1):
        arguments = command(step, words, folder)
        shown = " ".join(f'"{word}"' if " " in word else word for word in ("nbmlops", *arguments))
        print(f"\n{step}. {what}\n$ {shown}", flush=True)
        code = subprocess.run([*NBMLOPS, *arguments], env=environment, cwd=PROJECT, check=False).returncode  # noqa: S603 - the commands of STORY
        if code != wanted:
            print(f"\nThe story stops here: that exited {code}, and should exit {wanted}.", file=sys.stderr)
            return 1
        if wanted:
            print(f"(exit {code}, as it should)", flush=True)
    print(f"\nThe whole story took {time.monotonic() - began:.0f} s. It lies in {folder}; to see it in JupyterLab and MLflow:")
    shown = " ".join(f"{name}={own[name]}" for name in ("NBMLOPS_STORE", "NBMLOPS_TRUSTED_STORES", "MLFLOW_TRACKING_URI"))
    print(f"  {shown} jupyter lab notebooks")
    print(f"  mlflow ui --backend-store-uri {own['MLFLOW_TRACKING_URI']}")
    return 0


if __name__ == "__main__":
    sys.exit(tell(Path(sys.argv[1]).absolute()))
