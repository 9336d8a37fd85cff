"""Choosing a format, and what holds for all of them."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nbmlops.errors import NotStorable, StoreError, UntrustedArtifact
from nbmlops.store.serializers import SERIALIZERS, Context, decode, encode, runs_code

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPED = [1, 1.0, True, "1", b"1", (1,), [1], {1}, frozenset({1}), {"1": 1}, {1: 1}, 0.0, -0.0, 1j, None, np.float64(1), np.int64(1), np.float32(1)]


def again(value: Any, context: Context | None = None, loading: Context | None = None) -> Any:
    """Store and load a value as a store does."""
    encoded = encode(value, context or Context())
    view = memoryview(bytearray(b"".join(encoded.buffers)))
    return decode(encoded.format, view, loading or Context(trusted=True), encoded.form)


def data(value: Any) -> bytes:
    """Return a value's bytes."""
    return b"".join(encode(value, Context()).buffers)


@pytest.mark.parametrize("value", TYPED, ids=repr)
def test_values_keep_their_type(value: Any) -> None:
    """Scalars and containers come back with type and sign."""
    assert type(again(value)) is type(value)
    assert repr(again(value)) == repr(value)


def test_different_types_never_share_bytes() -> None:
    """Values that are equal to Python but of different types have different bytes."""
    assert len({data(value) for value in TYPED}) == len(TYPED)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None]}, "json"),
        (float("nan"), "pickle5"),
        ((1, 2), "pickle5"),
        (np.arange(3), "npy"),
        (np.array([None]), "pickle5"),
        (pd.DataFrame({"a": ["x"]}), "arrow"),
        (pd.DataFrame({"a": [object]}), "pickle5"),
    ],
    ids=repr,
)
def test_the_first_exact_format_is_taken(value: Any, expected: str) -> None:
    """Plain formats are preferred, and left where they would change the value."""
    assert encode(value, Context()).format == expected


def test_untrusted_pickles_are_refused() -> None:
    """A format that runs code is decoded in a trusted context only."""
    encoded = encode({1, 2}, Context())
    assert runs_code(encoded.format)
    with pytest.raises(UntrustedArtifact, match="trusted_stores"):
        decode(encoded.format, memoryview(b"".join(encoded.buffers)), Context(trusted=False))


def test_plain_formats_need_no_trust() -> None:
    """JSON, arrays and tables run no code."""
    for value in ([1], np.arange(2), pd.DataFrame({"a": [1.5]})):
        encoded = encode(value, Context())
        decode(encoded.format, memoryview(b"".join(encoded.buffers)), Context(trusted=False))


def test_an_array_of_objects_in_npy_clothes_is_refused() -> None:
    """An npy artifact made by someone else cannot smuggle a pickle in."""
    from io import BytesIO

    file = BytesIO()
    np.save(file, np.array([object()]), allow_pickle=True)
    with pytest.raises(StoreError):
        decode("npy", memoryview(file.getvalue()), Context())


def test_an_unknown_format_is_one_line() -> None:
    """A record written by a plugin that is not installed says so."""
    with pytest.raises(StoreError, match="unknown format 'polars'"):
        decode("polars", memoryview(b""), Context(trusted=True))


def test_broken_bytes_are_one_line() -> None:
    """Bytes that cannot be decoded are a StoreError."""
    with pytest.raises(StoreError, match="cannot be read"):
        decode("json", memoryview(b"{"), Context())


def test_importing_the_serializers_is_light() -> None:
    """Nothing heavy is imported before a value needs it."""
    code = "import sys, nbmlops.store.serializers as s; s.encode([1], s.Context()); print([m for m in sys.modules])"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "pandas", "pyarrow", "cloudpickle", "fsspec", "blake3"):
        assert f"'{heavy}'" not in names


def test_sizes_and_names_are_for_people() -> None:
    """An artifact has its public type and its size in words."""
    frame = encode(pd.DataFrame({"a": range(1000), "b": 1.0}), Context())
    assert (frame.type, frame.summary) == ("pandas.DataFrame", "1,000 x 2")
    assert encode(np.zeros((2, 3)), Context()).summary == "2 x 3 float64"
    assert encode([1, 2], Context()).summary == "2 items"
    assert frame.size_bytes == sum(len(item) for item in frame.buffers)


def test_every_builtin_is_named() -> None:
    """The family lists the four formats."""
    assert {"arrow", "json", "npy", "pickle5"} <= set(SERIALIZERS.names())


