"""The `.npy` format, for arrays that it gives back exactly."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, ClassVar

from nbmlops.store.serializers.base import Encoded, private, root_package, summarise, type_name
from nbmlops.store.serializers.layout import SIMPLE_KINDS, compact, is_simple

if TYPE_CHECKING:
    from nbmlops.store.serializers.base import Context

__all__ = ["ArraySerializer"]

# NumPy refuses to parse longer ones
_HEADER_LIMIT = 10_000


class ArraySerializer:
    """A NumPy array as `.npy`, in C or Fortran order."""

    format: ClassVar[str] = "npy"
    runs_code: ClassVar[bool] = False

    def encode(self, value: Any, context: Context) -> Encoded | None:  # noqa: ANN401, ARG002
        """Return `.npy`, or None for subclasses, objects, read-only arrays and other orders of the axes."""
        if root_package(type(value)) != "numpy":
            return None
        import numpy as np
        from numpy.lib import format as npy

        if type(value) is not np.ndarray or not _is_exact(value):
            return None
        array = compact(value)
        # npy knows two orders only; a float sum differs in its last bits if the order of the axes changes
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            return None
        head = io.BytesIO()
        npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(array))
        if head.tell() > _HEADER_LIMIT:
            return None
        return Encoded(format=self.format, buffers=(head.getvalue(), _raw_bytes(array)), type=type_name(value), summary=summarise(value))

    def decode(self, view: memoryview, context: Context) -> Any:  # noqa: ANN401, ARG002
        """Return an array on the view's memory."""
        import numpy as np
        from numpy.lib import format as npy

        data = private(view)
        head = io.BytesIO(data[:_HEADER_LIMIT])
        npy.read_magic(head)
        shape, fortran, dtype = npy.read_array_header_1_0(head)
        if dtype.hasobject:
            raise ValueError("objects in an npy artifact")
        if math.prod(shape) == 0:
            return np.empty(shape, dtype, order="F" if fortran else "C")
        flat = np.frombuffer(data, dtype, count=math.prod(shape), offset=head.tell())
        return flat.reshape(shape, order="F" if fortran else "C")


def _raw_bytes(array: Any) -> memoryview:  # noqa: ANN401 - numpy.ndarray, imported late
    # the memory of a contiguous array, in its order and without a copy
    import numpy as np

    if array.size == 0:
        return memoryview(b"")
    # datetimes have no buffer format, so the bytes are taken by way of a view
    flat = array.reshape(-1, order="C" if array.flags.c_contiguous else "F")
    return memoryview(flat.view(np.uint8))


def _is_exact(array: Any) -> bool:  # noqa: ANN401
    flags = array.flags
    return bool(flags.writeable and flags.aligned and array.dtype.itemsize and _is_described(array.dtype))


def _is_described(dtype: Any) -> bool:  # noqa: ANN401
    if is_simple(dtype):
        return True
    if dtype.hasobject or not _without_metadata(dtype):
        return False
    from numpy.lib import format as npy

    again = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
    return bool(again == dtype and again.isalignedstruct == dtype.isalignedstruct and repr(again) == repr(dtype))


def _without_metadata(dtype: Any) -> bool:  # noqa: ANN401
    if dtype.metadata is not None or dtype.kind not in SIMPLE_KINDS:
        return False
    if dtype.subdtype is not None:
        return _without_metadata(dtype.subdtype[0])
    return all(_without_metadata(item[0]) for item in (dtype.fields or {}).values())
