"""Where stages report how they go, and are told whether the sweep prunes their trial."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Listener"]

_MESSAGE_BYTES = 1 << 12


class Listener:
    """A socket of this machine that only this user can reach, answered by a thread: a stage waits for each answer.

    Parameters
    ----------
    judge : callable
        Takes the attempt, the step and the value of a report; returns whether to prune. Called from the thread.
    """

    def __init__(self, judge: Callable[[str, int, float], bool]) -> None:
        self._judge = judge
        # the name of a socket has at most 107 characters, which the store's path may exceed
        self._folder = Path(tempfile.mkdtemp(prefix="nbmlops-"))
        self.address = str(self._folder / "reports")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(self.address)
        self._socket.listen()
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="nbmlops-reports", daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering."""
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == self._wake:
                        for other in list(selector.get_map().values()):
                            if isinstance(other.fileobj, socket.socket) and other.fileobj is not self._socket:
                                other.fileobj.close()
                        return
                    if key.fileobj is self._socket:
                        channel, _address = self._socket.accept()
                        selector.register(channel, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and not self._answer(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    def _answer(self, channel: socket.socket) -> bool:
        """Answer one report; tell whether there may be more."""
        try:
            data = channel.recv(_MESSAGE_BYTES)
            if not data:
                return False
            report = json.loads(data)
            prune = self._judge(str(report["attempt"]), int(report["step"]), float(report["value"]))
            channel.send(json.dumps({"prune": prune}).encode())
        except Exception:  # noqa: BLE001 - whatever the sweep's storage raises, other stages are to be answered
            with suppress(OSError):
                channel.send(b'{"prune": false}')
            return False
        return True
