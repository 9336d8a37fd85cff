"""`eval` and `exec` of a stage: names in their strings are looked up where the namespace notices it."""

from __future__ import annotations
import __future__

import builtins
import dis
import sys
from contextlib import contextmanager
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

__all__ = ["noticed_evaluation"]

_FUTURES = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})


@contextmanager
def noticed_evaluation(namespace: Mapping[str, Any], is_noticed: Callable[[str], bool]) -> Iterator[None]:
    """Look up what evaluated code names before it runs.

    In a function, code from a string takes globals with a lookup that knows nothing of `__missing__`: a name that is withheld, or that
    another stage binds, would just not be there.

    Parameters
    ----------
    namespace : mapping of str to object
        Only code whose globals these are is looked at.
    is_noticed : callable
        Tells whether looking up a name would be noticed.
    """
    plain = {"eval": builtins.eval, "exec": builtins.exec}
    builtins.eval = _noticing(namespace, is_noticed, plain["eval"], "eval")
    builtins.exec = _noticing(namespace, is_noticed, plain["exec"], "exec")
    try:
        yield
    finally:
        builtins.eval, builtins.exec = plain["eval"], plain["exec"]  # type: ignore[assignment]


def _noticing(namespace: Mapping[str, Any], is_noticed: Callable[[str], bool], run: Callable[..., Any], mode: str) -> Callable[..., Any]:
    def noticing(source: Any, globals: Any = None, locals: Any = None, /, **options: Any) -> Any:  # noqa: A002, ANN401 - the builtin's signature
        __tracebackhide__ = True
        caller = sys._getframe(1)  # noqa: SLF001 - whose names are meant, as the builtin itself finds out
        given = globals if globals is not None else options.pop("globals", None)
        inner = locals if locals is not None else options.pop("locals", None)
        if given is None:
            given, inner = caller.f_globals, caller.f_locals if inner is None else inner
        code = _compiled(source, mode, caller)
        # IPython runs each cell through here: few hold a name that matters, and taking code apart costs more than running it
        for name in _names(code) if given is namespace and any(map(is_noticed, _mentioned(code))) else ():
            if inner is None or inner is namespace or name not in inner:
                namespace.get(name)
        return run(code, given, inner, **options)

    noticing.__name__ = noticing.__qualname__ = mode
    noticing.__module__ = "builtins"
    return noticing


def _compiled(source: Any, mode: str, caller: FrameType) -> CodeType:  # noqa: ANN401 - text, bytes, code, or what is none of them
    if isinstance(source, CodeType):
        return source
    if mode == "eval" and isinstance(source, str):
        source = source.lstrip(" \t")
    elif mode == "eval" and isinstance(source, bytes):
        source = source.lstrip(b" \t")
    code = compile(source, "<string>", mode, flags=caller.f_code.co_flags & _FUTURES, dont_inherit=True)
    assert isinstance(code, CodeType)  # noqa: S101 - no flag asks for a tree
    return code


def _mentioned(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _mentioned(constant)


def _names(code: CodeType) -> Iterator[str]:
    bound: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in {"STORE_NAME", "STORE_GLOBAL"}:
            bound.add(step.argval)
        elif step.opname in {"LOAD_NAME", "LOAD_GLOBAL"} and step.argval not in bound:
            yield step.argval
        elif isinstance(step.argval, CodeType):
            yield from _names(step.argval)
