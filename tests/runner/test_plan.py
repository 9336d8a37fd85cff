"""What is stale, and why: the plan over document, parameters, store and learnt effects."""

from __future__ import annotations

import pytest

from nbmlops.errors import UsageError
from nbmlops.pipeline.effects import Effects
from nbmlops.runner.plan import REPORT, only_stages
from tests.runner.bench import Bench, cell

PARAMETERS = cell("n = 3\nC = 0.5", "parameters")
CHAIN = (PARAMETERS, "%%mlstage a\nx = n * 2", "%%mlstage b\ny = x + C", "%%mlstage c\nz = y")


def test_nothing_has_run(bench: Bench) -> None:
    """What hangs on a stale stage is unknown, and says on which."""
    plan = bench.plan(*CHAIN)
    assert {name: item.state for name, item in plan.items()} == {"a": "stale", "b": "unknown", "c": "unknown"}
    assert plan["a"].reason
    assert plan["b"].reason == "hangs on stage a, which is stale"
    assert plan["b"].key is None


def test_everything_has_run(bench: Bench) -> None:
    """After a run all is fresh, and a changed parameter makes its users stale."""
    bench.run(*CHAIN)
    assert bench.states(*CHAIN) == {"a": "fresh", "b": "fresh", "c": "fresh"}
    plan = bench.plan(*CHAIN, parameters={"C": 1.0})
    assert {name: item.state for name, item in plan.items()} == {"a": "fresh", "b": "stale", "c": "unknown"}
    assert plan["b"].reasons == ("parameter C 0.5 -> 1.0",)


def test_early_cutoff(bench: Bench) -> None:
    """An edited stage that gives the same result leaves what hangs on it reused."""
    bench.run(*CHAIN)
    edited = (PARAMETERS, "%%mlstage a\nx = n + n", *CHAIN[2:])
    assert bench.statuses(*edited) == {"a": "ran", "b": "reused", "c": "reused"}


def test_different_result_goes_on(bench: Bench) -> None:
    """An edited stage that gives another result makes what hangs on it run."""
    bench.run(*CHAIN)
    assert bench.statuses(PARAMETERS, "%%mlstage a\nx = n * 2.0", *CHAIN[2:]) == {"a": "ran", "b": "ran", "c": "reused"}


def test_going_back_reuses(bench: Bench) -> None:
    """An earlier state of the notebook has its records still."""
    bench.run(*CHAIN)
    bench.run(*CHAIN, parameters={"n": 5})
    assert set(bench.states(*CHAIN).values()) == {"fresh"}


def test_record_must_hold_what_is_wanted_now(bench: Bench) -> None:
    """A new cell that reads another name of a stage makes the stage run again, and says which name."""
    bench.run("%%mlstage a\nx = 1\ny = 2", "%%mlstage b\nz = x")
    plan = bench.plan("%%mlstage a\nx = 1\ny = 2", "%%mlstage b\nz = x", "%%mlstage c\nw = y")
    assert (plan["a"].state, plan["a"].reason) == ("stale", "its record does not hold 'y'")


def test_lost_object_makes_stale(bench: Bench) -> None:
    """A record whose bytes are gone serves nothing."""
    done = bench.run(*CHAIN)
    bench.store.objects.delete(done.finished["a"].outputs["x"].digest)
    assert bench.states(*CHAIN)["a"] == "stale"


def test_not_reproducible_record_serves_nothing(bench: Bench) -> None:
    """What a kernel made from values changed by hand is no result of the pipeline."""
    from dataclasses import replace

    done = bench.run(*CHAIN)
    bench.store.put_record(replace(done.finished["a"], reproducible=False))
    assert bench.states(*CHAIN)["a"] == "stale"


def test_forced_and_uncached_stages_are_stale(bench: Bench) -> None:
    """`--force-stage` and `--no-cache` say so as the reason."""
    cells = ("%%mlstage a\nx = 1", "%%mlstage b --no-cache\ny = 1")
    bench.run(*cells)
    plan = bench.plan(*cells, forced=frozenset({"a"}))
    assert (plan["a"].reason, plan["b"].reason) == ("forced", "--no-cache")


def test_only_some_stages(bench: Bench) -> None:
    """Stages asked for come with what they need, and no other is planned."""
    assert set(bench.plan(*CHAIN, "%%mlstage d\nw = 1", only=frozenset({"b"}))) == {"a", "b"}


