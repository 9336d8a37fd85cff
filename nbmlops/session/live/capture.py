"""Record what a cell shows in a live shell, while it is shown as ever."""

from __future__ import annotations

import sys
import tokenize
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.runner.outputs import OutputRecorder

__all__ = ["recording", "replay"]


class _Tee:
    """A stream that also feeds a recorder; everything else is the real stream's."""

    def __init__(self, stream: Any, name: str, recorder: OutputRecorder) -> None:  # noqa: ANN401 - whatever the front end has
        self._stream = stream
        self._name = name
        self._recorder = recorder

    def write(self, text: str) -> int:
        """Write and record."""
        count: int = self._stream.write(text)
        self._recorder.stream(self._name, text)
        return count

    def writelines(self, lines: list[str]) -> None:
        """Write and record each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)


@contextmanager
def recording(shell: InteractiveShell, recorder: OutputRecorder, source: str) -> Iterator[None]:
    """Feed `recorder` with streams, display data, results and errors of the code `source`; errors are recorded and not shown."""
    streams = sys.stdout, sys.stderr
    with ExitStack() as stack:
        publish, clear = shell.display_pub.publish, shell.display_pub.clear_output
        write = shell.displayhook.write_format_data

        def on_publish(data: dict[str, Any], metadata: dict[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            (recorder.update if kwargs.get("update") else recorder.display)(data, metadata, kwargs.get("transient"))
            publish(data, metadata, *args, **kwargs)

        def on_clear(wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's signature
            recorder.clear(wait=wait)
            clear(wait)  # type: ignore[no-untyped-call]

        def on_result(format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
            recorder.result(shell.execution_count, format_dict, md_dict)
            write(format_dict, md_dict)

        def on_error(etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
            recorder.error(etype.__name__, str(evalue), list(stb))

        _replace(stack, shell.display_pub, "publish", on_publish)
        _replace(stack, shell.display_pub, "clear_output", on_clear)
        _replace(stack, shell.displayhook, "write_format_data", on_result)
        _replace(stack, shell, "_showtraceback", on_error)
        # IPython looks for the semicolon at the end of the last cell of its history: that is ours, with the magic line
        _replace(stack, shell.displayhook, "quiet", lambda: _ends_with_semicolon(source))
        sys.stdout = _Tee(streams[0], "stdout", recorder)
        sys.stderr = _Tee(streams[1], "stderr", recorder)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = streams


def replay(shell: InteractiveShell, outputs: list[dict[str, Any]]) -> None:
    """Show recorded outputs again."""
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            stream = sys.stdout if output["name"] == "stdout" else sys.stderr
            stream.write(output["text"])
            stream.flush()
        elif kind in {"display_data", "execute_result"}:
            shell.display_pub.publish(output["data"], output["metadata"])


def _ends_with_semicolon(source: str) -> bool:
    try:
        return bool(DisplayHook.semicolon_at_end_of_expression(source))
    except (tokenize.TokenError, SyntaxError):
        return source.rstrip().endswith(";")


def _replace(stack: ExitStack, owner: Any, name: str, function: Callable[..., Any]) -> None:  # noqa: ANN401
    """Set an attribute of an instance until the stack unwinds."""
    had = name in vars(owner)
    earlier = vars(owner).get(name)
    setattr(owner, name, function)
    stack.callback(lambda: setattr(owner, name, earlier) if had else delattr(owner, name))
