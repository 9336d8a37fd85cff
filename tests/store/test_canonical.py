"""Equal values have equal bytes: however they were made, in whichever process, and again after they were loaded."""

# ruff: noqa: PLW0177 - these tests are about values of any type, and about which NaN it is
from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nbmlops
from nbmlops.store.serializers import Context, Encoded, decode, encode
from tests.store import equal_values
from tests.store.equal_values import MODELS, VALUES

CONTEXT = Context(namespace=vars(equal_values), trusted=True)


def data(encoded: Encoded) -> bytes:
    """Return an object's bytes."""
    return b"".join(encoded.buffers)


def load(encoded: Encoded, context: Context = CONTEXT) -> Any:
    """Load a value as a store does."""
    return decode(encoded.format, memoryview(bytearray(data(encoded))), context, encoded.form)


@pytest.mark.parametrize("name", VALUES)
def test_equal_values_have_equal_bytes(name: str) -> None:
    """Sharing, views, blocks, caches and insertion order leave no trace."""
    first, *others = (encode(make(), CONTEXT) for make in VALUES[name])
    for other in others:
        assert data(other) == data(first)


@pytest.mark.parametrize("name", VALUES)
def test_what_was_loaded_has_equal_bytes_and_form(name: str) -> None:
    """Encoding what was decoded gives the same again, for every way to make the value."""
    for make in VALUES[name]:
        first = encode(make(), CONTEXT)
        again = encode(load(first), CONTEXT)
        assert (again.format, data(again), again.form, again.refers) == (first.format, data(first), first.form, first.refers)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_fitted_twice_have_equal_bytes(name: str) -> None:
    """So have those that are loaded and stored again."""
    first, second = encode(MODELS[name](), CONTEXT), encode(MODELS[name](), CONTEXT)
    assert data(second) == data(first)
    assert data(encode(load(first), CONTEXT)) == data(first)


def test_processes_agree() -> None:
    """Hash seed, number of threads and addresses leave no trace."""
    found = []
    for seed, threads in (("0", "1"), ("1", "2"), ("77", "2")):
        root = str(Path(nbmlops.__file__).parents[1])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": root}
        command = [sys.executable, str(Path(equal_values.__file__))]
        found.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines())
    assert len(found[0]) > 250
    assert [lines for lines in zip(*found, strict=True) if len(set(lines)) > 1] == []


def test_nan_is_found_again() -> None:
    """The NaN of numpy is the NaN of numpy, and two that were one are one."""
    own = float("nan")
    again, key, one, other, frame = load(encode([np.nan, {np.nan: 1}, own, own, pd.Series([np.nan, "x"], dtype=object)], CONTEXT))
    assert again is np.nan
    assert key[np.nan] == 1
    assert one is other
    assert one is not again
    assert frame[0] is np.nan
    assert load(encode([math.nan], CONTEXT))[0] is math.nan


def test_two_nans_stay_two() -> None:
    """Rows that are not equal do not become equal."""
    first, second = load(encode([(float("nan"),), (float("nan"),)], CONTEXT))
    assert first != second


def test_the_bits_of_a_nan_are_kept() -> None:
    """Its sign can be asked for."""
    assert math.copysign(1.0, load(encode([-float("nan"), 1], CONTEXT))[0]) == -1.0


def test_masked_arrays_keep_what_pickle_loses() -> None:
    """No mask stays no mask, a hard one hard."""
    soft, hard = load(encode([np.ma.array([1]), np.ma.array([1, 2], mask=[0, 1], hard_mask=True)], CONTEXT))
    assert soft.mask is np.ma.nomask
    assert hard.hardmask


def test_a_model_uses_the_threads_of_the_process_that_uses_it() -> None:
    """The number of threads that it was fitted with is no part of it."""
    model = load(encode(MODELS["k-means"](), CONTEXT))
    assert model._n_threads >= 1
    assert model.predict(np.zeros((2, 6))).shape == (2,)


def test_code_does_not_say_how_it_was_laid_out() -> None:
    """Blanks and brackets within a line change nothing; lines within a function stay what they are."""
    contexts = []
    for source in ("f = lambda x: x / 0", "f   =  lambda   x : (x/0)"):
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(source, namespace)
        contexts.append(Context(namespace=namespace, trusted=True))
    first, second = (encode(context.namespace["f"], context) for context in contexts)
    assert data(first) == data(second)
    assert [line for *_, line in load(first, contexts[0]).__code__.co_lines()] == [
        line for *_, line in contexts[0].namespace["f"].__code__.co_lines()
    ]


def test_frames_in_another_form_are_told_apart() -> None:
    """Equal bytes, another form: sums over the blocks may differ in their last bits."""
    whole, pieces = (encode(make(), CONTEXT) for make in VALUES["tables: numbers"][:2])
    assert (data(whole), whole.form) == (data(pieces), b"")
    assert len(load(pieces)._mgr.blocks) == 4
    assert len(load(whole)._mgr.blocks) == 1