def test_unknown_stage_is_refused_with_the_nearest(bench: Bench) -> None:
    """A mistyped name is told from the others."""
    with pytest.raises(UsageError, match="no stage is called 'trian'; did you mean 'train'"):
        only_stages(bench.planner("%%mlstage train\nx = 1").pipeline, ["trian"])


def test_condition_skips_below(bench: Bench) -> None:
    """Below a false `--if` everything is skipped, with the reason."""
    cells = (PARAMETERS, "%%mlstage a --if 'n > 10'\nx = 1", "%%mlstage b\ny = x")
    plan = bench.plan(*cells)
    assert {name: item.state for name, item in plan.items()} == {"a": "skipped", "b": "skipped"}
    assert (plan["a"].reason, plan["b"].reason) == ("--if n > 10 is false", "stage a is skipped")
    assert bench.states(*cells, parameters={"n": 11})["a"] == "stale"


def test_condition_on_a_metric(bench: Bench) -> None:
    """`--if` may read what an earlier stage logs."""
    cells = ("%%mlstage a --metrics m\nm = {'auc': 0.9}", "%%mlstage b --after a --if 'auc > 0.8'\nx = 1")
    assert bench.statuses(*cells) == {"a": "ran", "b": "ran"}


def test_condition_on_nothing_is_refused(bench: Bench) -> None:
    """`--if` over a name that nothing gives is an error, not a silent skip."""
    with pytest.raises(UsageError, match="--if reads 'm'"):
        bench.plan("%%mlstage a --if 'm > 1'\nx = 1")


def test_why_compares_with_the_nearest_record(bench: Bench) -> None:
    """Of several earlier runs, the one that differs least tells why."""
    for n, c in ((1, 1.0), (2, 2.0)):
        bench.run(PARAMETERS, "%%mlstage a\nx = n * C", parameters={"n": n, "C": c})
    plan = bench.plan(PARAMETERS, "%%mlstage a\nx = n * C", parameters={"n": 1, "C": 2.5})
    assert plan["a"].reasons == ("parameter C 1.0 -> 2.5",)


def test_learning_relinks_only_for_what_links(bench: Bench) -> None:
    """A variable read changes a key, a name read changes the graph."""
    planner = bench.planner("%%mlstage a\nt = 1", "%%mlstage b\ny = 1")
    assert not planner.learn("b", Effects(environment=("WHO",)))
    assert planner.learn("b", Effects(reads=("t",)))
    assert planner.pipeline.edges == (("a", "b"),)
    assert not planner.learn("b", Effects(reads=("t",)))


def test_next_plan_knows_the_effects(bench: Bench) -> None:
    """What a run has taught stands in the graph of the next planner."""
    cells = ("text = 't'", "%%mlstage a\nt = 1", "%%mlstage b\ny = eval(text)")
    bench.run(*cells)
    planner = bench.planner(*cells)
    assert planner.pipeline.edges == (("a", "b"),)
    assert planner.plan().all_fresh


def test_effects_that_depend_on_a_parameter_are_each_known(bench: Bench) -> None:
    """A stage that opens another file for another parameter is fresh for both."""
    for name in ("one", "two"):
        bench.write(f"{name}.txt", name)
    cells = (cell("name = 'one'", "parameters"), "%%mlstage a\nx = open(str(name) + '.txt').read()")
    bench.run(*cells)
    bench.run(*cells, parameters={"name": "two"})
    assert bench.states(*cells) == bench.states(*cells, parameters={"name": "two"}) == {"a": "fresh"}
    bench.write("one.txt", "uno")
    assert bench.states(*cells) == {"a": "stale"}
    assert bench.states(*cells, parameters={"name": "two"}) == {"a": "fresh"}


def test_report_cells_are_one_unit_that_runs_last(bench: Bench) -> None:
    """Report cells are planned under a name of their own, with all that they read."""
    planner = bench.planner(*CHAIN, "print(x)", "print(z)")
    stage = planner.report_stage()
    assert stage is not None
    assert (stage.name, stage.inputs, stage.wants) == (REPORT, {"x": "a", "z": "c"}, ())
    report = planner.plan().report
    assert report is not None
    assert report.state == "unknown"


def test_planning_writes_no_record(bench: Bench) -> None:
    """A plan is a question: asked twice, it has the same answer."""
    assert bench.plan(*CHAIN)["a"].key == bench.plan(*CHAIN)["a"].key
    assert bench.store.run_ids() == []
    assert not (bench.folder / ".nbmlops" / "records").exists()
