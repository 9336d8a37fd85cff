"""One pandas column as one Arrow array, and back: the same dtype, and the same bits in every visible value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Memory", "from_arrow", "to_arrow", "to_arrow_numpy"]

_NUMBERS = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"})
_UNITS = frozenset({"s", "ms", "us", "ns"})


@dataclass(frozen=True, slots=True)
class Memory:
    """The bytes that an Arrow file was read from, so that arrays can be built on them writable.

    Parameters
    ----------
    view : memoryview
        All of the file, writable and private.
    address : int
        Where it begins.
    """

    view: memoryview
    address: int

    def numpy(self, buffer: Any, dtype: Any, count: int) -> Any:  # noqa: ANN401 - pyarrow.Buffer, numpy.dtype
        """Return an array on the memory of `buffer`, which lies in the file."""
        import numpy as np

        if count == 0 or buffer is None:
            return np.empty(0, dtype)
        return np.frombuffer(self.view, dtype, count=count, offset=buffer.address - self.address)


def to_arrow(values: Any) -> tuple[Any, Any] | None:  # noqa: ANN401 - one return for each kind of column
    """Return the Arrow array and a JSON description of the dtype; None for a column that would not come back the same.

    Parameters
    ----------
    values : numpy.ndarray or pandas.api.extensions.ExtensionArray of shape (n_rows,)
    """
    import numpy as np
    import pandas as pd
    from pandas.core.arrays import FloatingArray, IntegerArray

    kind = type(values)
    if kind is np.ndarray or kind is pd.arrays.NumpyExtensionArray:
        return to_arrow_numpy(np.asarray(values)) if kind is np.ndarray else None
    if kind is pd.arrays.DatetimeArray or kind is pd.arrays.TimedeltaArray:
        return _datetimes(values)
    if kind in {IntegerArray, FloatingArray, pd.arrays.BooleanArray}:
        return _masked(values)
    if kind is pd.arrays.ArrowStringArray:
        return _strings(values)
    if kind is pd.Categorical:
        return _categorical(values)
    return None


def to_arrow_numpy(values: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    """Return the Arrow array and the description of a NumPy array of numbers, bools or times without a zone."""
    import numpy as np
    import pyarrow as pa

    dtype = values.dtype
    if dtype.metadata is not None or not dtype.isnative:
        return None
    description = {"kind": "numpy", "dtype": dtype.str}
    if dtype.kind == "b":
        return _bits(values, None), description
    if dtype.kind in "mM":
        if np.datetime_data(dtype)[0] not in _UNITS or np.datetime_data(dtype)[1] != 1:
            return None
        return _fixed(pa.from_numpy_dtype(dtype), values, ~np.isnat(values)), description
    if dtype.str[1:] in _NUMBERS:
        # NaN stays a value: as a null it would lose its bits
        return _fixed(pa.from_numpy_dtype(dtype), values, None), description
    return None


def from_arrow(array: Any, description: Any, memory: Memory) -> Any:  # noqa: ANN401
    """Return the column: a NumPy array or a pandas extension array, on the memory of the file where that is possible."""
    import numpy as np
    import pandas as pd

    kind = description["kind"]
    if kind == "string":
        return pd.arrays.ArrowStringArray(_chunked(array), dtype=_string_dtype(description["missing"]))
    if kind == "categorical":
        codes = memory.numpy(array.indices.buffers()[1], np.dtype(description["codes"]), len(array))
        categories = pd.Index(from_arrow(array.dictionary, description["categories"], memory), name=description["name"])
        return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, ordered=description["ordered"]))
    values = _bools(array) if array.type == "bool" else memory.numpy(array.buffers()[1], np.dtype(description["dtype"]), len(array))
    if kind == "numpy":
        return values
    if kind == "zoned":
        return pd.arrays.DatetimeArray._simple_new(values, dtype=pd.DatetimeTZDtype(description["unit"], description["zone"]))  # type: ignore[attr-defined,call-arg,unused-ignore]  # noqa: SLF001
    mask = ~array.is_valid().to_numpy(zero_copy_only=False)
    return pd.api.types.pandas_dtype(description["name"]).construct_array_type()(values, mask)  # type: ignore[union-attr,call-arg,unused-ignore]


def _datetimes(values: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    import pandas as pd

    zone = getattr(values.dtype, "tz", None)
    encoded = to_arrow_numpy(values._ndarray)  # noqa: SLF001
    if zone is None or encoded is None:
        return encoded
    again = pd.DatetimeTZDtype(values.dtype.unit, str(zone))
    if again.tz != zone or type(again.tz) is not type(zone):
        return None
    import pyarrow as pa

    array, description = encoded
    typed = pa.Array.from_buffers(pa.timestamp(values.dtype.unit, str(zone)), len(array), array.buffers(), null_count=array.null_count)
    return typed, {"kind": "zoned", "dtype": description["dtype"], "unit": values.dtype.unit, "zone": str(zone)}


def _masked(values: Any) -> tuple[Any, Any]:  # noqa: ANN401
    import numpy as np
    import pyarrow as pa

    data, mask = values._data, values._mask  # noqa: SLF001
    # what lies below the mask is left over from some computation
    data = np.where(mask, np.zeros((), data.dtype), data)
    array = _bits(data, ~mask) if data.dtype.kind == "b" else _fixed(pa.from_numpy_dtype(data.dtype), data, ~mask)
    return array, {"kind": "masked", "dtype": data.dtype.str, "name": str(values.dtype)}


def _strings(values: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.compute as pc

    column = values._pa_array  # noqa: SLF001
    missing = "nan" if values.dtype.na_value is not _string_dtype("NA").na_value else "NA"
    if values.dtype != _string_dtype(missing) or column.type != pa.large_string():
        return None
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.large_string())
    if array.null_count:
        # a null may hide text that was there before
        filled = pc.fill_null(array, "")
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        array = pa.Array.from_buffers(filled.type, len(array), [_bitmap(valid), *filled.buffers()[1:]], offset=filled.offset)
    return array, {"kind": "string", "missing": missing}


def _categorical(values: Any) -> tuple[Any, Any] | None:  # noqa: ANN401
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    categories = values.categories
    if type(categories) is not pd.Index or not isinstance(categories.name, (str, type(None))):
        return None
    kept = to_arrow(categories._values)  # noqa: SLF001
    if kept is None:
        return None
    codes = np.ascontiguousarray(values.codes)
    indices = _fixed(pa.from_numpy_dtype(codes.dtype), codes, codes >= 0)
    array = pa.DictionaryArray.from_arrays(indices, kept[0], ordered=bool(values.ordered), safe=False)
    description = {"kind": "categorical", "codes": codes.dtype.str, "ordered": values.ordered, "name": categories.name, "categories": kept[1]}
    return array, description


def _fixed(kind: Any, values: Any, valid: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import pyarrow as pa

    dense = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(dense), [_bitmap(valid), pa.py_buffer(dense.view(np.uint8))])


def _bits(values: Any, valid: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import pyarrow as pa

    packed = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [_bitmap(valid), pa.py_buffer(packed.tobytes())])


def _bitmap(valid: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import pyarrow as pa

    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())


def _bools(array: Any) -> Any:  # noqa: ANN401
    import numpy as np

    if not len(array):
        return np.empty(0, bool)
    packed = np.frombuffer(array.buffers()[1], np.uint8)
    return np.unpackbits(packed, count=len(array), bitorder="little").view(bool)


def _chunked(array: Any) -> Any:  # noqa: ANN401
    import pyarrow as pa

    return pa.chunked_array([array], type=array.type)


def _string_dtype(missing: str) -> Any:  # noqa: ANN401
    import numpy as np
    import pandas as pd

    return pd.StringDtype("pyarrow", na_value=np.nan if missing == "nan" else pd.NA)
