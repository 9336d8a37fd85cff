"""The panel of a registered model without a browser: what it tells, and what it does when it is asked."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from nbmlops.errors import GateRefused, LostRace, TrackerUnavailable
from nbmlops.promotion.state import Expected, ModelState, PromotionEvent
from nbmlops.widgets.modelcontents import model_contents, return_of
from nbmlops.widgets.promotion import PromotionPanel
from nbmlops.widgets.twin import model_twin
from tests.views.models import event, hostile_model, made_model
from tests.views.xss import PAYLOADS


class Registry:
    """A panel on a model that its buttons move, as others may."""

    def __init__(self, state: ModelState) -> None:
        self.state = state
        self.calls: list[object] = []
        self.error: Exception | None = None
        self.silent: Exception | None = None
        self.release = threading.Event()
        self.release.set()
        self.panel = PromotionPanel(state, on_promote=self.promote, on_rollback=self.rollback, on_refresh=self.look)
        self.widget = self.panel._widget
        self.sent: list[Any] = []
        self.widget.send = self.sent.append
        self.answers: list[dict[str, str]] = []
        self.widget.observe(lambda change: self.answers.append(change["new"]), "answer")

    def promote(self, version: int, alias: str, reason: str, *, override: str, approver: str, expected: Expected) -> PromotionEvent:
        """Move an alias, unless there is an error to raise."""
        self.calls.append((version, alias, reason, override, approver, expected))
        return self.move("override" if override else "promote", version, alias, reason)

    def rollback(self, alias: str, reason: str, *, approver: str, expected: Expected) -> PromotionEvent:
        """Move it back."""
        self.calls.append((alias, reason, approver, expected))
        return self.move("rollback", 2, alias, reason)

    def move(self, act: str, version: int, alias: str, reason: str) -> PromotionEvent:
        """Let an alias mean a version, and write that down."""
        self.calls.append(threading.current_thread())
        self.release.wait(60)
        if self.error is not None:
            raise self.error
        made = replace(event(len(self.state.events) + 1, act, version, self.state.aliases.get(alias), reason=reason), alias=alias)
        self.state = replace(self.state, aliases={**self.state.aliases, alias: version}, events=(made, *self.state.events))
        return made

    def look(self) -> ModelState:
        """Tell how the model stands."""
        if self.silent is not None:
            raise self.silent
        return self.state

    def ask(self, **content: object) -> dict[str, str]:
        """Do as a browser would, wait for what it starts, and return the last answer."""
        self.panel._asked(self.widget, content, [])
        self.wait()
        return dict(self.widget.answer)

    def wait(self) -> None:
        """Wait for what was started."""
        for thread in threading.enumerate():
            if thread.name in {"nbmlops-promote", "nbmlops-rollback", "nbmlops-refresh"}:
                thread.join(60)


PROMOTE = {"kind": "promote", "id": "a", "version": 3, "alias": "champion", "reason": "better", "holder": 1, "digest": "3d" * 32}
ROLLBACK = {"kind": "rollback", "id": "b", "version": 2, "alias": "champion", "reason": "worse", "holder": 3, "digest": "2d" * 32}


def promoted_twice() -> ModelState:
    """Return a model whose champion was 2 before it became 3."""
    events = (event(2, "promote", 3, 2), event(1, "promote", 2, None))
    return replace(made_model(), aliases={"champion": 3}, events=events)


def test_promote_hands_on_what_was_stated_and_seen() -> None:
    """In a thread of its own; then the panel shows how the model stands, and the log's entry is named."""
    registry = Registry(made_model())
    answer = registry.ask(**PROMOTE, override=" the month ", approver="grace")
    assert registry.calls[0] == (3, "champion", "better", "the month", "grace", Expected(holder=1, digest="3d" * 32))
    assert registry.calls[1] is not threading.main_thread()
    assert [item["state"] for item in registry.answers] == ["wait", "done"]
    assert answer["text"] == (
        "alias champion of flight-delay moved from version 1 to version 3, with an override · entry 4 of the log says who, when and why"
    )
    assert registry.widget.model["stands"].startswith("champion is version 3")
    assert registry.widget.model["history"]["rows"][0][6] == "better"


