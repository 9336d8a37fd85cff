"""Objects, functions and classes: inner identity, late binding, and what cannot be kept."""

from __future__ import annotations

import functools
import gc
import io
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import types
import weakref
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KDTree

from nbmlops.errors import NotStorable, StoreError
from nbmlops.store.fingerprint import value_fingerprint
from nbmlops.store.serializers import Context, Serializer, decode, encode
from nbmlops.store.serializers.pickles import PickleSerializer
from tests.store.serializer_conformance import SerializerConformance, join


def notebook(source: str, *by_reference: str) -> Context:
    """Run cells in a namespace of their own."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return Context(namespace=namespace, by_reference=frozenset(by_reference), trusted=True)


def load(value: Any, context: Context | None = None, loading: Context | None = None) -> Any:
    """Store and load."""
    encoded = encode(value, context or Context())
    return decode(encoded.format, memoryview(bytearray(join(encoded))), loading or context or Context(trusted=True), encoded.form)


class TestConformance(SerializerConformance):
    """Pickle keeps the contract of a serializer."""

    serializer: ClassVar[Serializer] = PickleSerializer()
    examples: ClassVar[tuple[Any, ...]] = (
        (1, "a", (2.5, None)),
        {1: {2, 3}, "x": frozenset({"b", "a"})},
        re.compile("a+", re.IGNORECASE),
        10**5000,
        np.float64(0.5),
        {"when": pd.Timestamp("2024-01-01", tz="UTC"), "na": (1, 1.0, True)},
        functools.partial(int, base=2),
    )

    def same(self, left: Any, right: Any) -> bool:
        """Compare partials by their parts."""
        return left == right or (isinstance(left, functools.partial) and (left.func, left.keywords) == (right.func, right.keywords))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("ab", "ab"), ("ab", b"ab".decode())),
        ([(1, 2), (1, 2)], [(1, 2), tuple(range(1, 3))]),
        ([b"x" * 20] * 2, [b"x" * 20, bytes(bytearray(b"x" * 20))]),
        (({"b", "a"},), ({"a", "b"},)),
        ((np.zeros(2), np.zeros(2)), (np.zeros(2), np.zeros(2, np.dtype("f8").newbyteorder("=")))),
    ],
)
def test_the_history_of_immutable_values_leaves_no_trace(left: Any, right: Any) -> None:
    """Whether equal constants are one object does not change the bytes."""
    assert join(encode(tuple(left), Context())) == join(encode(tuple(right), Context()))


def test_equal_but_different_tuples_stay_apart() -> None:
    """1, 1.0, True and the zeros are not taken for each other."""
    value = [(1,), (1.0,), (True,), (0.0,), (-0.0,)]
    assert repr(load(tuple(value))) == repr(tuple(value))


def test_inner_identity_is_kept() -> None:
    """One list in two places stays one list, and a cycle stays a cycle."""
    shared: list[Any] = []
    value: Any = {"a": shared, "b": shared}
    shared.append(value)
    again = load(value)
    assert again["a"] is again["b"]
    assert again["a"][0] is again


def test_the_same_set_stays_one_set() -> None:
    """A set in two places, and one that holds what refers to it."""
    context = notebook("class Node:\n    pass\nnode = Node(); node.all = {node}; both = [node.all, node.all, node]")
    again = load(context.namespace["both"], context)
    assert again[0] is again[1]
    assert again[2].all is again[0]
    assert again[2] in again[0]


@pytest.mark.parametrize("cut", [slice(2, 4), slice(None, None, 2), slice(None, None, -1), slice(None)], ids=str)
def test_views_keep_sharing_memory(cut: slice) -> None:
    """Writing through an array shows in its view, as it did before."""
    whole = np.arange(10.0)
    again, view = load((whole, whole[cut]))
    np.testing.assert_array_equal(view, whole[cut])
    again[:] = 7
    assert (view == 7).all()


def test_a_small_view_does_not_carry_its_base() -> None:
    """Only what is reachable is stored."""
    assert encode([np.zeros(1_000_000)[:3]], Context()).size_bytes < 1000


VIEWS = {"records": lambda array: array.view(np.recarray), "part": lambda array: array.view(np.recarray)[1:], "field": lambda array: array["b"]}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_records_share_memory_with_their_array(view: Any) -> None:
    """Records are of numpy's own class again, and writing through one shows in the other."""
    array = np.zeros(3, dtype=[("a", "i4"), ("b", "f8")])
    again, other = load([array, view(array)])
    assert type(other) is type(view(array))
    again["b"][1:] = 7.5
    assert other.tolist() == view(again).tolist()


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrix_shares_memory_with_its_array() -> None:
    """A matrix is one more view of memory."""
    matrix = np.asmatrix(np.eye(2))
    again, array = load([matrix, np.asarray(matrix)])
    array[0, 1] = 5
    assert (type(again), again.tolist()) == (np.matrix, [[1, 5], [0, 1]])


