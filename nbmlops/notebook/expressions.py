"""The expressions of ``--require`` and ``--if``: a small, safe part of Python.

Names, ``champion.NAME``, ``rows.NAME``, numbers, strings, literal lists with ``in``, comparisons, ``and/or/not``, arithmetic on
numbers, and ``abs min max round``. Nothing else parses, so nothing else can run.
"""

from __future__ import annotations

import ast
import operator
import warnings
from dataclasses import field
from numbers import Number
from typing import TYPE_CHECKING, Any, Final, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.errors import NotebookError
from nbmlops.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ABSENT", "Expression", "parse_expression", "parse_requirement"]

_LONGEST = 1000
# operators within operators; evaluation recurses
_DEEPEST = 60
_LARGEST_EXPONENT = 64
_LARGEST_BITS = 4096  # of a whole number: powers of powers would keep the machine busy for ever
_FIX = "write something like: roc_auc >= 0.7 and abs(gap) < 0.1"

_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_SIGNS: Final[Mapping[type[ast.unaryop], Callable[[Any], Any]]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
# name: the function, and the least and most arguments it takes
_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int, int]]] = {
    "abs": (abs, 1, 1),
    "max": (max, 2, 99),
    "min": (min, 2, 99),
    "round": (round, 1, 2),
}


class _Unknown:
    """The third truth value: what a comparison with NaN gives, so that ``not`` cannot make it true."""


class _Absent:
    """The value of what is not there yet: a comparison with it comes out as helps the whole to be true."""


