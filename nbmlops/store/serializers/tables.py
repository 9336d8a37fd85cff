"""Arrow IPC, uncompressed, for tables that it gives back exactly.

Exactly includes the order in memory: the last bits of a float sum depend on it. Equal frames have equal bytes all the same: where the
blocks of a frame are not those that `DataFrame(dict)` makes, they are told apart from the bytes, as the frame's form. The columns of a
block of 8-byte values lie side by side in the file and load without copying.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.store.serializers.arrowfile import single, write_table
from nbmlops.store.serializers.base import Encoded, private, root_package, summarise, type_name
from nbmlops.store.serializers.columns import Memory, from_arrow, to_arrow, to_arrow_numpy

if TYPE_CHECKING:
    from nbmlops.store.serializers.base import Context

__all__ = ["TableSerializer"]

_KEY = b"nbmlops"
_INDEX = "__index__"
_ROWS = 2  # dimensions of a block: columns, rows


class TableSerializer:
    """A pandas frame or series, or an Arrow table, as an Arrow IPC file."""

    format: ClassVar[str] = "arrow"
    runs_code: ClassVar[bool] = False

    def encode(self, value: Any, context: Context) -> Encoded | None:  # noqa: ANN401, ARG002
        """Return an Arrow file, or None for what it would change: objects, odd labels, attrs, subclasses."""
        root = root_package(type(value))
        if root not in {"pandas", "pyarrow"} or type(value).__name__ not in {"DataFrame", "Series", "Table"}:
            return None
        made = (_from_arrow_table(value), b"") if root == "pyarrow" else _from_pandas(value)
        if made is None or made[0] is None:
            return None
        data, form = memoryview(write_table(made[0])).cast("B"), made[1]
        if not _same_frame(self.decode(data, _NO_CONTEXT), value):
            return None
        return Encoded(format=self.format, buffers=(data,), form=form, type=type_name(value), summary=summarise(value))

    def decode(self, view: memoryview, context: Context | None) -> Any:  # noqa: ANN401
        """Return the table on the view's memory."""
        import numpy as np
        import pyarrow as pa

        data = private(view) if context is not _NO_CONTEXT else view
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        text = (table.schema.metadata or {}).get(_KEY)
        if text is None:
            return table
        about = json.loads(text)
        if about["type"] == "DataFrame":
            form = context.form if context is not None else b""
            about["blocks"] = json.loads(form) if form else _usual_blocks(about["kinds"], about["dtypes"])
        return _to_pandas(table, about, Memory(data, np.frombuffer(data, np.uint8).ctypes.data))


_NO_CONTEXT: Any = None


def _from_arrow_table(value: Any) -> Any:  # noqa: ANN401 - pyarrow.Table or None
    import pyarrow as pa

    chunks = {tuple(len(chunk) for chunk in column.chunks) for column in value.columns}
    if type(value) is not pa.Table or len(chunks) != 1 or _KEY in (value.schema.metadata or {}):
        return None
    # the file format wants one dictionary for each column
    if any(pa.types.is_nested(field.type) or pa.types.is_dictionary(field.type) for field in value.schema):
        return None
    return value


def _from_pandas(value: Any) -> tuple[Any, bytes] | None:  # noqa: ANN401
    """Return an Arrow table, and the value's form."""
    import pandas as pd

    if type(value) not in {pd.DataFrame, pd.Series} or value.attrs or not value.flags.allows_duplicate_labels:
        return None
    index = _index_parts(value.index)
    parts = _frame_parts(value) if type(value) is pd.DataFrame else _series_parts(value)
    if index is None or parts is None:
        return None
    import pyarrow as pa

    arrays, names, about = parts
    form = b""
    if about["type"] == "DataFrame":
        blocks = sorted(about.pop("blocks"), key=lambda block: block["columns"][0])
        form = json.dumps(blocks, separators=(",", ":")).encode() if blocks != _usual_blocks(about["kinds"], about["dtypes"]) else b""
    if index[0] is not None:
        arrays, names = [*arrays, index[0]], [*names, _INDEX]
    text = json.dumps({**about, "index": index[1]}, separators=(",", ":"))
    return pa.Table.from_arrays(arrays, schema=_schema(arrays, names).with_metadata({_KEY: text})), form