def test_rollback_hands_on_what_was_seen() -> None:
    """The digest is that of the version that was restated."""
    registry = Registry(promoted_twice())
    assert registry.ask(**ROLLBACK)["text"].startswith("alias champion of flight-delay moved from version 3 to version 2 · entry 3")
    assert registry.calls[0] == ("champion", "worse", "", Expected(holder=3, digest="2d" * 32))


def test_rollback_to_another_version_than_was_restated_is_not_done() -> None:
    """The panel knows better meanwhile."""
    registry = Registry(promoted_twice())
    answer = registry.ask(**{**ROLLBACK, "version": 1})
    assert (registry.calls, answer["state"]) == ([], "moved")
    assert "what the alias would go back to has changed" in answer["text"]


def test_lost_race_tells_who_won_and_asks_again() -> None:
    """And shows the model as it is now."""
    registry = Registry(made_model())
    other = event(4, "promote", 2, 1, reason="I was first", who="grace")
    registry.state = replace(registry.state, aliases={"champion": 2}, events=(other, *registry.state.events))
    registry.error = LostRace("champion means version 2 now", code="NB655", fix="look again")
    answer = registry.ask(**PROMOTE)
    assert answer["state"] == "moved"
    assert "meanwhile the alias has been moved: champion means version 2 of flight-delay now, by grace: I was first" in answer["text"]
    assert registry.widget.model["aliases"][0]["version"] == 2


def test_alias_that_was_moved_past_the_log_is_told_so() -> None:
    """Nobody is named for it."""
    registry = Registry(made_model())
    registry.state = replace(registry.state, aliases={"champion": 2})
    registry.error = LostRace("champion means version 2 now", code="NB655", fix="look again")
    assert "not by nbmlops: the log has no entry of it" in registry.ask(**PROMOTE)["text"]


@pytest.mark.parametrize(
    "error", [GateRefused("version 3 may not be champion", code="NB651", fix="state an override"), RuntimeError("no"), KeyError("x"), OSError()]
)
def test_refusal_is_one_line_and_says_that_nothing_was_moved(error: Exception) -> None:
    """Whatever it is."""
    registry = Registry(made_model())
    registry.error = error
    answer = registry.ask(**PROMOTE)
    assert answer["state"] == "failed"
    assert "nothing was moved: champion means version 1 of flight-delay now" in answer["text"]
    assert "\n" not in answer["text"]


def test_act_whose_outcome_cannot_be_looked_at_is_not_called_undone() -> None:
    """It was done, or it failed; how the model stands is not known in both cases."""
    registry = Registry(made_model())
    registry.silent = TrackerUnavailable("the registry does not answer", code="NB601", fix="wait")
    answer = registry.ask(**PROMOTE)
    assert (answer["state"], "entry 4" in answer["text"], "could not be asked" in answer["text"]) == ("done", True, True)
    registry.error = RuntimeError("no")
    answer = registry.ask(**{**PROMOTE, "holder": 3, "version": 2})
    assert (answer["state"], "nothing was moved" in answer["text"], "could not be asked" in answer["text"]) == ("failed", False, True)
    assert registry.ask(kind="refresh", id="c")["state"] == "failed"


def test_refresh_shows_what_others_have_done() -> None:
    """Without an act."""
    registry = Registry(made_model())
    registry.state = promoted_twice()
    assert registry.ask(kind="refresh", id="c")["text"].startswith("model flight-delay: champion is version 3")
    assert registry.calls == []
    assert registry.widget.model["aliases"][0] == {"name": "champion", "version": 3, "back": 2, "digest": "2d" * 32}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reason": "  "}, "needs a reason"),
        ({"reason": None}, "needs a reason"),
        ({"reason": "x" * 5000}, "at most 4000 characters"),
        ({"override": "x" * 5000}, "at most 4000 characters"),
        ({"version": "3"}, "not there any more"),
        ({"version": True}, "not there any more"),
        ({"version": None}, "not there any more"),
        ({"alias": "production"}, "not there any more"),
        ({"alias": None}, "not there any more"),
        ({"holder": "1"}, "not there any more"),
        ({"digest": None}, "not there any more"),
    ],
)
def test_what_does_not_fit_is_not_asked(change: dict[str, object], text: str) -> None:
    """The registry is not troubled with it."""
    registry = Registry(made_model())
    answer = registry.ask(**{**PROMOTE, **change})
    assert (registry.calls, answer["state"]) == ([], "failed")
    assert text in answer["text"]


