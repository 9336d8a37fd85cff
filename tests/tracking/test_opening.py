"""How a tracker's pages are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbmlops.tracking.opening import way_to_mlflow

RUN = {"experiment_id": "3", "run_id": "ab12", "experiment": "demo"}
UI = "mlflow ui --backend-store-uri"


@pytest.mark.parametrize(
    ("uri", "reference", "way"),
    [
        pytest.param("", RUN, {"command": f"{UI} 'sqlite:////a project/mlflow.db'"}, id="default"),
        pytest.param("sqlite:////srv/x.db", {}, {"command": f"{UI} sqlite:////srv/x.db"}, id="database"),
        pytest.param("postgresql://me:secret@db/x", RUN, {"command": f'{UI} "$MLFLOW_TRACKING_URI"'}, id="database with a password"),
        pytest.param("http://host:5000/", {}, {"url": "http://host:5000"}, id="server"),
        pytest.param("http://host:5000", RUN, {"url": "http://host:5000/#/experiments/3/runs/ab12"}, id="run on a server"),
        pytest.param("https://me:secret@host/mlflow", RUN, {"url": "https://host/mlflow/#/experiments/3/runs/ab12"}, id="server with a password"),
    ],
)
def test_way_to_mlflow(uri: str, reference: dict[str, str], way: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has an address, a store a command, and neither tells a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert way_to_mlflow(Path("/a project"), reference) == way
