"""Killed at each point of an act: never an alias without an entry after the next act, never an entry of what did not happen."""

from __future__ import annotations

import signal

import pytest

from nbmlops.failpoints import FAILPOINTS
from nbmlops.promotion.mlflow_registry import MlflowRegistry
from tests.promotion.office import MODEL, Office, strike

POINTS = [name for name in FAILPOINTS if name.startswith(("promotion.", "promotions."))]
AFTER_THE_MOVE = {"promotion.read", "promotion.log", "promotion.tell", "promotion.head", "promotion.settle", "promotion.release"}
SELDOM = {"promotion.claim", "promotion.look", "promotion.pend", "promotion.tell", "promotion.settle", "promotion.release"}  # in `make chaos`
BY_OTHERS = {"promotion.move", "promotion.read"}  # what makes the difference to another store, in `make test`


def check(office: Office, store: str, expected: set[int]) -> None:
    """Log and registry say the same, and the log has what happened and nothing else."""
    history = office.desk(store).history(MODEL)
    assert (history.broken, history.strayed) == ("", ())
    means = office.registry.aliases(MODEL)["champion"]
    assert history.events[0].version == means
    assert means in expected
    tags = office.registry.tags(MODEL)
    assert not [name for name in tags if "pending" in name]


@pytest.mark.parametrize(
    ("store", "point"),
    [
        *(pytest.param(".nbmlops", point, marks=pytest.mark.thorough if point in SELDOM else ()) for point in POINTS),
        *(pytest.param(".bob", point, marks=() if point in BY_OTHERS else pytest.mark.thorough) for point in POINTS),
    ],
)
def test_killed_at_each_point(office: Office, point: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks next, from the same store or another one, finds the act done and written down, or not done at all; and acts."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "before")
    office.registry.close()

    def act() -> None:
        own = Office(office.root, MlflowRegistry(office.root))
        own.desk().promote(MODEL, 2, "champion", "the one that is killed")

    assert strike(act, f"{point}:1:kill") == -signal.SIGKILL
    if store == ".bob":
        # the lock of the killed person's machine tells nothing here: a claim is believed for a minute
        monkeypatch.setattr("nbmlops.promotion.claim.STALE_S", -1.0)
    after = {2} if point in AFTER_THE_MOVE or point.startswith("promotions.") else {1}
    check(office, store, after)
    if store == ".nbmlops" or point == "promotion.move":
        office.desk(store).promote(MODEL, 3, "champion", "next", override="goes on")
        check(office, store, {3})
        check(office, ".nbmlops", {3})


@pytest.mark.parametrize("act", ["raise", "enospc"])
def test_a_fault_after_the_move_is_settled_by_the_next(office: Office, act: str) -> None:
    """As a kill is: whoever promoted was told that something went wrong, and the history has the entry."""
    desk = office.desk()
    desk.promote(MODEL, 1, "champion", "before")
    office.registry.close()
    own = Office(office.root, MlflowRegistry(office.root))
    assert strike(lambda: own.desk().promote(MODEL, 2, "champion", "x"), f"promotions.write:1:{act}") == 1
    notes = office.desk().history(MODEL).notes
    assert "was broken off after the alias had moved; its entry was written now" in " ".join(notes)
    check(office, ".nbmlops", {2})
