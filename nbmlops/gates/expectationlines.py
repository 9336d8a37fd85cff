"""Expectations as a cell of `%%mlexpect` has them: one a line, a name and plain values."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, NoReturn

from nbmlops.dataclass import dataclass
from nbmlops.errors import UsageError
from nbmlops.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "parse_lines"]

_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_CALL = pattern(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_KEYWORD = pattern(r"([A-Za-z_][A-Za-z0-9_]*)=(?!=)")
_BARE = pattern(r"[^\W\d][^\s\"'\[\](){},=]*")
_JSON_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "\"'"
_PIECES = pattern(r"""(?P<gap>\s+|(?<!\S)\#.*)|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s"'\[\](){}]+|.""")
_INFINITY = float("inf")
_LIMIT = 10_000  # characters of a line: literals nest deeper than Python's parser in no suite of anybody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One expectation as it is written.

    Parameters
    ----------
    number : int
        Of the line in its cell, from 1.
    name : str
    values : tuple
        What is given by place.
    named : dict of str to Any
        What is given by name.
    """

    number: int
    name: str
    values: tuple[Any, ...]
    named: dict[str, Any]


def parse_lines(text: str, first_line: int = 1) -> tuple[Line, ...]:
    """Read expectations: a name and values with blanks between them, or a call with literals. Nothing is evaluated.

    Parameters
    ----------
    text : str
    first_line : int
        The number of its first line, for messages.

    Raises
    ------
    UsageError
        If a line is neither, with its number.

    Examples
    --------
    >>> line = parse_lines("expect_column_values_to_be_in_set origin ['EWR', 'JFK'] severity=warning")[0]
    >>> line.values, line.named
    (('origin', ['EWR', 'JFK']), {'severity': 'warning'})
    """
    found = []
    for number, line in enumerate(text.split("\n"), first_line):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            found.append(_line(bare, number))
    return tuple(found)


def _line(text: str, number: int) -> Line:
    if len(text) > _LIMIT:
        _refuse(number, f"is longer than {_LIMIT:,} characters", "put long value sets into a JSON suite")
    call = _CALL.match(text)
    if call is not None:
        return _call(text, number)
    name = _NAME.match(text)
    if name is None or (name.end() < len(text) and not text[name.end()].isspace()):
        _refuse(number, "does not begin with the name of an expectation", "write: expect_column_values_to_not_be_null COLUMN")
    values: list[Any] = []
    named: dict[str, Any] = {}
    for word in _words(text[name.end() :], number):
        keyword = _KEYWORD.match(word)
        if keyword is not None:
            if keyword[1] in named:
                _refuse(number, f"gives {keyword[1]!r} twice", "give it once")
            named[keyword[1]] = _value(word[keyword.end() :], number)
        elif named:
            _refuse(number, f"has {word!r} behind values that are given by name", "put it before them")
        else:
            values.append(_value(word, number))
    return Line(number=number, name=name[0], values=tuple(values), named=named)


def _call(text: str, number: int) -> Line:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        _refuse(number, f"cannot be read: {message}", "write: expect_...(column=NAME, min_value=1)")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        _refuse(number, "is no single call", "write: expect_...(column=NAME, min_value=1)")
    named: dict[str, Any] = {}
    for item in node.keywords:
        if item.arg is None:
            _refuse(number, "has **, which stands for no plain value", "write the values out")
        if item.arg in named:
            _refuse(number, f"gives {item.arg!r} twice", "give it once")
        named[item.arg] = _literal(item.value, number)
    return Line(number=number, name=node.func.id, values=tuple(_literal(item, number) for item in node.args), named=named)


def _words(text: str, number: int) -> Iterator[str]:
    """Yield words between blanks; brackets and quotes keep theirs."""
    word, missing = "", list[str]()
    for found in _PIECES.finditer(text):
        piece = found[0]
        if found.lastgroup == "gap" and not missing:
            yield from [word] if word else []
            word = ""
            continue
        if piece in _CLOSING or piece in _QUOTES:  # a quote that closes is no piece of its own
            missing.append(_CLOSING.get(piece, piece))
        elif missing and piece == missing[-1]:
            missing.pop()
        word += piece
    if missing:
        _refuse(number, f"has no closing {missing[-1]}", "close it on the same line")
    yield from [word] if word else []


def _value(word: str, number: int) -> Any:  # noqa: ANN401 - what stands there
    if word in _JSON_WORDS:
        return _JSON_WORDS[word]
    if _BARE.fullmatch(word):
        return word
    try:
        node = ast.parse(word, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _refuse(number, f"has {word[:60]!r}, which is no plain value", "put text into quotes; numbers, lists and words need none")
    return _literal(node, number)


def _literal(node: ast.expr, number: int) -> Any:  # noqa: ANN401 - what stands there
    """Return a value that JSON can hold."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as plain) if plain != _INFINITY:
            return plain
        case ast.Name(id=word) if word in _JSON_WORDS:
            return _JSON_WORDS[word]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as plain)) if type(plain) is not bool and plain != _INFINITY:
            return -plain
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_literal(item, number) for item in items]
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys):
            return {key.value: _literal(value, number) for key, value in zip(keys, values, strict=True)}  # type: ignore[union-attr]
    return _refuse(number, f"has {ast.unparse(node)[:60]!r}, which is no plain value", "write numbers, text, lists and mappings of them")


def _refuse(number: int, what: str, fix: str) -> NoReturn:
    raise UsageError(f"line {number} {what}", code="NB633", fix=fix)