def test_class_of_arrays_that_shares_memory_is_refused() -> None:
    """Nobody here knows how to make a masked array over memory that another array has too."""
    array = np.arange(3.0)
    with pytest.raises(NotStorable, match="share memory"):
        load([array, np.ma.MaskedArray(array, [True, False, False])])
    assert load([array, np.ma.MaskedArray(array.copy(), [True, False, False])])[1].tolist() == [None, 1.0, 2.0]


def test_arrays_of_objects_that_share_memory_are_refused() -> None:
    """Their sharing cannot be kept, so the error says to copy."""
    whole = np.array([1, [], None], object)
    with pytest.raises(NotStorable, match="copy"):
        encode([whole, whole[1:]], Context())


def test_frames_that_share_columns_are_not_tied_together() -> None:
    """Pandas copies on write; the loaded frames must not write into each other."""
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    first, second = load([frame, frame[["a"]]])
    first.loc[0, "a"] = 9.0
    assert second.loc[0, "a"] == 1.0


def test_loaded_arrays_can_be_written() -> None:
    """A writable array stays writable, a read-only one read-only."""
    fixed = np.arange(3)
    fixed.flags.writeable = False
    free, again = load([np.arange(3), fixed])
    free[0] = 5
    assert not again.flags.writeable


def test_the_order_of_axes_is_kept() -> None:
    """The last bits of a float sum depend on it."""
    value = np.random.default_rng(0).random((3, 50, 40)).transpose(1, 2, 0)
    again = load([value])[0]
    assert np.argsort(again.strides).tolist() == np.argsort(value.strides).tolist()
    assert again.sum(axis=0).tobytes() == value.sum(axis=0).tobytes()


def test_arrays_of_objects_are_stored_again_with_equal_bytes() -> None:
    """The dtype of objects counts as one, whether an array was loaded or made."""
    value = [np.array([1, "a"], object), np.array([None], object)]
    assert join(encode(load(value), Context())) == join(encode(value, Context()))


def test_dtypes_come_back_as_the_singletons() -> None:
    """A builtin dtype is the process's own."""
    assert load([np.dtype("float64")])[0] is np.dtype("float64")


def test_functions_see_the_globals_of_the_loading_namespace() -> None:
    """A global redefined later is seen, as in a kernel."""
    context = notebook("rate = 2\ndef scale(x, by=3): return x * by * rate")
    loading = notebook("rate = 10")
    again = load(context.namespace["scale"], context, loading)
    assert again(1) == 30
    loading.namespace["rate"] = 100
    assert again(1) == 300
    assert b"rate" in join(encode(again, loading))


def test_setup_definitions_are_kept_by_name() -> None:
    """An instance of a setup class is an instance of the loading namespace's class."""
    source = "class Model:\n    def fit(self): return {!r}\ndef clean(x): return x"
    context, loading = (notebook(source.format(text), "Model", "clean") for text in ("old", "new"))
    encoded = encode([context.namespace["Model"](), context.namespace["clean"], context.namespace["Model"].fit], context)
    assert encoded.refers == ("name:Model", "name:Model.fit", "name:clean")
    model, clean, fit = decode(encoded.format, memoryview(join(encoded)), loading)
    assert model.fit() == fit(model) == "new"
    assert clean is loading.namespace["clean"]


def test_a_redefined_setup_class_is_kept_by_value() -> None:
    """An instance made before the class was run again belongs to the older class."""
    context = notebook("class Model:\n    version = 1\nold = Model()\nclass Model:\n    version = 2", "Model")
    again = load(context.namespace["old"], context)
    assert again.version == 1
    assert not isinstance(again, context.namespace["Model"])


