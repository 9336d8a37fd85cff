"""Values that are equal however they were made: each row gives several ways to make one value.

Run as a script it prints the digest of every one, so that processes with other hash seeds, threads and histories can be compared.
"""

# ruff: noqa: PLW0108, C414 - a table of values of any type, each made where it is asked for
from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import math
import operator
import pathlib
import random
import re
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

__all__ = ["MODELS", "VALUES", "Colour", "Frozen", "Point", "Row", "Slots"]

Makers = tuple[Callable[[], Any], ...]


@dataclasses.dataclass
class Point:
    """A value with parts that can change."""

    x: int
    y: list[int]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A value with a part that cannot."""

    x: str


class Colour(enum.Enum):
    """Two singletons."""

    RED = "red"
    BLUE = "blue"


Row = collections.namedtuple("Row", "a b")  # noqa: PYI024 - such rows are what users have


class Slots:
    """An object without a dict."""

    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


def joined(*parts: str) -> str:
    """Return a text that is not the interned one."""
    return "".join(parts)


def twice(value: Any) -> tuple[Any, Any]:
    """Return one object in two places."""
    return value, value


def after(value: Any, *acts: Callable[[Any], object]) -> Any:
    """Return a value that something was done with."""
    for act in acts:
        act(value)
    return value


def two(make: Callable[[], Any], other: Callable[[], Any] | None = None) -> Makers:
    """Return one object in two places, and two equal ones."""
    return lambda: twice(make()), lambda: (make(), (other or make)())


WORDS = ["alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta", "iota", "kappa", "lam", "mu", "nu"]


def sets(items: Callable[[], list[Any]]) -> Makers:
    """Return one set, filled in several ways."""
    return (
        lambda: set(items()),
        lambda: set(sorted(items(), key=lambda item: -hash(item))),
        lambda: after(set(range(1000)), set.clear, lambda made: made.update(items())),
        lambda: after({*items(), *range(-1000, 0)}, lambda made: [made.discard(item) for item in range(-1000, 0)]),
        lambda: set(dict.fromkeys(items()[3:])) | set(items()[:3]),
    )


IMMUTABLES: dict[str, Makers] = {
    "texts": (lambda: ("ab", "ab"), lambda: ("ab", joined("a", "b"))),
    "texts in a list": (lambda: [("ab",), "ab"], lambda: [(joined("a", "b"),), joined("", "ab")]),
    "integers": two(lambda: 10**50, lambda: int("1" + "0" * 50)),
    "floats": two(lambda: float("1.5")),
    "complex": two(lambda: complex(0, float("1.5"))),
    "bytes": two(lambda: bytes([97, 98])),
    "tuples": two(lambda: (1, "x", (2.5, None)), lambda: (*[1], "x", (*[2.5], None))),
    "long tuples": two(lambda: tuple(range(500))),
    "frozensets": two(lambda: frozenset(WORDS), lambda: frozenset(WORDS[::-1])),
    "ranges": two(lambda: range(3)),
    "slices": two(lambda: slice(1, 2)),
    "decimals": two(lambda: decimal.Decimal("1.50"), lambda: decimal.Decimal("1.5" + "0")),
    "fractions": two(lambda: fractions.Fraction(1, 3), lambda: fractions.Fraction(2, 6)),
    "dates": two(lambda: dt.date(2020, 1, 1), lambda: dt.date.fromisoformat("2020-01-01")),
    "times": two(lambda: dt.time(1, 2)),
    "moments": two(lambda: dt.datetime(2020, 1, 1, 3, tzinfo=dt.UTC), lambda: dt.datetime.fromisoformat("2020-01-01T03:00+00:00")),
    "zones": two(lambda: dt.timezone(dt.timedelta(hours=2)), lambda: dt.timezone(dt.timedelta(minutes=120))),
    "named zones": two(lambda: dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))),
    "durations": two(lambda: dt.timedelta(days=1), lambda: dt.timedelta(hours=24)),
    "uuids": two(lambda: uuid.UUID(int=5), lambda: after(uuid.UUID("00000000000000000000000000000005"), hash)),
    "paths": two(lambda: pathlib.PurePosixPath("a/b.c"), lambda: after(pathlib.PurePosixPath("a") / "b.c", str, hash, lambda path: path.suffix)),
    "addresses": two(lambda: ipaddress.ip_address("1.2.3.4"), lambda: after(ipaddress.ip_address(16909060), hash)),
    "patterns": (lambda: twice(re.compile("a|b")), lambda: (re.compile("a|b"), after(None, lambda _: re.purge()) or re.compile(joined("a", "|b")))),
    "numpy scalars": two(lambda: np.float64(1.5), lambda: np.array([1.5])[0]),
    "numpy integers": two(lambda: np.int32(2), lambda: np.array([2], "i4")[0]),
    "timestamps": two(lambda: pd.Timestamp("2020-01-01", tz="UTC"), lambda: pd.Timestamp("2020-01-01").tz_localize("UTC")),
    "named tuples": (lambda: [Row(1, "a")], lambda: [Row(b=joined("", "a"), a=1)]),
}

CONTAINERS: dict[str, Makers] = {
    "dict": (
        lambda: {"a": [1], "b": (2,)},
        lambda: {"a": [1], joined("", "b"): (2,)},
        lambda: after({"z": 1, "a": [1], "b": (2,)}, lambda made: made.pop("z")),
    ),
    "ordered dict": (lambda: collections.OrderedDict(a=1, b=2), lambda: after(collections.OrderedDict(b=2, a=1), lambda made: made.move_to_end("b"))),
    "defaultdict": (
        lambda: collections.defaultdict(list, {"a": [1]}),
        lambda: after(collections.defaultdict(list), lambda made: made["a"].append(1)),
    ),
    "counter": (lambda: collections.Counter("aab"), lambda: collections.Counter({"a": 2, "b": 1})),
    "deque": (
        lambda: collections.deque([1, 2], maxlen=3),
        lambda: after(collections.deque(maxlen=3), lambda made: made.extend([0, 1, 2]), lambda made: made.popleft()),
    ),
    "bytearray": (lambda: bytearray(b"abc"), lambda: after(bytearray(b"a"), lambda made: made.extend(b"bc"))),
    "array": (lambda: array.array("d", [1, 2]), lambda: after(array.array("d", [1]), lambda made: made.append(2))),
    "namespace": (lambda: types.SimpleNamespace(a=1, b="x"), lambda: types.SimpleNamespace(a=1, b=joined("", "x"))),
    "partial": (lambda: functools.partial(int, base=2), lambda: functools.partial(functools.partial(int), base=2)),
    "getters": (
        lambda: [operator.itemgetter(1, "a"), operator.attrgetter("a.b")],
        lambda: [operator.itemgetter(1, joined("", "a")), operator.attrgetter(joined("a", ".b"))],
    ),
    "random": (lambda: random.Random(3), lambda: after(random.Random(), lambda made: made.seed(3))),
    "generator": (lambda: [np.random.default_rng(3)], lambda: [np.random.Generator(np.random.PCG64(3))]),
    "random state": (lambda: [np.random.RandomState(3)], lambda: [after(np.random.RandomState(), lambda made: made.seed(3))]),
    "dataclass": (lambda: Point(1, [2]), lambda: dataclasses.replace(Point(2, [2]), x=1)),
    "frozen dataclass": (lambda: [Frozen("a")], lambda: [Frozen(joined("", "a"))]),
    "enum": (lambda: [Colour.RED], lambda: [Colour("red")]),
    "slots": (lambda: Slots(1, "a"), lambda: Slots(1, joined("", "a"))),
    "nan of the module": (lambda: [math.nan, np.nan], lambda: [math.nan, np.nan]),
    "nan in two places": (lambda: [*twice(float("nan"))], lambda: [*twice(float("nan"))]),
}

SETS: dict[str, Makers] = {
    **{f"{count} texts": sets(lambda count=count: WORDS[:count]) for count in (2, 3, 5, 8, 13)},
    "a thousand texts": sets(lambda: [f"{number:x}" for number in range(1000)]),
    "integers": sets(lambda: [number * 8 for number in range(50)]),
    "floats": sets(lambda: [number / 8 for number in range(20)]),
    "tuples": sets(lambda: [(word, index) for index, word in enumerate(WORDS)]),
    "dates": sets(lambda: [dt.date(2020, 1, day) for day in range(1, 20)]),
    "paths": sets(lambda: [pathlib.PurePosixPath(word) for word in WORDS]),
    "timestamps": sets(lambda: [pd.Timestamp(2020, 1, day) for day in range(1, 9)]),
    "numpy texts": sets(lambda: [np.str_(word) for word in WORDS]),
    "frozensets": sets(lambda: [frozenset(word) for word in WORDS]),
    "many types": sets(lambda: [1, "a", None, (1, "b"), 2.5, b"x", decimal.Decimal(3)]),
    "types": sets(lambda: [int, str, float, dict]),
    "enum": sets(lambda: list(re.RegexFlag)),
    "in a dict": (lambda: {"a": {"x", "y", "z"}, "b": {"x", "y"}}, lambda: {"a": {"z", "y", "x"}, "b": {"y", "x"}}),
    "in a frame": (lambda: pd.DataFrame({"s": [{"x", "y", "z"}]}), lambda: pd.DataFrame({"s": [{"z", "y", "x"}]})),
}

GRID = np.arange(24.0).reshape(4, 6)
ARRAYS: dict[str, Makers] = {
    "rows": (lambda: GRID[1:3].copy(), lambda: GRID[1:3]),
    "steps": (lambda: GRID[::2].copy(), lambda: GRID[::2]),
    "backwards": (lambda: GRID[::-1].copy(), lambda: GRID[::-1]),
    "a column": (lambda: GRID[:, 1].copy(), lambda: GRID[:, 1]),
    "in a list": (lambda: [GRID[:, 1].copy()], lambda: [GRID[:, 1]]),
    "transposed": (lambda: np.asfortranarray(GRID.T), lambda: GRID.T),
    "one column": (
        lambda: np.arange(4.0).reshape(4, 1),
        lambda: np.arange(4.0)[:, None],
        lambda: np.arange(4.0).reshape(1, 4).T,
        lambda: np.arange(8.0).reshape(4, 2)[:, :1] / 2,
    ),
    "no dimension": (lambda: np.array(3.0), lambda: np.array([3.0]).reshape(())),
    "empty": (lambda: np.zeros((0, 3)), lambda: GRID[:0, :3], lambda: GRID[:0, ::2]),
    "byte order": (lambda: np.arange(3, dtype="<i8"), lambda: np.arange(3, dtype="=i8")),
    "texts": (lambda: np.array(["a", "bb"]), lambda: np.array(["a", "bb"], dtype="<U2")),
    "objects": (lambda: np.array(["a", "a", None, 1], object), lambda: np.array([joined("", "a"), "a", None, int("1")], object)),
    "objects in steps": (lambda: np.array(["a", None], object), lambda: np.array(["a", 1, None, 2], object)[::2]),
    "times": (lambda: np.array(["2020-01-01"], "M8[ns]"), lambda: np.array(["2020-01-01"], "M8[D]").astype("M8[ns]")),
    "fields": (
        lambda: np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        lambda: np.array([(1, 2.0)], np.dtype({"names": ["a", "b"], "formats": ["i4", "f8"]})),
    ),
    "masked": (lambda: np.ma.array([1, 2, 3], mask=[0, 1, 0]), lambda: np.ma.array([1, 2, 3], mask=[False, True, False])),
    "masked without mask": (lambda: np.ma.array([1, 2, 3]), lambda: np.ma.array(np.arange(1, 4))),
    "read-only": (lambda: after(np.arange(3), lambda made: made.setflags(write=False)), lambda: np.broadcast_to(np.arange(3), (3,))),
    "sparse": (
        lambda: sp.csr_matrix(np.eye(4)),
        lambda: sp.coo_matrix(np.eye(4)).tocsr(),
        lambda: sp.csr_matrix((np.ones(4), (range(4), range(4))), shape=(4, 4)),
        lambda: after(sp.csr_matrix(np.eye(4)), lambda made: made.has_sorted_indices, lambda made: made.has_canonical_format),
    ),
}


def mixed() -> pd.DataFrame:
    """Return a frame with columns of many kinds."""
    return pd.DataFrame(
        {
            "a": [1, 2, 3],
            "b": [1.0, np.nan, 3.0],
            "c": ["x", None, "z"],
            "d": pd.Categorical(["u", "v", "u"]),
            "t": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
            "k": [True, False, True],
        }
    )


def numbers() -> pd.DataFrame:
    """Return a frame with one block."""
    return pd.DataFrame({name: np.arange(5.0) + place for place, name in enumerate("abcd")})


def piecemeal(whole: pd.DataFrame) -> pd.DataFrame:
    """Return the same frame, made column by column."""
    made = pd.DataFrame(index=whole.index)
    for name in whole:
        made[name] = whole[name]
    return made


TABLES: dict[str, Makers] = {
    "frame": (
        mixed,
        lambda: mixed().copy(),
        lambda: piecemeal(mixed()),
        lambda: pd.concat([mixed()[["a", "b", "c"]], mixed()[["d", "t", "k"]]], axis=1),
        lambda: pd.concat([mixed(), mixed()], ignore_index=True).iloc[:3],
        lambda: mixed()[list("ktdcba")][list("abcdtk")],
    ),
    "numbers": (
        numbers,
        lambda: piecemeal(numbers()),
        lambda: piecemeal(numbers()).copy(),
        lambda: pd.DataFrame(np.column_stack([numbers()[name] for name in "abcd"]), columns=list("abcd")),
        lambda: pd.DataFrame(numbers().to_dict("list")),
        lambda: numbers().T.T,
        lambda: numbers()[numbers().a >= 0],
        lambda: numbers().assign(d=lambda frame: frame.d),
        lambda: after(numbers(), lambda made: made["a"], lambda made: made.dtypes, lambda made: made.to_numpy()),
    ),
    "rows of a frame": (
        lambda: pd.DataFrame({"a": [2, 3], "s": ["y", "z"]}, index=pd.RangeIndex(1, 3)),
        lambda: pd.DataFrame({"a": [1, 2, 3], "s": ["x", "y", "z"]}).iloc[1:],
    ),
    "used index": (
        lambda: pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
        lambda: after(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), lambda made: made.loc["x"], lambda made: made.index.is_unique),
    ),
    "levels": (
        lambda: pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])),
        lambda: pd.DataFrame({"x": ["a", "b"], "y": [1, 2], "v": [1, 2]}).set_index(["x", "y"]),
    ),
    "column of a frame": (lambda: pd.Series(np.arange(5.0) + 1, name="b"), lambda: numbers()["b"]),
    "texts": (
        lambda: pd.Series(["a", "b"]),
        lambda: pd.concat([pd.Series(["a"]), pd.Series(["b"])], ignore_index=True),
        lambda: after(pd.Series(["a", "b"]), lambda made: made.str.upper()),
    ),
    "categories": (lambda: pd.Series(["a", "b"]).astype("category"), lambda: pd.Series(pd.Categorical(["a", "b"], categories=["a", "b"]))),
    "index": (lambda: pd.Index(["a", "b"]), lambda: after(pd.Index(["a", "b"]), lambda made: made.get_loc("a"))),
    "dates": (
        lambda: pd.DatetimeIndex(["2020-01-01", "2020-01-05"]),
        lambda: after(pd.to_datetime(["2020-01-01", "2020-01-05"]), lambda made: made.year),
    ),
    "nullable": (lambda: pd.array([1, None], dtype="Int64"), lambda: after(pd.array([1, 7], dtype="Int64"), lambda made: made.__setitem__(1, pd.NA))),
    "objects": (
        lambda: pd.DataFrame({"o": ["a", "a", 1, None]}, dtype=object),
        lambda: pd.DataFrame({"o": [joined("", "a"), "a", 1, None]}, dtype=object),
    ),
    "arrow": (lambda: pa.table({"a": [1, 2], "s": ["x", None]}), lambda: pa.table({"a": [0, 1, 2], "s": ["w", "x", None]}).slice(1)),
    "arrow array": (lambda: [pa.array([1, 2])], lambda: [pa.array([0, 1, 2])[1:]]),
}

VALUES: dict[str, Makers] = {
    f"{group}: {name}": makers
    for group, rows in {"immutables": IMMUTABLES, "containers": CONTAINERS, "sets": SETS, "arrays": ARRAYS, "tables": TABLES}.items()
    for name, makers in rows.items()
}


def _models() -> dict[str, Callable[[], Any]]:
    from sklearn import (
        cluster,
        compose,
        datasets,
        decomposition,
        ensemble,
        feature_extraction,
        impute,
        linear_model,
        mixture,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

    features, target = datasets.make_classification(120, 6, random_state=0)
    frame = pd.DataFrame(features, columns=list("abcdef")).assign(g=np.where(features[:, 0] > 0, "p", "q"))
    texts = ["the cat sat", "a dog ran", "my cat ran", "some dog sat"]
    columns = [
        ("n", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), list("abcdef")),
        ("c", preprocessing.OneHotEncoder(), ["g"]),
    ]
    plain = {
        "logistic": lambda: linear_model.LogisticRegression(),
        "ridge": lambda: linear_model.RidgeCV(),
        "sgd": lambda: linear_model.SGDClassifier(random_state=0),
        "forest": lambda: ensemble.RandomForestClassifier(8, random_state=0),
        "forest with two jobs": lambda: ensemble.RandomForestClassifier(8, random_state=0, n_jobs=2),
        "forest with a state": lambda: ensemble.RandomForestClassifier(4, random_state=np.random.RandomState(0)),
        "trees": lambda: ensemble.ExtraTreesRegressor(8, random_state=0),
        "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0),
        "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=8, early_stopping=True, random_state=0),
        "isolation": lambda: ensemble.IsolationForest(n_estimators=8, random_state=0),
        "bagging": lambda: ensemble.BaggingClassifier(n_estimators=4, random_state=0),
        "voting": lambda: ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())]),
        "stacking": lambda: ensemble.StackingClassifier([("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())]),
        "tree": lambda: tree.DecisionTreeClassifier(random_state=0),
        "svm": lambda: svm.SVC(random_state=0),
        "k-means": lambda: cluster.MiniBatchKMeans(3, random_state=0, n_init=2),
        "pca": lambda: decomposition.PCA(2, random_state=0),
        "neighbours": lambda: neighbors.KNeighborsClassifier(),
        "bayes": lambda: naive_bayes.GaussianNB(),
        "network": lambda: neural_network.MLPClassifier((4,), max_iter=300, tol=1.0, n_iter_no_change=1, random_state=0),
        "mixture": lambda: mixture.GaussianMixture(2, random_state=0),
        "pipeline": lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(), preprocessing.FunctionTransformer(np.abs), linear_model.LogisticRegression()
        ),
        "splines": lambda: preprocessing.SplineTransformer(),
    }
    fitted: dict[str, Callable[[], Any]] = {name: lambda make=make: make().fit(features, target) for name, make in plain.items()}
    return fitted | {
        "columns": lambda: pipeline.make_pipeline(compose.ColumnTransformer(columns), linear_model.LogisticRegression()).fit(frame, target),
        "words": lambda: feature_extraction.text.TfidfVectorizer(stop_words="english").fit(texts),
        "split": lambda: __import__("sklearn.model_selection").model_selection.train_test_split(frame, target, random_state=0),
    }


MODELS = _models()

if __name__ == "__main__":
    from blake3 import blake3

    from nbmlops.store.serializers import Context, encode

    context = Context(namespace=globals())
    for name, made in [(name, maker()) for name, makers in VALUES.items() for maker in makers] + [(name, make()) for name, make in MODELS.items()]:
        sys.stdout.write(f"{name} {blake3(b''.join(encode(made, context).buffers)).hexdigest()}\n")
