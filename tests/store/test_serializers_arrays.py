"""NumPy arrays as .npy."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import numpy as np
import pytest

from nbmlops.store.serializers import Context, Serializer
from nbmlops.store.serializers.arrays import ArraySerializer
from tests.store.serializer_conformance import SerializerConformance, join, round_trip

RNG = np.random.default_rng(0)
FIXED = np.arange(3)
FIXED.flags.writeable = False


class TestConformance(SerializerConformance):
    """Arrays keep dtype, shape, order and bits."""

    serializer: ClassVar[Serializer] = ArraySerializer()
    examples: ClassVar[tuple[Any, ...]] = (
        np.arange(6.0).reshape(2, 3), np.array(3), np.array([[True]]), np.empty((0, 3)), np.empty(0, "U3"), np.array(["a", "bcd"]),
        np.array([b"a", b""]),

        np.array(["2024-01-01", "NaT"], "M8[D]"), np.array([1, -5], "m8[ns]"), np.array([np.nan, -0.0, np.inf], "f4"), np.array([1 + 2j]),
        np.asfortranarray(RNG.random((3, 2))), np.array([1, 2], ">i4"), np.float16([1.5]),
        np.array([(1, "x", [1, 2])], [("a", "i4"), ("b", "U2"), ("c", "f4", (2,))]), np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")])),
    )  # fmt: skip
    refused: ClassVar[tuple[Any, ...]] = (
        np.array([None]), np.array([1, "a"], object), FIXED, np.float64(1), np.ma.array([1], mask=[True]), np.zeros(1, [("a", "O")]),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.zeros(2, np.dtype("f8", metadata={"unit": "m"})),
        RNG.random((2, 3, 4)).transpose(1, 0, 2), np.broadcast_to(1.0, (2, 2)), np.rec.array([(1,)], dtype=[("a", int)]), [1],
    )  # fmt: skip

    def same(self, left: Any, right: Any) -> bool:
        """Compare everything that an array is, bit by bit."""
        if not isinstance(right, np.ndarray):
            return bool(left == right)
        orders = [(item.flags.c_contiguous, item.flags.f_contiguous, item.flags.writeable) for item in (left, right)]
        return (left.dtype, left.shape, orders[0], left.tobytes("A")) == (right.dtype, right.shape, orders[1], right.tobytes("A"))


def test_a_view_is_kept_as_what_it_shows() -> None:
    """A strided view has the bytes of its copy, and its sums have the same bits."""
    value = RNG.random(100_001)[::2]
    encoded = ArraySerializer().encode(value, Context())
    copied = ArraySerializer().encode(value.copy(), Context())
    assert encoded is not None
    assert copied is not None
    assert join(encoded) == join(copied)
    assert round_trip(ArraySerializer(), value, Context()).sum() == value.sum()


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_sums_have_the_same_bits(axes: tuple[int, int]) -> None:
    """The order in memory decides how a sum is rounded, so it is kept, also through a slice."""
    value = RNG.random((3000, 8)).transpose(axes)[1:, :3]
    again = round_trip(ArraySerializer(), value, Context())
    for axis in (None, 0, 1):
        assert again.sum(axis=axis).tobytes() == value.sum(axis=axis).tobytes()


def test_loading_copies_nothing() -> None:
    """The array lies in the memory that was given, and writing to it changes no other."""
    encoded = ArraySerializer().encode(np.zeros(1000), Context())
    assert encoded is not None
    memory = bytearray(join(encoded))
    again = ArraySerializer().decode(memoryview(memory), Context())
    assert np.shares_memory(again, np.frombuffer(memory, np.uint8))
    again[0] = 1
    assert not ArraySerializer().decode(memoryview(join(encoded)), Context()).any()


def test_encoding_copies_nothing() -> None:
    """The bytes of a contiguous array are its own memory."""
    value = np.zeros((1000, 3), order="F")
    encoded = ArraySerializer().encode(value, Context())
    assert encoded is not None
    assert np.shares_memory(np.frombuffer(encoded.buffers[1], np.uint8), value)


def test_the_object_is_a_npy_file() -> None:
    """Anything that reads .npy reads the object."""
    encoded = ArraySerializer().encode(np.arange(4), Context())
    assert encoded is not None
    assert np.load(io.BytesIO(join(encoded))).tolist() == [0, 1, 2, 3]