SCRIPT = """
import sys, collections, dataclasses, enum
import numpy as np, pandas as pd
from blake3 import blake3
from nbmlops.store.serializers import Context, encode
namespace = {"__name__": "__main__"}
exec(compile(open(sys.argv[1]).read(), sys.argv[2], "exec"), namespace)
for name, value in namespace["values"].items():
    encoded = encode(value, Context(namespace=namespace, by_reference=frozenset({"Setup"})))
    print(name, encoded.format, blake3(b"".join(encoded.buffers)).hexdigest(), *encoded.refers)
"""
VALUES = """
import collections, dataclasses, enum, functools, re
import numpy as np, pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
class Setup: pass
@dataclasses.dataclass
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
class Base:
    kinds = {"a", "b", "c", "dd", None, (1, "x")}
    def go(self): return [k for k in self.kinds if k in {"q", "r", "s"}]
def outer(n):
    def inner(x): return inner(x - n) if x > 0 else x
    return inner
Row = collections.namedtuple("Row", "a b")
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
values = {
    "set": {"alpha", "beta", "gamma", "delta", 1, None, (1, "z")},
    "colours": {Colour.RED, Colour.BLUE}, "classes": {int, str, Point, Base, len},
    "function": outer(2), "class": Base, "instance": Base(), "point": Point(1, [2]), "row": Row(1, "x"),
    "lambda": lambda v: v in {"aa", "bb", "cc"}, "partial": functools.partial(outer, n=1), "regex": re.compile("a|b"),
    "frame": pd.DataFrame({"a": ["x", None], "b": [1.0, float("nan")], "o": [1, "z"]}),
    "table": pd.DataFrame({"a": ["x", None], "b": [1.0, float("nan")]}),
    "logistic": make_pipeline(StandardScaler(), FunctionTransformer(np.abs), LogisticRegression()).fit(X, y),
    "boosting": HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, y),
    "forest": RandomForestClassifier(5, random_state=0).fit(X, y), "setup": Setup(),
}
"""


def test_equal_values_have_equal_bytes_in_fresh_processes(tmp_path: Path) -> None:
    """Hash seed, file name and the history of the process leave no trace."""
    (tmp_path / "values.py").write_text(VALUES)
    (tmp_path / "moved.py").write_text("# a comment\n\n\n" + VALUES)
    (tmp_path / "script.py").write_text(SCRIPT)
    found = []
    for seed, name in (("1", "values.py"), ("2", "moved.py")):
        command = [sys.executable, "script.py", name, f"/tmp/ipykernel_{seed}/cell.py"]
        root = Path(importlib.util.find_spec("nbmlops").submodule_search_locations[0]).parent
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        found.append(subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout.splitlines())
    assert found[0] == found[1]
    assert len(found[0]) == 17


def test_a_value_that_no_format_takes_names_the_remedy() -> None:
    """The error has code, inner object, place and fix."""
    with pytest.raises(NotStorable) as caught:
        encode({"rows": [], "source": (x for x in ())}, Context())
    assert "value['source']" in str(caught.value)
    assert "list(...)" in str(caught.value)


class _Gadget:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def _bombs(path: Path) -> Iterator[bytes]:
    """Yield bytes that run code wherever a pickle is read, bare and in what programs wrap pickles in."""
    from io import BytesIO

    inner: list[object] = [_Gadget(path), [_Gadget(path)], {"a": _Gadget(path)}, np.array([_Gadget(path)]), pd.DataFrame({"a": [_Gadget(path)]})]
    for value in inner:
        yield b"".join(encode(value, Context()).buffers)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield pickle.dumps(value, protocol)
        file = BytesIO()
        np.save(file, np.array([value], dtype=object), allow_pickle=True)
        yield file.getvalue()
        file = BytesIO()
        np.savez(file, a=np.array([value], dtype=object))
        yield file.getvalue()
    column = pa.array([1]).cast(pa.int64())
    field = pa.field(
        "a", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(inner[0])}
    )
    for schema in (pa.schema([field]), pa.schema([field], metadata={"pandas": pickle.dumps(inner[0])})):
        sink = BytesIO()
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(pa.Table.from_arrays([column], schema=schema))
        yield sink.getvalue()


def test_no_bomb_goes_off(tmp_path: Path) -> None:
    """Bytes and forms that somebody else has put into a store run nothing, whatever format their record names."""
    canary = tmp_path / "went off"
    tried = 0
    for data in _bombs(canary):
        for name in SERIALIZERS.names():
            for form in (b"", data):
                with suppress(StoreError):
                    decode(name, memoryview(bytearray(data)), Context(trusted=False), form)
                tried += 1
    assert tried > 300
    assert not canary.exists()
    decode("pickle5", memoryview(next(_bombs(canary))), Context(trusted=True))  # the bombs are real
    assert canary.exists()