@pytest.mark.parametrize("content", [{}, {"kind": "promote"}, {"kind": "eval", "id": "a"}, {"kind": "refresh", "id": 3}])
def test_what_no_button_asks_is_not_done(content: dict[str, object]) -> None:
    """Nor answered."""
    registry = Registry(made_model())
    registry.ask(**content)
    assert (registry.calls, registry.answers) == ([], [])


def test_handshake() -> None:
    """Each view's hello is answered with its own mark."""
    registry = Registry(made_model())
    registry.ask(kind="hello", id="abc")
    assert registry.sent == [{"kind": "ready", "id": "abc"}]


def test_second_act_waits_for_the_first() -> None:
    """Two presses are not two promotions."""
    registry = Registry(made_model())
    registry.release.clear()
    registry.panel._asked(registry.widget, PROMOTE, [])
    registry.panel._asked(registry.widget, {**PROMOTE, "id": "second"}, [])
    assert registry.widget.answer["id"] == "second"
    assert "this panel is at work" in registry.widget.answer["text"]
    registry.release.set()
    registry.wait()
    assert registry.widget.answer["state"] == "done"
    assert len([call for call in registry.calls if isinstance(call, tuple)]) == 1


def test_return_needs_a_whole_log_and_a_version_that_is_there() -> None:
    """As the registry's desk would decide."""
    state = promoted_twice()
    assert return_of(state, "champion") == 2
    assert return_of(state, "challenger") is None
    assert return_of(replace(state, broken="entry 1 is gone"), "champion") is None
    assert return_of(replace(state, candidates=state.candidates[:1]), "champion") is None


def test_links_are_addresses_or_commands() -> None:
    """A server has a link; without one the panel shows the command."""
    told = model_contents(made_model())
    assert told["links"] == [{"label": "Open in MLflow", "command": "mlflow ui --backend-store-uri sqlite:////here/mlflow.db"}]
    assert [link["label"] for link in told["candidates"][0]["links"]] == ["Version 3 in MLflow", "Its run in MLflow"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_is_an_address(payload: str) -> None:
    """Only what begins as one of the web is, and JSON holds no order to a terminal."""
    told = model_contents(hostile_model(payload))
    links = [*told["links"], *(link for item in told["candidates"] for link in item["links"])]
    assert all(link["href"].startswith(("http://", "https://")) for link in links if "href" in link)
    assert "\\u0000" not in json.dumps(told["candidates"][0]["facts"])


def test_hundred_versions_stay_small() -> None:
    """Those with an alias are told however old they are; how many are not is told."""
    state = made_model()
    many = tuple(replace(state.candidates[0], version=replace(state.candidates[0].version, version=number)) for number in range(203, 3, -1))
    told = model_contents(replace(state, candidates=(*many, *state.candidates)))
    assert [item["version"] for item in told["candidates"]][-2:] == [2, 1]
    assert (len(told["candidates"]), told["candidatesMore"]) == (52, 151)
    assert len(json.dumps(told)) < 250_000


def test_twin_names_no_place_of_this_machine() -> None:
    """The panel shows where the executed notebook is, and what opens MLflow here; the notebook that is handed on does not."""
    told = " ".join(model_twin(made_model()).values())
    assert "/here" not in told
    assert "notebooks/flight_delay.ipynb" in told
    assert "/here/runs" in json.dumps(model_contents(made_model()))
