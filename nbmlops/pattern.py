"""`re.compile`, put off until the expression is used: a command that has nothing to do spent 7 ms on compiling what it did not look for.

Type checkers see `re.compile`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

__all__ = ["pattern"]

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - called as the function is that it stands for
        """What `re.compile` gives for a text and flags."""

        __slots__ = ("__dict__", "_asked")

        def __init__(self, *asked: object) -> None:
            self._asked = asked

        def __getattr__(self, name: str) -> object:
            value = getattr(re.compile(*self._asked), name)
            self.__dict__[name] = value  # a method of its own, found without this detour the next time
            return value
