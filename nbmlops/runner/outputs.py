"""Capture what a cell shows, as a notebook would keep it."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from nbmlops.failpoints import failpoint
from nbmlops.runner.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OutputRecorder", "RecordedStream", "captured_descriptors", "read_journal"]

Output = dict[str, Any]
# fields of our own, dropped when an output is taken
_TEXT = "_text"
_DISPLAY_ID = "_display_id"
_TEXT_MIME = ("text/", "application/json", "application/javascript", "image/svg+xml")
_HIDDEN_MIME = "application/vnd.jupyter.widget-view+json"
# a cell that writes to both streams in turn makes an output each time: beyond these, text joins the last one of its stream
_MOST_PIECES = 1000
_BUFFER_CHARACTERS = 1 << 14
_DRAIN_S = 60.0
_DRAIN_STEP_S = 0.25
# code has redirected both ends: what it wrote before has arrived by then, unless a child process keeps the pipe open
_LAST_WORDS_S = 0.5


class OutputRecorder:
    """Collect nbformat outputs, one cell after the other.

    Parameters
    ----------
    redactor : Redactor
    limit_bytes : int
        How much text one stream output may keep; of more, the first and the last part are kept.
    journal : TextIO or None
        Gets every output as it comes, text line by line, so that a process that is killed leaves what it had shown.
    keep_log : callable or None
        Stores text that is over the limit and returns its digest.

    Notes
    -----
    Called by the stage's own thread and by the threads that read its descriptors; a lock orders them.
    """

    def __init__(
        self, redactor: Redactor, *, limit_bytes: int = 2 << 20, journal: TextIO | None = None, keep_log: Callable[[str], str] | None = None
    ) -> None:
        self._keep_log = keep_log
        self._redactor = redactor
        self._limit = limit_bytes
        self._journal = journal
        self._journal_file = Descriptor(journal.fileno()) if isinstance(journal, io.TextIOWrapper) else None
        self._lock = threading.RLock()
        self._clear_pending = False
        # text on its way: `print` writes its arguments, the blanks between them and the line break one by one
        self._waiting: list[str] = []
        self._waiting_name = ""
        self._waiting_size = 0
        self._pieces = self._size = 0
        self.cell: int | None = None
        self.outputs: list[Output] = []

    def begin(self, cell: int) -> None:
        """Start the outputs of a cell."""
        with self._lock:
            self.flush()
            self.cell, self.outputs, self._clear_pending = cell, [], False
            self._pieces = self._size = 0

    def take(self) -> list[Output]:
        """Return the outputs of the cell that has ended; of text over the limit the first and the last part, and where the rest is."""
        with self._lock:
            self.flush()
            outputs, self.outputs = self.outputs, []
        return [self._settled(output) for output in outputs]

    def redacted(self, data: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return JSON data that is shown elsewhere with every secret replaced."""
        return self._redactor.data(data)

    def _settled(self, output: Output) -> Output:
        log: _StreamText | None = output.get(_TEXT)
        kept = {key: value for key, value in output.items() if key not in {_TEXT, _DISPLAY_ID}}
        if log is None:
            return kept
        if log.size <= self._limit:
            return {**kept, "text": self._redactor.text(log.whole())}
        whole, half = self._redactor.text(log.whole()), self._limit // 2  # hidden before it is cut: a secret may stand on the cut
        place = f" (all of it: nbmlops store show {self._keep_log(whole)})" if self._keep_log else ""
        head, tail = whole[:half], whole[-half:]
        return {**kept, "text": f"{head}\n... {log.size - self._limit:,} characters are left out here{place} ...\n{tail}"}

    def stream(self, name: str, text: str) -> None:
        """Add text of stdout or stderr; text that follows text of the same stream joins it."""
        if not text:
            return
        with self._lock:
            if name != self._waiting_name:
                self.flush()
                self._waiting_name = name
            self._waiting.append(text)
            self._waiting_size += len(text)
            # beyond the limit nothing more goes to the journal: there is no line to be quick with
            if self._waiting_size > _BUFFER_CHARACTERS or (self._size <= self._limit and "\n" in text):
                self.flush()

    def flush(self) -> None:
        """Take over the text that waits for the end of its line."""
        with self._lock:
            text = "".join(self._waiting)
            self._waiting.clear()
            self._waiting_size = 0
            if not text:
                return
            self._apply_clear()
            log = self._text_of(self._waiting_name)
            log.add(text)
            self._size += len(text)
            if log.size <= self._limit:
                self._note({"output_type": "stream", "name": self._waiting_name, "text": self._redactor.text(text)})

    def _text_of(self, name: str) -> _StreamText:
        """Return where text of a stream is added now."""
        last = self.outputs[-1] if self.outputs else None
        if last is None or last.get("name") != name:
            if self._pieces >= _MOST_PIECES or self._size > self._limit:
                last = next((output for output in reversed(self.outputs) if output.get("name") == name), None)
            else:
                last = None
        if last is None:
            last = {"output_type": "stream", "name": name, "text": "", _TEXT: _StreamText(self._limit)}
            self.outputs.append(last)
            self._pieces += 1
        log: _StreamText = last[_TEXT]
        return log

    def display(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, transient: dict[str, Any] | None = None) -> None:
        """Add display data."""
        self._add({"output_type": "display_data", "data": _mime(data), "metadata": metadata or {}}, transient)

    def update(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, transient: dict[str, Any] | None = None) -> None:
        """Replace the display data of this cell that has the same display id."""
        wanted = (transient or {}).get("display_id")
        with self._lock:
            self.flush()
            for output in self.outputs:
                if wanted is not None and output.get(_DISPLAY_ID) == wanted:
                    output["data"] = self._redactor.data(_mime(data))
                    output["metadata"] = metadata or {}

    def result(self, count: int, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Add the value of a cell's last expression."""
        self._add({"output_type": "execute_result", "execution_count": count, "data": _mime(data), "metadata": metadata or {}})

    def error(self, name: str, value: str, traceback: list[str]) -> None:
        """Add an exception."""
        self._add({"output_type": "error", "ename": name, "evalue": value, "traceback": traceback})

    def clear(self, *, wait: bool = False) -> None:
        """Drop what the cell has shown so far, now or when something new comes."""
        with self._lock:
            self.flush()
            if wait:
                self._clear_pending = True
            else:
                self.outputs = []

    def _add(self, output: Output, transient: dict[str, Any] | None = None) -> None:
        with self._lock:
            self.flush()
            self._apply_clear()
            output = self._redactor.data(output)
            if transient and "display_id" in transient:
                output[_DISPLAY_ID] = transient["display_id"]
            self.outputs.append(output)
            self._note(output)

    def _apply_clear(self) -> None:
        if self._clear_pending:
            self.outputs, self._clear_pending = [], False

    def _note(self, output: Output) -> None:
        if self._journal is not None and (self._journal_file is None or self._journal_file.is_ours):
            failpoint("journal.write")
            self._journal.write(json.dumps({"cell": self.cell, "output": output}, default=str) + "\n")
            self._journal.flush()


class _StreamText:
    """The text of one stream output: in memory up to the limit, then in a file.

    Joining strings as they come would copy the whole text with each line that is printed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._file: Any = None
        self.size = 0

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, text: str) -> None:
        self.size += len(text)
        self._parts.append(text)
        if self.size > self._limit:
            if self._file is None:
                self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="")  # noqa: SIM115 - closed with its output
            self._file.write("".join(self._parts))
            self._parts.clear()

    def whole(self) -> str:
        if self._file is None:
            return "".join(self._parts)
        self._file.seek(0)
        text: str = self._file.read()
        return text


class RecordedStream(io.TextIOBase):
    """A `sys.stdout` or `sys.stderr` that feeds a recorder.

    Parameters
    ----------
    name : {"stdout", "stderr"}
    write : callable
        Takes the stream's name and the text.
    descriptor : int
        What `fileno` gives, for child processes.
    flush : callable or None
        Makes the recorder take over a line that has not ended.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, write: Callable[[str, str], None], descriptor: int, flush: Callable[[], None] | None = None) -> None:
        self._name = name
        self._write = write
        self._flush = flush
        self._descriptor = descriptor
        self._owner = os.getpid()
        self._line = ""
        self.buffer: Any = _Bytes(self)

    def write(self, text: object) -> int:
        """Record `text`, which must be a string, as any text stream says."""
        if not isinstance(text, str):
            msg = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(msg)
        if self._owner == os.getpid():
            self._write(self._name, text)
        else:
            self._line += text
            if "\n" in text:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Hand over a line that has not ended."""
        if os.getpid() != self._owner:
            # a forked worker has a copy of the recorder, whose lock another thread may have held for ever: it writes whole lines to the pipe
            line, self._line = self._line, ""
            os.write(self._descriptor, line.encode("utf-8", "replace"))
        elif self._flush is not None:
            self._flush()

    def close(self) -> None:
        """Stay open: the cell after one that closes its output shows what it prints, as in a kernel."""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that child processes inherit."""
        return self._descriptor

    def isatty(self) -> bool:
        """Say no: nobody is watching."""
        return False


