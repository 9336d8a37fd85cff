"""What a command prints to: streams that may be closed, full or gone, which must change neither what it does nor how it is said to have ended."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["guard_streams", "undelivered"]

_STANDARD = _STDIN, _STDOUT, _STDERR = 0, 1, 2
_BUFFER_BYTES = 1 << 16


class _Sink(io.RawIOBase):
    """A descriptor that takes all that is written to it, also when nobody can be given it any more.

    Parameters
    ----------
    descriptor : int
    closed : bool
        Whether the process was started without it.
    """

    def __init__(self, descriptor: int, *, closed: bool) -> None:
        self._descriptor = descriptor
        self._closed = closed
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write `data`, or note why it cannot be written and let everything that follows go to nobody."""
        if self._closed and self.lost is None:
            self.lost = OSError(errno.EBADF, "it is closed")
        while self.lost is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody else has made it so, for all who share it
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = error
        return len(data)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Say yes."""
        return True


def guard_streams() -> None:
    """Make writing to this process's stdout and stderr safe: a run must not break off because nobody reads how it goes on.

    A standard descriptor that is closed is opened on nothing: else the next file that is opened would get its number, and what a
    child process prints would be written into that file.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole process
    sys.stdout = _guarded(sys.stdout, _STDOUT)
    sys.stderr = _guarded(sys.stderr, _STDERR)


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None and (not isinstance(stream, io.TextIOWrapper) or _sink(stream) is not None):
        return stream  # somebody's own, or guarded already
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    sink = _Sink(number, closed=stream is None)
    encoding, errors = ("utf-8", "backslashreplace") if stream is None else (stream.encoding, stream.errors)
    # a terminal that knows no check mark is no reason to break off
    errors = "backslashreplace" if errors == "strict" else errors
    buffered = io.BufferedWriter(sink, _BUFFER_BYTES)
    return io.TextIOWrapper(buffered, encoding=encoding, errors=errors, line_buffering=number == _STDERR or sink.isatty())


def _sink(stream: TextIO | None) -> _Sink | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Sink) else None


def undelivered() -> NbmlopsError | None:
    """Return an error if what stdout was to get has been lost: not to a reader that has gone, as `head` does when it has enough."""
    with suppress(OSError):
        sys.stdout.flush()
    sink = _sink(sys.stdout)
    if sink is None or sink.lost is None or isinstance(sink.lost, BrokenPipeError):
        return None
    why = sink.lost.strerror or str(sink.lost)
    return NbmlopsError(f"what this command prints cannot be written to stdout: {why}", code="NB670", fix="free space, or let it print elsewhere")
