"""`dataclasses.dataclass`, made with half the work: a command that has nothing to do spent a third of its time on making such classes.

The standard one writes each method as text, for each class, and compiles it. How to compare, hash, show and freeze follows from the fields;
only what sets them is worth that. Type checkers see the standard decorator, and `dataclasses.fields`, `replace` and `asdict` work as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from operator import attrgetter

    _FREEZING = "_frozen_get_del_attr"  # of Python 3.11 and 3.12; later ones compile all methods of a class at once

    def dataclass(cls: type | None = None, /, **options: bool) -> object:
        """Make a class a dataclass, with the options of the standard decorator."""
        if cls is None:
            return lambda given: dataclass(given, **options)
        if options.get("order"):
            return dataclasses.dataclass(cls, **options)
        own = vars(cls).keys()
        made = _made(cls, {**options, "eq": False, "repr": False})
        if "__repr__" not in own:
            made.__repr__ = _shown
        if "__eq__" not in own:
            # of one name alone a getter gives no tuple
            values = attrgetter("__class__", *(item.name for item in dataclasses.fields(made) if item.compare))
            made.__eq__ = lambda self, other: values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
            if "__hash__" not in own:
                made.__hash__ = (lambda self: hash(values(self))) if options.get("frozen") else None
        return made

    def _made(cls: type, options: dict[str, bool]) -> type:
        standard = vars(dataclasses).get(_FREEZING)
        if standard is None:
            return dataclasses.dataclass(cls, **options)
        setattr(dataclasses, _FREEZING, _freezing)
        try:
            return dataclasses.dataclass(cls, **options)
        finally:
            setattr(dataclasses, _FREEZING, standard)

    def _freezing(cls: type, fields: list[dataclasses.Field], _globals: object) -> tuple[Callable[..., None], ...]:
        names = frozenset(item.name for item in fields)

        def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807 - the standard decorator goes by the name
            if type(self) is cls or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
            super(cls, self).__setattr__(name, value)

        def __delattr__(self: object, name: str) -> None:  # noqa: N807
            if type(self) is cls or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
            super(cls, self).__delattr__(name)

        return __setattr__, __delattr__

    def _shown(self: object) -> str:
        parts = (f"{item.name}={getattr(self, item.name)!r}" for item in dataclasses.fields(self) if item.repr)
        return f"{type(self).__qualname__}({', '.join(parts)})"
