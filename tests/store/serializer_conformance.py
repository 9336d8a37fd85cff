"""What every serializer must keep: run it on your own by subclassing `SerializerConformance`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, ClassVar

from nbmlops.store.serializers import Context, Encoded, Serializer

__all__ = ["SerializerConformance", "join", "round_trip"]


def join(encoded: Encoded) -> bytes:
    """Return the object's bytes."""
    return b"".join(encoded.buffers)


def round_trip(serializer: Serializer, value: Any, context: Context) -> Any:
    """Encode and decode through private writable memory, as a local store does."""
    encoded = serializer.encode(value, context)
    assert encoded is not None, f"{serializer.format} does not take {value!r}"
    return serializer.decode(memoryview(bytearray(join(encoded))), replace(context, form=encoded.form))


class SerializerConformance:
    """The contract of one format; set `serializer`, `examples`, `refused`, and `same` where `==` does not do."""

    serializer: ClassVar[Serializer]
    examples: ClassVar[tuple[Any, ...]]
    refused: ClassVar[tuple[Any, ...]] = ()

    def context(self) -> Context:
        """Return a fresh context."""
        return Context(trusted=True)

    def same(self, left: Any, right: Any) -> bool:
        """Say whether two values are the same."""
        return bool(left == right)

    def test_values_come_back(self) -> None:
        """Every example comes back as the same value of the same type."""
        for value in self.examples:
            again = round_trip(self.serializer, value, self.context())
            assert type(again) is type(value)
            assert self.same(again, value), value

    def test_a_copy_gives_equal_bytes(self) -> None:
        """A deep copy has the bytes of the original."""
        for value in self.examples:
            left, right = (self.serializer.encode(item, self.context()) for item in (value, copy.deepcopy(value)))
            assert left is not None
            assert right is not None
            assert join(left) == join(right), value

    def test_what_was_loaded_gives_equal_bytes(self) -> None:
        """A loaded value is encoded to the bytes that it was loaded from."""
        for value in self.examples:
            encoded = self.serializer.encode(value, self.context())
            again = self.serializer.encode(round_trip(self.serializer, value, self.context()), self.context())
            assert encoded is not None
            assert again is not None
            assert join(encoded) == join(again), value

    def test_read_only_bytes_are_enough(self) -> None:
        """A view of bytes, as a remote store gives, is decoded as well."""
        for value in self.examples:
            encoded = self.serializer.encode(value, self.context())
            assert encoded is not None
            assert self.same(self.serializer.decode(memoryview(join(encoded)), self.context()), value)

    def test_broken_bytes_raise(self) -> None:
        """Half of an object is an error, not another value."""
        encoded = self.serializer.encode(self.examples[0], self.context())
        assert encoded is not None
        half = join(encoded)[: encoded.size_bytes // 2]
        try:
            self.serializer.decode(memoryview(half), self.context())
        except Exception:  # noqa: BLE001 - any error will do
            return
        raise AssertionError("half of an object was decoded")

    def test_refused_values_are_left_to_others(self) -> None:
        """What the format would change is answered with None."""
        for value in self.refused:
            assert self.serializer.encode(value, self.context()) is None, value

    def test_the_value_is_not_touched(self) -> None:
        """Encoding leaves the value as it was."""
        for value in self.examples:
            before = copy.deepcopy(value)
            self.serializer.encode(value, self.context())
            assert self.same(value, before)