class _Bytes(io.RawIOBase):
    """The `buffer` of a `RecordedStream`, for code that writes bytes."""

    def __init__(self, stream: RecordedStream) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        raw = bytes(data)
        self._stream.write(raw.decode("utf-8", "replace"))
        return len(raw)

    def writable(self) -> bool:
        return True


def read_journal(lines: list[str], *, limit_bytes: int, redactor: Redactor | None = None) -> dict[int, list[Output]]:
    """Return the outputs of each cell from a recorder's journal; a line that was cut off by the end of the process is left out.

    Parameters
    ----------
    lines : list of str
    limit_bytes : int
        As of the recorder.
    redactor : Redactor or None
        Hides a secret that only its parts, each in a line of its own, make up.
    """
    recorders: dict[int, OutputRecorder] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        output = entry["output"]
        recorder = recorders.setdefault(entry["cell"], OutputRecorder(redactor or Redactor(), limit_bytes=limit_bytes))
        if output["output_type"] == "stream":
            recorder.stream(output["name"], output["text"])
        else:
            recorder.flush()
            recorder.outputs.append(output)
    return {cell: recorder.take() for cell, recorder in recorders.items()}


@contextmanager
def captured_descriptors(recorder: OutputRecorder) -> Iterator[Callable[[], None]]:
    """Feed the recorder with what C code and child processes write to descriptors 1 and 2.

    Yields
    ------
    callable
        Waits until everything written so far has reached the recorder.
    """
    saved = {number: Descriptor(os.dup(number)) for number in (1, 2)}
    threads: dict[int, threading.Thread] = {}
    markers: dict[int, threading.Event] = {1: threading.Event(), 2: threading.Event()}
    # what may be its beginning waits for the rest, and text has no such byte: the last letter of a secret must not come after the others
    token = b"\0" + os.urandom(16).hex().encode()
    own: dict[int, tuple[Descriptor, Descriptor]] = {}  # the pipes' ends again: code may close or redirect 1 and 2
    for number, name in ((1, "stdout"), (2, "stderr")):
        read_end, write_end = os.pipe()
        os.dup2(write_end, number)
        own[number] = Descriptor(write_end), Descriptor(write_end, number)
        threads[number] = threading.Thread(target=_pump, args=(Descriptor(read_end), name, recorder, token, markers[number]), daemon=True)
        threads[number].start()
    streams = sys.stdout, sys.stderr
    sys.stdout = RecordedStream("stdout", recorder.stream, 1, recorder.flush)
    sys.stderr = RecordedStream("stderr", recorder.stream, 2, recorder.flush)

    owner = os.getpid()

    def drain() -> None:
        if os.getpid() != owner:
            return  # a fork that the code let run on has no threads that read
        for number, marker in markers.items():
            marker.clear()
            written = any(end.write(token) for end in own[number] if threads[number].is_alive())
            left_s = _DRAIN_S if written else _LAST_WORDS_S
            while left_s > 0 and threads[number].is_alive() and not marker.wait(timeout=_DRAIN_STEP_S):
                left_s -= _DRAIN_STEP_S

    try:
        yield drain
    finally:
        sys.stdout, sys.stderr = streams
        for number, copy in saved.items():
            if copy.is_ours:
                os.dup2(copy.number, number)
            copy.close()
            own[number][0].close()
        for thread in threads.values():
            # a child process that outlives the stage keeps the pipe open: its supervisor ends it, we do not wait
            thread.join(timeout=0.2)