def _schema(arrays: list[Any], names: list[str]) -> Any:  # noqa: ANN401
    import pyarrow as pa

    return pa.schema([pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)])


def _frame_parts(frame: Any) -> tuple[list[Any], list[str], dict[str, Any]] | None:  # noqa: ANN401
    import numpy as np
    import pandas as pd

    if importlib.util.find_spec("pandas.api.internals") is None:  # pandas 2 cannot make a frame of blocks
        return None
    labels = frame.columns
    if type(labels) is not pd.Index or not _is_label(labels.name) or not labels.is_unique or not len(labels):
        return None
    if labels.dtype != pd.StringDtype("pyarrow", na_value=np.nan) or labels.hasnans or _INDEX in labels:
        return None
    arrays: list[Any] = [None] * len(labels)
    described: list[Any] = [None] * len(labels)
    blocks: list[Any] = []
    for block in frame._mgr.blocks:  # noqa: SLF001
        places = block.mgr_locs.as_array.tolist()
        encoded = _block_parts(block.values, places)
        if encoded is None:
            return None
        for place, (array, description) in zip(places, encoded, strict=True):
            arrays[place], described[place] = array, description
        blocks.append({"columns": places, "order": _order(block.values)})
    dtypes: list[Any] = []
    for description in described:
        if description not in dtypes:
            dtypes.append(description)
    about = {"type": "DataFrame", "labels": labels.name, "kinds": [dtypes.index(item) for item in described], "dtypes": dtypes}
    return arrays, list(labels), {**about, "blocks": blocks}


def _usual_blocks(kinds: list[int], dtypes: list[Any]) -> list[dict[str, Any]]:
    """Return the blocks of a frame that was made of a dict: one for each NumPy dtype, one for each other column."""
    blocks: dict[tuple[int, int], dict[str, Any]] = {}
    for place, kind in enumerate(kinds):
        apart = place if dtypes[kind]["kind"] != "numpy" else -1
        blocks.setdefault((kind, apart), {"columns": [], "order": "C"})["columns"].append(place)
    return list(blocks.values())


def _block_parts(values: Any, places: list[int]) -> list[tuple[Any, Any]] | None:  # noqa: ANN401
    import numpy as np

    # a block of zoned times has two dimensions too, and is no NumPy array
    rows = list(values) if isinstance(values, np.ndarray) else [values[0] if values.ndim == _ROWS and len(places) == 1 else values]
    if len(rows) != len(places):
        return None
    encoded = [to_arrow_numpy(row) if isinstance(row, np.ndarray) else to_arrow(row) for row in rows]
    found = [item for item in encoded if item is not None]
    return found if len(found) == len(places) else None


def _order(values: Any) -> str:  # noqa: ANN401
    if values.ndim != _ROWS or not hasattr(values, "strides"):
        return "C"
    return "C" if values.flags.c_contiguous or abs(values.strides[1]) <= abs(values.strides[0]) else "F"


def _series_parts(series: Any) -> tuple[list[Any], list[str], dict[str, Any]] | None:  # noqa: ANN401
    encoded = to_arrow(series._values)  # noqa: SLF001
    if encoded is None or not _is_label(series.name):
        return None
    return [encoded[0]], ["value"], {"type": "Series", "name": series.name, "dtype": encoded[1]}


def _index_parts(index: Any) -> tuple[Any, dict[str, Any]] | None:  # noqa: ANN401
    import pandas as pd

    if not _is_label(index.name):
        return None
    about = {"name": index.name}
    if type(index) is pd.RangeIndex:
        return None, {**about, "range": [index.start, index.stop, index.step]}
    if type(index) not in {pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex} or getattr(index, "freq", None) is not None:
        return None
    encoded = to_arrow(index._values)  # noqa: SLF001
    return (encoded[0], {**about, "dtype": encoded[1]}) if encoded else None


