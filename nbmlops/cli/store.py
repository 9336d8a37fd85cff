"""``nbmlops store``: list, show, get, collect and verify what is kept."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.arguments import add_json, print_json, store_url
from nbmlops.errors import StoreError, UsageError
from nbmlops.session.export import FORMATS, export_artifact
from nbmlops.settings import Settings, load_settings
from nbmlops.store.gc import collect
from nbmlops.store.store import Store
from nbmlops.store.verify import verify_store
from nbmlops.views.amounts import human_bytes

if TYPE_CHECKING:
    import argparse

    from nbmlops.store.records import Artifact, RunRecord

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "nbmlops store get 8f3a train model -o model.pkl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ls | show | get | gc | verify")
    listing = acts.add_parser("ls", help="list the runs, newest first")
    showing = acts.add_parser("show", help="show a run, a stage record or an object")
    showing.add_argument("ref", metavar="REF", help="a run's id, a stage key or a digest, or the beginning of a run's id")
    getting = acts.add_parser("get", help="write an artifact to a file")
    getting.add_argument("run", metavar="RUN", help="a run's id, or the beginning of one")
    getting.add_argument("stage", metavar="STAGE", help="the stage that made it")
    getting.add_argument("name", metavar="NAME", help="the artifact")
    getting.add_argument("-o", dest="output", metavar="FILE", required=True, help="where it goes")
    getting.add_argument("--as", dest="format", choices=FORMATS, help="convert it; without this, the stored bytes are written")
    collecting = acts.add_parser("gc", help="delete what no kept run needs")
    collecting.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    verifying = acts.add_parser("verify", help="compare every object and record with its digest")
    verifying.add_argument("--repair", action="store_true", help="move what is damaged to quarantine, so that it is computed again")
    for act in (listing, showing, getting, collecting, verifying):
        act.add_argument("--store", metavar="URL", help="which store (default: that of the project of this folder)")
        add_json(act)


def run(options: argparse.Namespace) -> int:
    """Run the verb and return the exit code: 1 if `verify` found damage."""
    settings = load_settings(Path.cwd(), store=store_url(options.store))
    store = Store(settings.store, settings=settings)
    acts = {"ls": _list, "show": _show, "get": _get, "gc": _collect, "verify": _verify}
    return acts[options.act](store, settings, options)


def _list(store: Store, _settings: Settings, options: argparse.Namespace) -> int:
    runs = store.runs()
    if options.json:
        print_json({"runs": [_summary(item) for item in runs]})
    else:
        for item in runs:
            when = dt.datetime.fromtimestamp(item.started_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
            sys.stdout.write(f"{item.run_id}  {when}  {item.status:<9}  {item.notebook}\n")
        if not runs:
            sys.stdout.write("no runs yet\n")
    return 0


def _summary(item: RunRecord) -> dict[str, Any]:
    return {
        "run_id": item.run_id,
        "notebook": item.notebook,
        "status": item.status,
        "started_s": item.started_s,
        "seconds": item.seconds,
        "parameters": dict(item.parameters),
        "output": item.output,
    }


def _show(store: Store, _settings: Settings, options: argparse.Namespace) -> int:
    data: dict[str, Any]
    found = store.run(options.ref)
    record = store.record(options.ref) if found is None else None
    if found is not None:
        data = {"run": found.to_json()}
    elif record is not None:
        data = {"record": record.to_json()}
    else:
        try:
            data = {"object": {"digest": options.ref, "bytes": len(store.objects.view(options.ref))}}
        except KeyError:
            raise UsageError(f"the store holds no {options.ref!r}", code="NB004", fix="see nbmlops store ls") from None
    if options.json:
        print_json(data)
    else:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return 0


def _get(store: Store, settings: Settings, options: argparse.Namespace) -> int:
    artifact = _artifact(store, options.run, options.stage, options.name)
    target = Path(options.output)
    try:
        size = export_artifact(store, settings, artifact, target, options.format)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{target} cannot be written: {error.strerror}", code="NB603", fix="choose another file") from error
    if options.json:
        print_json(
            {"name": artifact.name, "digest": artifact.digest, "format": options.format or artifact.format, "output": str(target), "bytes": size}
        )
    else:
        sys.stdout.write(f"{target} ({human_bytes(size)})\n")
    return 0


def _artifact(store: Store, run_id: str, stage: str, name: str) -> Artifact:
    found = store.run(run_id)
    if found is None:
        raise UsageError(f"the store holds no run {run_id!r}", code="NB004", fix="see nbmlops store ls")
    entry = next((item for item in found.stages if item["name"] == stage), None)
    if entry is None:
        raise UsageError(
            f"run {found.run_id} has no stage {stage!r}", code="NB004", fix=f"choose from: {', '.join(item['name'] for item in found.stages)}"
        )
    record = store.record(entry["key"]) if entry.get("key") else None
    if record is None or name not in record.outputs:
        names = ", ".join(record.outputs) if record is not None else ""
        raise UsageError(f"stage {stage!r} of run {found.run_id} keeps no {name!r}", code="NB004", fix=f"it keeps: {names or 'nothing'}")
    return record.outputs[name]


def _collect(store: Store, settings: Settings, options: argparse.Namespace) -> int:
    done = collect(store, settings, dry_run=options.dry_run)
    if options.json:
        print_json({"deleted": list(done.deleted), "freed_bytes": done.freed_bytes, "kept_bytes": done.kept_bytes, "dry_run": done.dry_run})
    else:
        verb = "would be deleted" if done.dry_run else "deleted"
        sys.stdout.write(f"{len(done.deleted)} files {verb}, {human_bytes(done.freed_bytes)}; {human_bytes(done.kept_bytes)} kept\n")
    return 0


def _verify(store: Store, _settings: Settings, options: argparse.Namespace) -> int:
    found = verify_store(store, repair=options.repair)
    if options.json:
        problems = [{"path": item.path, "what": item.what, "repaired": item.repaired} for item in found.problems]
        print_json({"checked": found.checked, "problems": problems})
    else:
        for item in found.problems:
            sys.stdout.write(f"{item.path}: {item.what}{' (moved to quarantine)' if item.repaired else ''}\n")
        sys.stdout.write(f"{found.checked} checked, {len(found.problems)} damaged\n")
    return 1 if found.problems else 0
