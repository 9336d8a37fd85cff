"""``nbmlops doctor``: what this environment can and cannot do."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.arguments import add_json, print_json, store_url
from nbmlops.settings import Settings, load_settings
from nbmlops.store.store import Store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["EXAMPLE", "add_arguments", "examine", "run"]

EXAMPLE = "nbmlops doctor"
_OPTIONAL = {
    "jupytext": ("percent-format .py notebooks", "pip install jupytext"),
    "ipykernel": ("running cells in Jupyter", "pip install ipykernel"),
    "mlflow": ("tracking in MLflow", "pip install mlflow"),
    "wandb": ("tracking in Weights & Biases", "pip install wandb"),
    "papermill": ("papermill --engine nbmlops", "pip install papermill"),
    "s3fs": ("stores on s3://", 'pip install "nbmlops[s3]"'),
}
_SHADOWED = ("comm.py", "random.py", "types.py", "json.py", "numpy.py", "pandas.py")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--store", metavar="URL", help="the store to look at (default: that of the project of this folder)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if something that is needed does not work."""
    settings = load_settings(Path.cwd(), store=store_url(options.store))
    found = list(examine(settings, Path.cwd()))
    if options.json:
        print_json({"checks": found})
    else:
        for item in found:
            line = f"{'ok  ' if item['ok'] else ('warn' if item['optional'] else 'FAIL')}  {item['what']}: {item['detail']}"
            sys.stdout.write(line + (f"; {item['fix']}" if item["fix"] and not item["ok"] else "") + "\n")
    return 1 if any(not item["ok"] and not item["optional"] for item in found) else 0


def examine(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Give one finding after the other: ``what``, ``ok``, ``optional``, ``detail``, ``fix``."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding("Python", sys.version_info >= (3, 11), version, "use Python 3.11 or newer")
    yield _finding("project root", ok=True, detail=str(settings.project_root))
    yield _store(settings)
    yield _processes()
    for module, (purpose, fix) in _OPTIONAL.items():
        there = importlib.util.find_spec(module) is not None
        yield _finding(purpose, there, module if there else f"{module} is not installed", fix, optional=True)
    yield _finding("trackers", ok=True, detail=", ".join(settings.trackers) or "none")
    for name in _SHADOWED:
        if (folder / name).exists():
            yield _finding(
                "modules",
                ok=False,
                detail=f"{name} in this folder hides the module of that name from your notebooks",
                fix=f"rename {name}",
                optional=True,
            )


def _store(settings: Settings) -> dict[str, Any]:
    store = Store(settings.store, settings=settings)
    try:
        digest = store.objects.put([b"nbmlops doctor"])
        whole = bytes(store.objects.view(digest)) == b"nbmlops doctor"
    except (OSError, KeyError) as error:
        return _finding(
            "store", ok=False, detail=f"{settings.store} cannot be written: {error}", fix="make it writable, or choose another with --store"
        )
    if not store.trusted:
        return _finding(
            "store",
            ok=False,
            detail=f"{settings.store} is not trusted: pickled artifacts are computed again",
            fix="name it in trusted_stores, or set NBMLOPS_STORE_KEY",
            optional=True,
        )
    return _finding("store", whole, settings.store, "run nbmlops store verify")


def _processes() -> dict[str, Any]:
    can = all(hasattr(os, name) for name in ("fork", "pidfd_open")) and Path("/proc/self/task").exists()
    return _finding(
        "local stages", can, f"{len(os.sched_getaffinity(0))} CPUs" if can else "this system has no fork, pidfd or /proc", "use Linux 5.3 or newer"
    )


def _finding(what: str, ok: bool, detail: str, fix: str = "", *, optional: bool = False) -> dict[str, Any]:  # noqa: FBT001 - a row of a table
    return {"what": what, "ok": ok, "optional": optional, "detail": detail, "fix": fix}
