"""Records come back as they went, and a seal shows any change."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.pipeline.effects import Effects
from nbmlops.store.records import Artifact, BadSeal, ForeignSeal, RunRecord, StageRecord, is_name, seal, unseal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
KEY = b"k" * 32


def _record() -> StageRecord:
    artifact = Artifact(
        name="model", digest="a" * 64, format="pickle5", size_bytes=3, members=("model", "best"), refers=("name:clean",), type="T", summary="s"
    )
    return StageRecord(
        key="k1",
        stage="train",
        notebook="flights.ipynb",
        code="c",
        components={"parameters": {"C": 0.5}, "inputs": ["x"]},
        outputs={"model": artifact},
        cell_outputs="b" * 64,
        metrics={"roc_auc": 0.71, "n": 3, "kind": "hgb", "none": None},
        gates=({"name": "g", "passed": True},),
        effects=Effects(reads=("t",), aliases=(("a", "b"),)),
        seconds=1.5,
        started_s=1e9,
        reproducible=False,
        remarks=("why",),
        environment={"pandas": "3"},
        files_written={"out.csv": "c" * 64},
        attempt="t",
        run_id="r",
    )


def test_a_stage_record_round_trips() -> None:
    """Every field of a stage record survives JSON."""
    assert StageRecord.from_json(json.loads(json.dumps(_record().to_json()))) == _record()


def test_a_run_record_round_trips() -> None:
    """Every field of a run record survives JSON."""
    run = RunRecord(
        run_id="r",
        notebook="n.ipynb",
        notebook_digest="d",
        status="done",
        started_s=1.0,
        seconds=2.0,
        parameters={"C": [1, 2]},
        stages=({"name": "train", "key": "k"},),
        output="out.ipynb",
        tracking={"mlflow": {"run_id": "m"}},
        diagnostics=({"code": "NB101"},),
        seed=3,
        git_commit="abc",
    )
    assert RunRecord.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_fields_of_a_newer_version_are_ignored() -> None:
    """A record that a newer version wrote can be read."""
    assert StageRecord.from_json(_record().to_json() | {"mood": "good"}) == _record()


def test_a_record_names_all_it_needs() -> None:
    """Artifacts, outputs and files are what a record needs."""
    assert _record().digests() == {"a" * 64, "b" * 64, "c" * 64}


def test_a_record_with_a_path_for_a_digest_is_refused() -> None:
    """No record can name anything that is no digest."""
    with pytest.raises(ValueError, match="no digest"):
        StageRecord(key="k", stage="s", notebook="n", code="c", files_written={"x": "../../etc/passwd"})


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a.json", "a" * 129, "é", None])
def test_only_plain_names_are_names(name: object) -> None:
    """What could lead elsewhere is no name."""
    assert not is_name(name)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from([None, KEY]))
def test_a_seal_keeps_the_data_and_its_order(data: dict[str, object], key: bytes | None) -> None:
    """What was sealed comes back equal, in the same order."""
    back = unseal(seal(data, key=key), key=key)
    assert back == data
    assert list(back) == list(data)


def test_nan_and_stray_surrogates_are_kept() -> None:
    """A metric may be NaN, and output may hold half a character."""
    back = unseal(seal({"metric": math.nan, "top": math.inf, "text": "\udc80 é"}))
    assert math.isnan(back["metric"])
    assert back["top"] == math.inf
    assert back["text"] == "\udc80 é"


@pytest.mark.parametrize("key", [None, KEY])
def test_any_changed_byte_breaks_the_seal(key: bytes | None) -> None:
    """Each byte changed, dropped or added is seen."""
    sealed = seal({"key": "k1", "metrics": {"auc": 0.71}}, key=key)
    for at in range(len(sealed)):
        for changed in (sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], sealed[:at], sealed[:at] + b" " + sealed[at:]):
            with pytest.raises(BadSeal):
                unseal(changed, key=key)


def test_a_sealed_file_is_plain_json() -> None:
    """Other programs can read what is sealed."""
    assert json.loads(seal({"a": 1}, key=KEY))["body"] == {"a": 1}


def test_without_the_key_nobody_can_seal() -> None:
    """What is sealed without the key, or with another one, is foreign to whoever has it."""
    for sealed in (seal({"a": 1}), seal({"a": 1}, key=b"x" * 32)):
        with pytest.raises(ForeignSeal):
            unseal(sealed, key=KEY)
    assert unseal(seal({"a": 1}, key=KEY)) == {"a": 1}
