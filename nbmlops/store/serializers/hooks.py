"""Classes of the user's own code that decide by themselves what of an object is stored: the object may come back without what they leave out."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

from nbmlops.store.serializers.references import is_users

if TYPE_CHECKING:
    from nbmlops.store.serializers.base import Context

__all__ = ["attributes", "has_hooks"]

_HOOKS = ("__getstate__", "__reduce__", "__reduce_ex__")


def has_hooks(kind: type, context: Context) -> bool:
    """Tell whether a class, one of its bases, or `copyreg`, has a function of the user's own that says what is stored."""
    named = [vars(base).get(name) for base in kind.__mro__ for name in _HOOKS]
    # what dataclasses and attrs write has the module of the library that wrote it, or gives back all that there is
    modules = {str(getattr(hook, "__module__", None)) for hook in (*named, copyreg.dispatch_table.get(kind)) if hook is not None}
    # what stands for a value in the stream is ours; where nbmlops is installed in editable mode it looks like the user's
    return any(is_users(name, context) and name.partition(".")[0] != "nbmlops" for name in modules)


def attributes(value: object) -> dict[str, Any]:
    """Return the attributes of an instance, those in slots included."""
    found = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            try:
                found[name] = object.__getattribute__(value, name)
            except AttributeError:
                continue
    return {name: item for name, item in found.items() if name not in {"__dict__", "__weakref__"}}