_UNKNOWN: Final = _Unknown()
ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Parameters
    ----------
    text : str
        What the user wrote.
    names : tuple of str
        The names that it needs, in order; those of the champion's metrics are ``"champion.NAME"``, and ``"rows.NAME"`` is how many rows
        an artifact has.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    @property
    def champion_names(self) -> tuple[str, ...]:
        """The metrics of the current champion that it needs, without the prefix."""
        return tuple(name.removeprefix("champion.") for name in self.names if name.startswith("champion."))

    @property
    def flags(self) -> tuple[str, ...]:
        """The names that decide by themselves, without a comparison."""
        return tuple(node.id for node in _deciding(self._tree) if isinstance(node, ast.Name))

    @property
    def is_outward(self) -> bool:
        """Whether it needs more than what the notebook itself names."""
        return any("." in name for name in self.names)

    def evaluate(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a number, string or bool
        """Compute the expression.

        A comparison with NaN is neither true nor false, and what hangs on it comes out as False.

        Parameters
        ----------
        values : Mapping
            A value for each of `names`.

        Raises
        ------
        NotebookError
            If a value is missing, is of a type that the operation does not take, or the arithmetic fails.
        """
        value = _Evaluation(self, values).value(self._tree)
        return False if value is _UNKNOWN else value

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether the expression is true; NaN is not.

        Parameters
        ----------
        values : Mapping
            As for `evaluate`. One that is `ABSENT` decides nothing: the expression holds if the others leave that open.

        Raises
        ------
        NotebookError
            As `evaluate` does, and if the result is neither true nor false, such as a list.
        """
        evaluation = _Evaluation(self, values)
        return evaluation.truth(evaluation.value(self._tree)) is True

    def sides(self, values: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return what one comparison compares, the threshold last: the evidence of a gate.

        Parameters
        ----------
        values : Mapping
            As for `evaluate`.

        Returns
        -------
        tuple or None
            For ``roc_auc >= 0.7`` the values of both sides; None where the expression is no single comparison.
        """
        tree = self._tree
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
            return None
        evaluation = _Evaluation(self, values)
        left, right = tree.left, tree.comparators[0]
        if not any(True for _ in _own_names(left)) and any(True for _ in _own_names(right)):
            left, right = right, left
        return evaluation.value(left), evaluation.value(right)


def parse_expression(text: str) -> Expression:
    """Check an expression and give what evaluates it.

    Parameters
    ----------
    text : str
        The expression, in the subset that this module's page names.

    Raises
    ------
    NotebookError
        If it is no Python expression, or uses more than the subset.

    Examples
    --------
    >>> parse_expression("roc_auc >= champion.roc_auc - 0.01").names
    ('roc_auc', 'champion.roc_auc')
    """
    if len(text) > _LONGEST:
        _refuse(f"{len(text)} characters are more than {_LONGEST}")
    if len(text.strip().splitlines()) > 1:
        _refuse("it has more than one line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        _refuse(f"Python cannot read it ({error.msg})")
    except (ValueError, RecursionError, MemoryError):
        _refuse("Python cannot read it")
    _check(tree, _DEEPEST)
    return Expression(text.strip(), tuple(dict.fromkeys(_all_names(tree))), tree)


def parse_requirement(text: str) -> Expression:
    """Check the expression of a gate: one that says of something whether it is so.

    Parameters
    ----------
    text : str
        As of `parse_expression`.

    Raises
    ------
    NotebookError
        As of `parse_expression`; and if the expression names nothing, or is a number or a text: Python takes nearly all of them for true.
    """
    expression = parse_expression(text)
    if not expression.names:
        _refuse("it names nothing that a stage has found")
    for node in _deciding(expression._tree):  # noqa: SLF001 - of this module
        if not isinstance(node, (ast.Compare, ast.Name)):
            _refuse(f"{ast.unparse(node)!r} compares nothing")
    return expression


def _deciding(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield the parts whose truth decides."""
    if isinstance(tree, ast.BoolOp):
        for part in tree.values:
            yield from _deciding(part)
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        yield from _deciding(tree.operand)
    else:
        yield tree


def _refuse(message: str, fix: str = _FIX) -> NoReturn:
    raise NotebookError(message, code="NB105", fix=fix) from None


def _check(node: ast.expr, levels: int, *, list_allowed: bool = False) -> None:  # noqa: C901 - one case for each kind of node
    if not levels:
        _refuse(f"its operators are nested more than {_DEEPEST} deep", "make it shorter")
    match node:
        case ast.Name(id="champion"):
            _refuse("'champion' has no metric's name", "write champion.NAME")
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name() | ast.Attribute(value=ast.Name(id="champion" | "rows")):
            return
        case ast.Compare():
            _check_comparison(node, levels)
            return
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _ARITHMETIC:
            parts = [left, right]
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
            _, least, most = _FUNCTIONS[name]
            if not least <= len(parts) <= most:
                _refuse(f"{name}() takes {least} to {most} values, not {len(parts)}")
        case ast.BoolOp(values=parts):
            pass
        case ast.List(elts=parts) if list_allowed:
            pass
        case _:
            _refuse(f"{ast.unparse(node)!r} is not allowed")
    for part in parts:
        _check(part, levels - 1)


def _check_comparison(node: ast.Compare, levels: int) -> None:
    _check(node.left, levels - 1)
    for comparison, part in zip(node.ops, node.comparators, strict=True):
        if type(comparison) not in _COMPARISONS:
            _refuse(f"{ast.unparse(node)!r} is not allowed")
        _check(part, levels - 1, list_allowed=isinstance(comparison, (ast.In, ast.NotIn)))


def _own_names(tree: ast.expr) -> Iterator[str]:
    """Yield the names that the notebook gives, in order."""
    return (name for name in _all_names(tree) if not name.startswith("champion."))


def _all_names(tree: ast.expr) -> Iterator[str]:
    if isinstance(tree, ast.Name):
        yield tree.id
    elif isinstance(tree, ast.Attribute):
        yield ast.unparse(tree)
    else:
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.expr) and not (isinstance(tree, ast.Call) and child is tree.func):
                yield from _all_names(child)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """One expression with one set of values.

    Parameters
    ----------
    expression : Expression
    values : Mapping
    helps : bool
        What a comparison with something absent has to be so that the whole is true.
    """

    expression: Expression
    values: Mapping[str, Any]
    helps: bool = True

    def value(self, node: ast.expr) -> Any:  # noqa: ANN401, C901, PLR0911 - one line for each kind of node
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name):
                return self.look_up(name)
            case ast.Attribute():
                return self.look_up(ast.unparse(node))
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.BoolOp(op=op, values=parts):
                return self.bool_op(parts, stop=isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = _Evaluation(self.expression, self.values, not self.helps)
                truth = inner.truth(inner.value(operand))
                return truth if truth is _UNKNOWN else not truth
            case ast.Compare():
                return self.compare(node)
            case ast.UnaryOp(op=sign, operand=operand):
                return self.compute(_SIGNS[type(sign)], operand)
            case ast.BinOp(left=left, op=operation, right=right):
                return self.compute(_ARITHMETIC[type(operation)], left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.compute(_FUNCTIONS[name][0], *arguments)
        raise AssertionError(ast.dump(node))  # _check lets nothing else through

    def look_up(self, name: str) -> Any:  # noqa: ANN401
        if name not in self.values:
            near = close_matches(name, [str(key) for key in self.values])
            self.fail(f"{name!r} has no value", f"did you mean {near[0]!r}?" if near else "report it as a metric, or define it")
        return self.values[name]

    def bool_op(self, parts: list[ast.expr], *, stop: bool) -> Any:  # noqa: ANN401
        """Compute ``or`` (`stop` at True) and ``and`` (at False): Kleene's logic, lazy as Python's."""
        unknown = False
        for part in parts:
            truth = self.truth(self.value(part))
            if truth is stop:
                return stop
            unknown = unknown or truth is _UNKNOWN
        return _UNKNOWN if unknown else not stop

    def compare(self, node: ast.Compare) -> Any:  # noqa: ANN401
        left, unknown, absent = self.value(node.left), False, False
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            sides = (left, right, *(right if isinstance(right, (list, tuple)) else ()))
            if any(_is_unknown(item) for item in sides):
                unknown = True
            elif any(item is ABSENT for item in sides):
                absent = True
            elif self.truth(self.apply(_COMPARISONS[type(op)], left, right)) is False:
                return False
            left = right
        return _UNKNOWN if unknown else self.helps if absent else True

    def compute(self, operation: Callable[..., Any], *nodes: ast.expr) -> Any:  # noqa: ANN401
        operands = [self.value(node) for node in nodes]
        for node, operand in zip(nodes, operands, strict=True):
            if operand is not _UNKNOWN and operand is not ABSENT and not isinstance(operand, Number):
                self.fail(f"{ast.unparse(node)!r} is {_shown(operand)}, not a number", "compare numbers")
        for operand in operands:
            # Python's own min(1.0, nan) is 1.0: a metric that is missing would pass
            if _is_unknown(operand):
                return operand
        if any(operand is ABSENT for operand in operands):
            return ABSENT
        if operation is operator.pow and abs(operands[1]) > _LARGEST_EXPONENT:
            self.fail(f"the exponent {operands[1]} is above {_LARGEST_EXPONENT}", "take a smaller one")
        found = self.apply(operation, *operands)
        if isinstance(found, int) and found.bit_length() > _LARGEST_BITS:
            self.fail("a number in it gets too large", "take smaller ones")
        return found

    def apply(self, operation: Callable[..., Any], *operands: Any) -> Any:  # noqa: ANN401
        try:
            return operation(*operands)
        except (ArithmeticError, TypeError, ValueError) as error:
            self.fail(str(error), "check the values that it names")

    def truth(self, value: Any) -> bool | _Unknown:  # noqa: ANN401
        if _is_unknown(value):
            return _UNKNOWN
        if value is ABSENT:
            return self.helps
        try:
            return bool(value)
        except (TypeError, ValueError):
            self.fail(f"{_shown(value)} is neither true nor false", "compare single numbers")

    def fail(self, message: str, fix: str) -> NoReturn:
        raise NotebookError(f"the expression {self.expression.text!r}: {message}", code="NB110", fix=fix) from None


def _is_unknown(value: object) -> bool:
    if isinstance(value, Number):
        return bool(value != value)  # noqa: PLR0124 - NaN, of whatever library
    return value is _UNKNOWN


def _shown(value: object) -> str:
    return f"of type {type(value).__name__}"
