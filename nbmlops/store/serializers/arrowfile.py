"""Arrow IPC files in memory: a table, or one column without the rows that it was cut from."""

from __future__ import annotations

from typing import Any

__all__ = ["read_array", "read_column", "single", "write_column", "write_table"]


def write_table(table: Any) -> Any:  # noqa: ANN401 - pyarrow.Table
    """Return a table as an uncompressed Arrow file, in a `pyarrow.Buffer`."""
    import pyarrow as pa

    # counted first: a stream that grows as it is written copies a large table several times
    counted = pa.MockOutputStream()
    _write_into(counted, table)
    made = pa.allocate_buffer(counted.size())
    with pa.FixedSizeBufferWriter(made) as sink:
        _write_into(sink, table)
    return made


def _write_into(sink: Any, table: Any) -> None:  # noqa: ANN401 - pyarrow.NativeFile, pyarrow.Table
    import pyarrow as pa

    with pa.ipc.new_file(sink, table.schema) as writer:
        if table.num_rows == 0 and all(column.num_chunks for column in table.columns):
            # a table without rows is written without a batch, and so without its dictionaries
            writer.write_batch(pa.RecordBatch.from_arrays([single(column) for column in table.columns], schema=table.schema))
        else:
            writer.write_table(table)


def single(column: Any) -> Any:  # noqa: ANN401 - pyarrow.ChunkedArray
    """Return the one array of a column."""
    import pyarrow as pa

    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def write_column(column: Any) -> Any:  # noqa: ANN401 - pyarrow.ChunkedArray
    """Return an Arrow file with one column, without the rows that a slice was cut from."""
    import pyarrow as pa

    return write_table(pa.table({"column": column}))


def read_column(data: Any) -> Any:  # noqa: ANN401
    """Return the column of `write_column`."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.py_buffer(data)).read_all().column(0)


def read_array(data: Any) -> Any:  # noqa: ANN401
    """Return the single array of `write_column`."""
    return single(read_column(data))
