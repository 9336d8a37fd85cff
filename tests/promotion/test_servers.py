"""Promotions through real MLflow servers, by command and by several people at once."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nbmlops.errors import Tampered, TrackerUnavailable
from nbmlops.promotion.mlflow_registry import MlflowRegistry
from tests.acceptance.project import Project
from tests.promotion.conftest import in_process
from tests.promotion.office import Office, fill
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["postgresql", pytest.param("sqlite", marks=pytest.mark.thorough)])
def remote(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Office, str]]:
    """Give a project whose registry is a server, and a model of four versions there."""
    url = request.getfixturevalue("server" if request.param == "postgresql" else "sqlite_server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    registry = MlflowRegistry(project)
    model = f"m-{uuid.uuid4().hex[:8]}"
    fill(registry, project / "packed", model)
    yield Office(project, registry), model
    registry.close()


RACE = """
import sys
from pathlib import Path
from nbmlops.errors import NbmlopsError
from nbmlops.promotion.state import Expected
from nbmlops.session.promotions import Promotions
from nbmlops.settings import Settings
root, model, version, store = sys.argv[1:]
with Promotions(Settings(project_root=Path(root), store=store)) as promotions:
    try:
        event = promotions.promote(model, int(version), "champion", f"by {version}", expected=Expected(holder=None, digest=f"{int(version):064x}"))
        print("won", event.version)
    except NbmlopsError as error:
        print("lost", type(error).__name__, error)
"""


def test_a_server_sees_what_was_promoted_and_nothing_of_what_was_refused(remote: tuple[Office, str]) -> None:
    """By command with exit 3; then by hand, with a model and a log that somebody has tampered with through the server."""
    office, model = remote
    desk = office.desk()
    desk.promote(model, 2, "champion", "good")
    now = office.all(model)
    refused = Project(office.root).call("promote", model, 3, "--to", "champion", "--reason", "please")
    assert (refused.code, office.all(model)) == (3, now)
    assert refused.err.startswith(f"NB651: version 3 of '{model}' may not be champion: gate roc_auc >= champion.roc_auc - 0.01")
    assert desk.promote(model, 3, "champion", "please", override="a drill").from_version == 2
    assert desk.rollback(model, "champion", "the drill is over").version == 2
    assert office.registry.aliases(model) == {"champion": 2}
    history = desk.history(model)
    assert ([event.act for event in history.events], history.broken) == (["rollback", "override", "promote"], "")

    client = office.registry.connect()
    changed = office.root / "model.skops"
    changed.write_bytes(b"another model")
    client.log_model_artifact(client.get_model_version(model, "1").source.removeprefix("models:/"), str(changed))
    with pytest.raises(Tampered, match=r"the file model\.skops of version 1 .* is not what was registered"):
        desk.promote(model, 1, "challenger", "x", override="x")
    office.entries()[2].unlink()
    assert desk.history(model).broken == "entry 3, which this store wrote, is gone from its log"


@pytest.mark.parametrize("stores", [("a", "b"), pytest.param(("a", "a"), marks=pytest.mark.thorough)], ids=["two stores", "one store"])
def test_of_two_who_promote_at_once_one_wins_and_the_other_is_told(
    remote: tuple[Office, str], stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw no champion, and both wait between their claim and their look, so that they meet."""
    office, model = remote
    monkeypatch.setenv("NBMLOPS_FAILPOINT", "promotion.look:1:delay")
    people = [in_process(RACE, office.root, model, number, office.root / store) for number, store in zip((1, 2), stores, strict=True)]
    told = [person.communicate(timeout=180)[0] for person in people]
    winners = [number for number, line in zip((1, 2), told, strict=True) if line.startswith("won")]
    assert len(winners) == 1, told
    (lost,) = [line for line in told if not line.startswith("won")]
    assert "lost LostRace" in lost
    assert f"version {winners[0]} now, not nothing that was looked at: Ada <ada@example.org>" in lost or "somebody else is moving an alias" in lost
    assert office.registry.aliases(model) == {"champion": winners[0]}
    for store in stores:
        history = office.desk(store).history(model)
        assert ([event.version for event in history.events], history.broken, history.strayed) == (winners, "", ())
    assert not [name for name in office.registry.tags(model) if "claim" in name or "pending" in name]


def test_a_registry_that_is_down_is_told_in_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password of its address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackerUnavailable, match="the registry cannot be used now") as caught:
        Office(project, MlflowRegistry(project)).desk().promote("m", 1, "champion", "x")
    assert "secret" not in str(caught.value)


@pytest.mark.thorough
def test_the_commands(remote: tuple[Office, str]) -> None:
    """Each says what it did as text and as JSON, with the exit code that it should have."""
    office, model = remote
    project = Project(office.root)
    promoted = project.call("promote", model, 1, "--to", "champion", "--reason", "first", "--json")
    assert (promoted.code, promoted.data["event"]["version"]) == (0, 1)
    assert "champion of" in project.call("promote", model, 2, "--to", "champion", "--reason", "better").out
    rolled = project.call("rollback", model, "--reason", "no good", "--json")
    assert (rolled.code, rolled.data["event"]["from_version"]) == (0, 2)
    listed = project.call("models", "--json")
    assert model in listed.data["models"]
    shown = project.call("models", model)
    assert "✗ version 3: gate roc_auc >= champion.roc_auc - 0.01" in shown.out
    assert json.loads(project.call("models", model, "--json").out)["aliases"] == {"champion": 1}
    history = project.call("history", model, "--verify", "--json")
    assert (history.code, [event["act"] for event in history.data["events"]]) == (0, ["rollback", "promote", "promote"])
    office.entries()[0].write_bytes(b"{}")
    verified = project.call("history", model, "--verify")
    assert (verified.code, "✗ the log is not what was written: entry 1 was edited" in verified.out) == (1, True)
    assert project.call("history", model).code == 0
    for words, code in ((("promote", model, "x", "--to", "champion", "--reason", "x"), 2), (("rollback", model, "--reason", " "), 2)):
        assert project.call(*words).code == code