class Descriptor:
    """A descriptor that code may close under us: its number may be that of a file of the code's own then, which must not be written or read.

    Parameters
    ----------
    number : int
        Open now.
    now : int or None
        Another number that stands for the same.
    """

    def __init__(self, number: int, now: int | None = None) -> None:
        found = os.fstat(number)
        self._identity = found.st_dev, found.st_ino
        self.number = number if now is None else now

    @property
    def is_ours(self) -> bool:
        """Whether the number still stands for what it did."""
        try:
            found = os.fstat(self.number)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def write(self, data: bytes) -> bool:
        """Write, and tell whether that was possible."""
        with suppress(OSError):
            return self.is_ours and os.write(self.number, data) == len(data)
        return False

    def close(self) -> None:
        """Close it, if it is ours."""
        if self.is_ours:
            os.close(self.number)


def _pump(pipe: Descriptor, name: str, recorder: OutputRecorder, token: bytes, marker: threading.Event) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held = b""
    while chunk := _read(pipe):
        *parts, held = (held + chunk).split(token)
        for part in parts:
            recorder.stream(name, decoder.decode(part, final=True))
            marker.set()
        # only what may be the first part of the token has to wait: a line of 100 MB is not searched again with each part
        begun = next((size for size in range(len(token) - 1, 0, -1) if held.endswith(token[:size])), 0)
        ready, held = held[: len(held) - begun], held[len(held) - begun :]
        recorder.stream(name, decoder.decode(ready))
    recorder.stream(name, decoder.decode(held, final=True))
    pipe.close()


def _read(pipe: Descriptor) -> bytes:
    try:
        return os.read(pipe.number, 1 << 16) if pipe.is_ours else b""
    except OSError:
        return b""


def _mime(data: dict[str, Any]) -> dict[str, Any]:
    import base64  # noqa: PLC0415 - only where something is displayed

    bundle: dict[str, Any] = {}
    for kind, value in data.items():
        if kind == _HIDDEN_MIME and len(data) > 1:
            continue  # a live widget is dead in a saved notebook; its text or HTML twin is kept
        if isinstance(value, bytes):
            bundle[kind] = value.decode(errors="replace") if kind.startswith(_TEXT_MIME) else base64.b64encode(value).decode()
        else:
            bundle[kind] = value
    return bundle
