"""`dataclasses.dataclass`, made with half the work: a command that has nothing to do spent a third of its time on making such classes.

The standard one writes each method as text, for each class, and compiles it. How to compare, hash and show follows from the fields; only
what sets them is worth that. Type checkers see the standard decorator, and `dataclasses.fields`, `replace` and `asdict` work as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from operator import attrgetter

    def dataclass(cls: type | None = None, /, **options: bool) -> object:
        """Make a class a dataclass, with the options of the standard decorator."""
        if cls is None:
            return lambda given: dataclass(given, **options)
        if options.get("order"):
            return dataclasses.dataclass(cls, **options)
        own = vars(cls).keys()
        made = dataclasses.dataclass(cls, **{**options, "eq": False, "repr": False})
        if "__repr__" not in own:
            made.__repr__ = _shown
        if "__eq__" not in own:
            # of one name alone a getter gives no tuple
            values = attrgetter("__class__", *(item.name for item in dataclasses.fields(made) if item.compare))
            made.__eq__ = lambda self, other: values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
            if "__hash__" not in own:
                made.__hash__ = (lambda self: hash(values(self))) if options.get("frozen") else None
        return made

    def _shown(self: object) -> str:
        parts = (f"{item.name}={getattr(self, item.name)!r}" for item in dataclasses.fields(self) if item.repr)
        return f"{type(self).__qualname__}({', '.join(parts)})"