def test_a_missing_setup_definition_is_named() -> None:
    """Loading where no cell defines the class says which it is."""
    context = notebook("class Model: pass", "Model")
    with pytest.raises(StoreError, match="'Model', which no setup cell defines"):
        load(context.namespace["Model"](), context, Context(trusted=True))


def test_one_class_in_two_artifacts_is_one_class() -> None:
    """What was stored apart is loaded as instances of the same class, also after another round."""
    context = notebook("class Box:\n    def __init__(self, n): super().__init__(); self.n = n\na, b = Box(1), Box(2)")
    loading = Context(trusted=True)
    first, second, kind = (load(context.namespace[name], context, loading) for name in ("a", "b", "Box"))
    assert type(first) is type(second) is kind
    again = load(kind(3), loading, third := Context(trusted=True))
    assert type(again) is load(context.namespace["a"], context, third).__class__
    assert again.n == 3


def test_a_live_class_is_used_if_it_is_the_same() -> None:
    """In a kernel a reused artifact is an instance of the class that the cell defined."""
    source = "class Box:\n    size = 1"
    context, same, other = notebook(source), notebook("\n\n" + source), notebook("class Box:\n    size = 2")
    value = context.namespace["Box"]()
    assert type(load(value, context, same)) is same.namespace["Box"]
    assert type(load(value, context, other)) is not other.namespace["Box"]


CLASSES = """
import abc, collections, dataclasses, enum, functools, typing
T = typing.TypeVar("T")
@dataclasses.dataclass(frozen=True, order=True)
class Point:
    x: int
    tags: list = dataclasses.field(default_factory=list, compare=False)
    z: int = 5
class Planet(enum.Enum):
    EARTH = (5.9, 6.3)
    WORLD = (5.9, 6.3)
    def __init__(self, mass, radius): self.mass = mass; self.radius = radius
    @property
    def density(self): return self.mass / self.radius
class Level(enum.IntEnum):
    LOW = 1
    HIGH = enum.auto()
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    __slots__ = ("side",)
    made: typing.ClassVar[list] = []
    def __init__(self, side): self.side = side; self.made.append(side)
    def area(self): return self.side ** 2
    @classmethod
    def unit(cls): return cls(1)
    @staticmethod
    def name(): return "square"
class Stack(typing.Generic[T]):
    def __init__(self): self.items = []
    @functools.cached_property
    def size(self): return len(self.items)
Row = collections.namedtuple("Row", ["a", "b"], defaults=[7])
class Partner: pass
Point.partner, Partner.partner = Partner, Point
"""


def test_classes_defined_in_a_stage_work_after_loading() -> None:
    """Dataclasses, enums, abstract classes, slots, generics and named tuples keep their behaviour."""
    context = notebook(CLASSES)
    names = ("Point", "Planet", "Level", "Square", "Stack", "Row")
    loading = Context(trusted=True)
    point, planet, level, square, stack, row = (load(context.namespace[name], context, loading) for name in names)
    import dataclasses

    assert dataclasses.replace(point(1, ["a"]), x=2) == point(2)
    assert planet.WORLD is planet.EARTH
    assert planet.EARTH.density == pytest.approx(5.9 / 6.3)
    assert planet((5.9, 6.3)) is planet.EARTH
    assert level.HIGH == 2
    assert (square.unit().area(), square.name(), square.made) == (1, "square", [1])
    assert stack[int]().size == 0
    assert row(1) == (1, 7)
    assert point.partner.partner is point
    with pytest.raises(TypeError, match="abstract"):
        square.__bases__[0]()


def test_instances_come_back_equal_to_each_other() -> None:
    """Enum members are singletons, dataclasses compare, slots are filled."""
    context = notebook(CLASSES + "\nvalue = [Point(1), Point(1), Planet.EARTH, Planet.WORLD, Square(3), Row(1, 2), Level.LOW]")
    loading = Context(trusted=True)
    first, second, earth, world, square, row, low = load(context.namespace["value"], context, loading)
    assert first == second
    assert earth is world is load(context.namespace["Planet"].EARTH, context, loading)
    assert (square.side, row.b, low + 1) == (3, 2, 2)