def _is_label(name: object) -> bool:
    return name is None or (type(name) in {str, int} and _prints(name))


def _prints(name: object) -> bool:
    return type(name) is not str or name.encode("utf-8", "replace").decode() == name


def _to_pandas(table: Any, about: Any, memory: Memory) -> Any:  # noqa: ANN401
    import pandas as pd

    arrays = [single(column) for column in table.columns]
    index = _to_index(about["index"], arrays, memory)
    if about["type"] == "Series":
        return pd.Series(from_arrow(arrays[0], about["dtype"], memory), index=index, name=about["name"], copy=False)
    return _to_frame(table, arrays, about, index, memory)


def _to_frame(table: Any, arrays: list[Any], about: Any, index: Any, memory: Memory) -> Any:  # noqa: ANN401
    import numpy as np
    import pandas as pd
    from pandas.api.internals import create_dataframe_from_blocks

    blocks = []
    for block in about["blocks"]:
        columns = [arrays[place] for place in block["columns"]]
        dtype = about["dtypes"][about["kinds"][block["columns"][0]]]
        made = _to_block(columns, dtype, block["order"], memory) if dtype["kind"] == "numpy" else from_arrow(columns[0], dtype, memory)
        if dtype["kind"] == "zoned":
            made = made.reshape(1, -1)
        blocks.append((made, np.array(block["columns"], np.intp)))
    count = len(about["kinds"])
    labels = pd.Index(table.column_names[:count], dtype=pd.StringDtype("pyarrow", na_value=np.nan), name=about["labels"])
    return create_dataframe_from_blocks(blocks, index=index, columns=labels)


def _to_block(columns: list[Any], description: Any, order: Any, memory: Memory) -> Any:  # noqa: ANN401
    import numpy as np

    rows, dtype = len(columns[0]), np.dtype(description["dtype"])
    if order == "C" and dtype.kind != "b":
        addresses = [column.buffers()[1].address for column in columns]
        if all(right - left == rows * dtype.itemsize for left, right in itertools.pairwise(addresses)):
            return memory.numpy(columns[0].buffers()[1], dtype, rows * len(columns)).reshape(len(columns), rows)
    made = np.empty((len(columns), rows), dtype, order=order)
    for row, column in zip(made, columns, strict=True):
        row[:] = from_arrow(column, description, memory)
    return made


def _to_index(about: Any, arrays: list[Any], memory: Memory) -> Any:  # noqa: ANN401
    import pandas as pd

    if "range" in about:
        return pd.RangeIndex(*about["range"], name=about["name"])
    return pd.Index(from_arrow(arrays[-1], about["dtype"], memory), name=about["name"], copy=False)


def _same_frame(again: Any, value: Any) -> bool:  # noqa: ANN401
    import pandas as pd

    if type(again) is not type(value) or again.shape != value.shape:
        return False
    if not isinstance(value, (pd.DataFrame, pd.Series)):
        chunks = [[len(chunk) for chunk in column.chunks] for item in (again, value) for column in item.columns]
        return bool(again.schema.equals(value.schema, check_metadata=True)) and chunks[: again.num_columns] == chunks[again.num_columns :]
    kinds = list(value.dtypes) if isinstance(value, pd.DataFrame) else [value.dtype]
    kinds_again = list(again.dtypes) if isinstance(value, pd.DataFrame) else [again.dtype]
    if [(kind, repr(kind)) for kind in kinds] != [(kind, repr(kind)) for kind in kinds_again]:
        return False
    labels = [(again.index, value.index)]
    if isinstance(value, pd.DataFrame):
        labels.append((again.columns, value.columns))
    return all(type(left) is type(right) and left.dtype == right.dtype and left.identical(right) for left, right in labels)
