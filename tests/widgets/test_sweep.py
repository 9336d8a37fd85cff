"""The panel without a browser: what it tells, and what it does when it is asked."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from typing import Any

import pytest

from nbmlops.errors import UsageError
from nbmlops.views.sweep import best_numbers
from nbmlops.widgets.contents import head_of, pictures_of, table_of
from nbmlops.widgets.sweep import SweepPanel
from nbmlops.widgets.twin import twin_bundle
from tests.views.sweeps import made_sweep, trial

HOSTILE = "\x1b[31m</script><img src=x onerror=alert(1)>\u202e"


class Asked:
    """A panel whose buttons note what they do."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[object] = []
        self.panel = SweepPanel(made_sweep(5, status="running"), on_stop=lambda: self.call("stop"), on_run=self.run, on_set=self.call)
        self.widget = self.panel._widget
        self.sent: list[Any] = []
        self.widget.send = self.sent.append

    def call(self, what: object) -> str:
        """Note a call; raise the error if there is one."""
        self.calls.append(what)
        if self.error is not None:
            raise self.error
        return f"C = {what}"

    def run(self, number: int) -> str:
        """Note a call and its thread."""
        self.calls.append(threading.current_thread())
        return self.call(number)

    def ask(self, **content: object) -> None:
        """Do as a browser would, and wait for what it starts."""
        self.panel._asked(self.widget, content, [])
        for thread in threading.enumerate():
            if thread.name.startswith("nbmlops-trial"):
                thread.join(20)


def test_handshake() -> None:
    """Each view's hello is answered with its own mark."""
    asked = Asked()
    asked.ask(kind="hello", id="abc")
    assert asked.sent == [{"kind": "ready", "id": "abc"}]


def test_stop_says_so_until_the_sweep_has_ended() -> None:
    """Only a state that is not running takes `stopping` back."""
    asked = Asked()
    asked.ask(kind="stop")
    assert asked.calls == ["stop"]
    assert asked.widget.stopping
    asked.panel._deliver(made_sweep(6, status="running"))
    assert asked.widget.stopping
    asked.panel.show(made_sweep(6, status="stopped"))
    assert not asked.widget.stopping


def test_stop_that_fails_is_told() -> None:
    """The sweep runs on, and the panel says why."""
    asked = Asked(error=RuntimeError("no"))
    asked.ask(kind="stop")
    assert not asked.widget.stopping
    assert asked.sent == [{"kind": "stop-failed", "text": "RuntimeError: no"}]


def test_parameters_are_set_in_the_main_thread() -> None:
    """The line of code comes back beside the trial."""
    asked = Asked()
    asked.ask(kind="set", number=3)
    assert asked.calls == [3]
    assert asked.widget.answers["3"] == {"kind": "set", "state": "done", "text": "these variables are set in the kernel:", "code": "C = 3"}


def test_trial_runs_in_a_thread_of_its_own() -> None:
    """The kernel is free while a notebook runs."""
    asked = Asked()
    asked.ask(kind="run", number=3)
    assert asked.calls[0] is not threading.main_thread()
    assert asked.widget.answers["3"]["text"] == "C = 3"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (KeyError(), "KeyError"),
        (UsageError("write it so", code="NB004", fix="so"), "write it so"),
    ],
)
@pytest.mark.parametrize("kind", ["run", "set"])
def test_error_is_one_line_beside_the_trial(error: Exception, text: str, kind: str) -> None:
    """What a button raises goes no further."""
    asked = Asked(error=error)
    asked.ask(kind=kind, number=1)
    assert asked.widget.answers["1"]["state"] == "failed"
    assert asked.widget.answers["1"]["text"].startswith(text)
    assert "\n" not in asked.widget.answers["1"]["text"]