def test_bytes_of_classes_survive_any_number_of_loads() -> None:
    """A class that is loaded and stored again has the same bytes, so downstream stages are not stale."""
    context = notebook(CLASSES)
    for name in ("Point", "Planet", "Level", "Square", "Stack", "Row", "Partner"):
        loading = Context(trusted=True)
        first = encode(context.namespace[name], context)
        again = encode(load(context.namespace[name], context, loading), loading)
        assert join(first) == join(again), name
        assert first.refers == again.refers


CLOSURES = """
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up, lambda: n
def factorial():
    def go(n): return 1 if n < 2 else n * go(n - 1)
    return go
pair, recursive = counter(), factorial()
def keyed(x, /, y=[], *, z={}): "Keep me."; return y
keyed.tag = [1]
import functools
@functools.lru_cache(maxsize=3)
def slow(x): return x + 1
@functools.wraps(keyed)
def wrapper(*a): return keyed(*a)
"""


def test_closures_share_their_cells() -> None:
    """Two functions over one nonlocal still see each other's writes."""
    context = notebook(CLOSURES)
    up, now = load(context.namespace["pair"], context)
    up()
    assert (up(), now()) == (2, 2)


def test_functions_keep_all_that_they_carry() -> None:
    """Recursion, defaults, keyword defaults, doc, attributes, caches and wrappers."""
    context = notebook(CLOSURES)
    recursive, keyed, slow, wrapper = load([context.namespace[name] for name in ("recursive", "keyed", "slow", "wrapper")], context)
    assert recursive(5) == 120
    assert keyed.__doc__ == "Keep me."
    assert keyed(1) is keyed.__defaults__[0]
    assert keyed.tag == [1]
    assert (slow(1), slow.cache_parameters()["maxsize"]) == (2, 3)
    assert wrapper.__wrapped__ is keyed


def test_moving_a_function_does_not_change_its_bytes() -> None:
    """Lines above, comments above and the file's name are no part of the value."""
    first, second = notebook("def f(x): return x + 1"), notebook("# moved\n\n\ndef f(x): return x + 1")
    assert join(encode(first.namespace["f"], first)) == join(encode(second.namespace["f"], second))


def test_a_changed_function_is_another_reference() -> None:
    """Code kept by value names its content."""
    first, second = notebook("def f(x): return x + 1"), notebook("def f(x): return x + 2")
    assert encode(first.namespace["f"], first).refers != encode(second.namespace["f"], second).refers


def test_functions_of_modules_keep_their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lambda made in a project module is bound to that module, which is noted as the project's."""
    (tmp_path / "my_cleaning.py").write_text("rate = 2\ndef make(): return lambda x: x * rate\nclass Cleaner: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_cleaning  # type: ignore[import-not-found]

    context = Context(local_roots=(tmp_path,), trusted=True)
    encoded = encode([my_cleaning.make(), my_cleaning.Cleaner(), my_cleaning], context)
    assert "module:my_cleaning" in encoded.refers
    function, cleaner, module = decode(encoded.format, memoryview(join(encoded)), context)
    monkeypatch.setattr(my_cleaning, "rate", 5)
    assert function(1) == 5
    assert type(cleaner) is my_cleaning.Cleaner
    assert module is my_cleaning


def test_distributions_are_noted_by_their_name() -> None:
    """Sklearn is known as scikit-learn."""
    from sklearn.linear_model import LinearRegression

    refers = encode(LinearRegression(), Context()).refers
    assert "dist:scikit-learn" in refers
    assert not any(item.startswith(("module:", "code:")) for item in refers)


def test_fitted_models_are_equal_and_writable() -> None:
    """Two equal fits have equal bytes; a loaded model predicts the same and can be fitted further."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import SGDClassifier

    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    makers = (lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0), lambda: RandomForestClassifier(5, random_state=0))
    for make in (*makers, lambda: SGDClassifier(random_state=0)):
        first, second = make().fit(features, y), make().fit(features, y)
        assert join(encode(first, Context())) == join(encode(second, Context()))
        again = load(first)
        np.testing.assert_array_equal(again.predict(features), first.predict(features))
        assert join(encode(again, Context())) == join(encode(first, Context()))
    again.partial_fit(features, y)


def test_random_states_are_linked_as_before() -> None:
    """The global state stays the global one, an own one is copied with its position."""
    own = np.random.default_rng(3)
    own.random(5)
    again, shared, module = load([own, np.random.mtrand._rand, np.random])
    assert again.random() == own.random()
    assert shared is np.random.mtrand._rand
    assert module is np.random


def test_exceptions_come_back_without_calling_their_init() -> None:
    """An exception whose init takes other arguments than `args` is kept with its cause."""
    context = notebook(
        "class Bad(Exception):\n    def __init__(self, a, b): super().__init__(a); self.b = b\n"
        "try:\n    try: 1/0\n    except ZeroDivisionError as e: raise Bad(1, 2) from e\nexcept Bad as e: error = e"
    )
    again = load(context.namespace["error"], context)
    assert (again.args, again.b, type(again.__cause__)) == ((1,), 2, ZeroDivisionError)


def test_views_of_dicts_stay_views() -> None:
    """Keys and proxies follow the dict that they were taken from."""
    source = {"a": 1}
    again, keys, proxy = load([source, source.keys(), types.MappingProxyType(source)])
    again["b"] = 2
    assert list(keys) == list(proxy) == ["a", "b"]


def test_a_copied_on_write_frame_in_a_dict_comes_back() -> None:
    """Frames inside containers keep dtypes, index and attrs."""
    frame = pd.DataFrame({"a": ["x", None], "n": pd.array([1, None], "Int64"), "o": [1, "z"]}, index=pd.date_range("2024", periods=2))
    frame.attrs["unit"] = "m"
    again = load({"frame": frame})["frame"]
    pd.testing.assert_frame_equal(again, frame, check_freq=True)
    assert again.attrs == {"unit": "m"}


def test_a_slice_of_a_text_column_does_not_carry_the_rest() -> None:
    """A short slice takes few bytes, and equal slices have equal bytes."""
    column = pd.Series(["ab" * 50] * 20_000)
    left, right = encode([column[5:7]], Context()), encode([column[9:11].set_axis(column[5:7].index)], Context())
    assert left.size_bytes < 10_000
    assert join(left) == join(right)


REFUSED = {
    "an open file": lambda: (Path(__file__).open(), "open it in the stage"),  # noqa: SIM115 - closed by the test
    "a binary file": lambda: (Path(__file__).open("rb"), "open it in the stage"),  # noqa: SIM115 - closed by the test
    "a lock": lambda: (threading.Lock(), "make it in the stage"),
    "a thread's local": lambda: (threading.local(), "make it in the stage"),
    "a generator": lambda: ((x for x in ()), "list(...)"),
    "a dict's iterator": lambda: (iter({}), "list(...)"),
    "a socket": lambda: (socket.socket(), "connect in the stage"),
    "a database connection": lambda: (sqlite3.connect(":memory:"), "connect in the stage"),
    "a memoryview": lambda: (memoryview(b"x"), "bytes(...)"),
    "the namespace's module": lambda: (sys.modules["__main__"], "pickles"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_live_objects_are_refused_by_name(what: str) -> None:
    """The error names type, place and remedy, directly and deep inside."""
    culprit, remedy = REFUSED[what]()
    holder = types.SimpleNamespace(config={"inner": [1, culprit]})
    try:
        for value, place in ((culprit, ""), (holder, "value.config['inner'][1]")):
            with pytest.raises(NotStorable) as caught:
                encode(value, Context())
            message = str(caught.value)
            assert type(culprit).__name__.rpartition(".")[2] in message
            assert place in message
            assert remedy in message
            assert "\n" not in message
    finally:
        getattr(culprit, "close", lambda: None)()


def test_a_culprit_in_a_closure_is_found() -> None:
    """The variable of the function that holds the lock is named."""
    context = notebook("import threading\ndef make():\n    guard = threading.Lock()\n    return lambda: guard\nf = make()")
    with pytest.raises(NotStorable, match="variable 'guard'"):
        encode(context.namespace["f"], context)


def test_a_map_that_writes_to_its_file_is_refused(tmp_path: Path) -> None:
    """A stored copy of a writable memmap would not reach the file; a read-only one is kept."""
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(NotStorable, match=re.escape("np.array(...)")):
        encode(np.load(tmp_path / "a.npy", mmap_mode="r+"), Context())
    again = load(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert again.tolist() == [0, 1, 2]
    assert not again.flags.writeable


def test_too_deep_values_say_so() -> None:
    """Recursion without end is a NotStorable, not a crash."""
    value: Any = ()
    for _ in range(100_000):
        value = (value,)
    with pytest.raises(NotStorable, match="too deeply"):
        encode(value, Context())
    del value
    gc.collect()


def test_in_memory_files_and_the_standard_streams_are_kept() -> None:
    """BytesIO keeps its position, sys.stdout is the process's own."""
    buffer = io.BytesIO(b"abc")
    buffer.seek(1)
    assert load([buffer])[0].read() == b"bc"


def test_sets_iterate_as_before_where_hashes_agree() -> None:
    """Numbers that collide keep their order, which a later stage may use."""
    for value in ({8, 0}, {0, 8}, {16, 8, 0, 1}):
        assert list(load(value)) == list(value)


def test_a_failed_load_leaves_no_half_made_class() -> None:
    """A class whose load broke off is made again by the next load."""
    context = notebook("class Need: pass\nclass Box:\n    need = Need()", "Need")
    loading = Context(trusted=True)
    with pytest.raises(StoreError):
        load(context.namespace["Box"], context, loading)
    assert not loading.classes


TYPING = """
import typing, functools
UserId = typing.NewType("UserId", int)
P = typing.ParamSpec("P")
T = typing.TypeVar("T", bound=int, covariant=True)
class Outer:
    class Inner:
        size = 1
    @functools.lru_cache
    def slow(self): return 1
@functools.singledispatch
def dispatch(x): return x
"""


@pytest.mark.parametrize("name", ["UserId", "P", "T", "Outer"])
def test_names_for_typing_and_nested_classes_come_back(name: str) -> None:
    """What pickle knows by its module only is made again, with its qualified name and equal bytes."""
    context, loading = notebook(TYPING), Context(trusted=True)
    again = load(context.namespace[name], context, loading)
    assert repr(again) == repr(context.namespace[name])
    assert join(encode(again, loading)) == join(encode(context.namespace[name], context))


def test_a_live_nested_class_is_used() -> None:
    """A nested class of the loading namespace with the same content is taken."""
    context, loading = notebook(TYPING), notebook(TYPING)
    assert load(context.namespace["Outer"].Inner, context, loading) is loading.namespace["Outer"].Inner


def test_what_can_only_be_named_belongs_into_setup() -> None:
    """A singledispatch function made in a stage is refused, with the setup cell as the remedy."""
    context = notebook(TYPING)
    with pytest.raises(NotStorable, match="setup cell"):
        encode(context.namespace["dispatch"], context)


def test_many_tuples_are_written_once_each() -> None:
    """Beyond the budget for small tuples the bytes still do not depend on the process."""
    rows = [(index, "x", index * 0.5) for index in range(30_000)]
    assert join(encode(rows, Context())) == join(encode(load(rows), Context()))


def test_encoding_lets_go_of_the_value() -> None:
    """A stored value is freed when its name goes, without waiting for a collection."""
    context = notebook("class Box: pass\nbox = Box(); box.parts = {Box(), Box()}; box.work = lambda: 1")
    box = context.namespace.pop("box")
    alive = weakref.ref(box)
    gc.disable()
    try:
        encoded = encode(box, context)
        del box
        assert alive() is None
    finally:
        gc.enable()
    assert encoded.size_bytes


CRASH = """
import gc, pandas as pd
from nbmlops.store.serializers import Context, decode, encode
def again(value):
    encoded = encode(value, Context())
    return decode(encoded.format, memoryview(bytearray(b"".join(encoded.buffers))), Context(trusted=True))
class Holder: pass
for _ in range(30):
    holder = Holder()
    holder.me, holder.value = holder, again([pd.DataFrame({"s": ["x", None], "o": pd.Series([1, "y"], dtype=object)}), pd.DataFrame({"f": [1.5]})])
    del holder
    gc.collect()
"""


def test_garbage_with_columns_does_not_crash_python() -> None:
    """A PickleBuffer of a memoryview in a cycle would (python/cpython#77894)."""
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_has_predicted_is_the_model_that_was_fitted() -> None:
    """Search trees count their queries, which is no part of their value."""
    tree = KDTree([[0.0], [1.0], [2.0]])
    before = value_fingerprint(tree, Context(namespace={}))
    tree.query([[0.5]])
    assert value_fingerprint(tree, Context(namespace={})) == before