@pytest.mark.parametrize(
    "content", [{}, {"kind": "run"}, {"kind": "set", "number": "3"}, {"kind": "eval", "number": 3}, {"kind": "run", "number": 99}]
)
def test_what_no_button_asks_is_not_done(content: dict[str, object]) -> None:
    """A message for no trial of the sweep calls nothing."""
    asked = Asked()
    asked.ask(**content)
    assert asked.calls == []


def test_last_state_is_shown_at_once() -> None:
    """When `show` returns, the end of the sweep has been told, whatever waits."""
    asked = Asked()
    for count in range(5, 30):
        asked.panel.show(made_sweep(count, status="running"))
    asked.panel.show(made_sweep(30))
    assert asked.widget.head["status"] == "done"
    assert len(asked.widget.table["rows"]) == 30


def test_hostile_text_stays_text() -> None:
    """JSON holds what was told without orders to terminals and marks of direction; the script sets it as text."""
    state = replace(made_sweep(5), name=HOSTILE, error=HOSTILE, tracking={"mlflow": {"url": f"javascript:{HOSTILE}"}, HOSTILE: {HOSTILE: HOSTILE}})
    state = replace(
        state, trials=(trial(0, math.inf, **{HOSTILE: HOSTILE}), trial(1, math.nan, C=math.nan), replace(trial(2, state="FAIL"), error=HOSTILE))
    )
    best = best_numbers(state)
    told = json.dumps([head_of(state, best), pictures_of(state, best), table_of(state, best)], allow_nan=False, ensure_ascii=False)
    assert "\u202e" not in told
    assert "\\u001b" not in told
    assert head_of(state, best)["links"] == []
    assert "<img src=x" not in twin_bundle(state)["text/html"]


def test_trackers_are_opened_by_address_or_by_command() -> None:
    """A server has a link; without one the panel shows the command."""
    tracking = {"mlflow": {"url": "http://127.0.0.1:5000/#/x"}, "wandb": {"command": "wandb sync wandb/offline-run-1"}}
    assert head_of(replace(made_sweep(2), tracking=tracking), ())["links"] == [
        {"label": "Open in MLflow", "href": "http://127.0.0.1:5000/#/x"},
        {"label": "Open in W&B", "command": "wandb sync wandb/offline-run-1"},
    ]


def test_thousand_trials_stay_small() -> None:
    """All of a sweep of 1,000 trials of 12 parameters is told in less than 600 kB, what changes twice a second in less than 6 kB."""
    state = made_sweep(1000, parameters=12)
    best = best_numbers(state)
    assert len(json.dumps(table_of(state, best))) < 600_000
    assert len(json.dumps(pictures_of(state, best))) < 40_000
    assert len(json.dumps(head_of(state, best))) < 6_000


def test_twin_is_folded_up_while_the_sweep_runs() -> None:
    """The saved notebook of a sweep that has ended shows it open."""
    assert '<details class="nbmlops-twin"><summary>sweep demo' in twin_bundle(made_sweep(5, status="running"))["text/html"]
    assert '<details class="nbmlops-twin" open><summary>sweep demo' in twin_bundle(made_sweep(5))["text/html"]


def test_twin_names_no_place_of_this_machine() -> None:
    """The panel shows what opens a tracker here, and where the best run's notebook is; the notebook that is handed on does not."""
    tracking = {"mlflow": {"experiment": "demo", "command": "mlflow ui --backend-store-uri sqlite:////here/mlflow.db"}}
    state = replace(made_sweep(5), tracking=tracking, best_run={"run_id": "8f3a", "output": "/here/run.ipynb"})
    told = " ".join(twin_bundle(state).values())
    assert "/here" not in told
    assert {"experiment demo", "run_id 8f3a"} == {text for text in ("experiment demo", "run_id 8f3a") if text in told}
    head = head_of(state, ())
    assert head["links"][0]["command"].endswith("/here/mlflow.db")
    assert head["places"] == [["mlflow", "experiment demo"], ["best run", "run_id 8f3a, output /here/run.ipynb"]]
