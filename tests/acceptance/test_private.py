"""What a run opens to others: no port, no socket with a name, no file of the store."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.project import Project, cell

if TYPE_CHECKING:
    from collections.abc import Iterator

CELLS = [
    cell("n = 2\napi_token = 'x'", "parameters"),
    "import subprocess",
    "%%mlstage a\nx = list(range(n))\nprint(open('a.txt', 'w').write(api_token))",
    "%%mlstage b --metrics m\nsubprocess.Popen(['sleep', '2.05']).wait()\nm = {'v': len(x)}",
]
TRACKED = {"NBMLOPS_TRACKERS": "wandb", "NBMLOPS_TRACK_WAIT_S": "120", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def listening() -> dict[str, str]:
    """Return all sockets of this machine that others could reach, by inode: what listens on a port, and what has a name."""
    found = {}
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
        rows = [line.split() for line in lines]
        found |= {row[9]: f"{kind} {row[1]}" for row in rows if row[3] == "0A" or (kind.startswith("udp") and row[3] == "07")}
    named = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return found | {row[6]: f"unix {row[7]}" for row in named if len(row) > 7}


def sockets_of(pid: int) -> Iterator[str]:
    """Yield the inodes of a process's sockets."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)  # noqa: PTH115 - "socket:[1]" is no path
        if target.startswith("socket:["):
            yield target[8:-1]


def reachable(folder: Path) -> Iterator[Path]:
    """Yield what others may read or write below a folder that they may enter."""
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if mode & 0o077:
            yield path
        if stat.S_ISDIR(mode) and mode & 0o011:
            yield from reachable(path)


@pytest.fixture
def _open_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_mask")
def test_a_run_opens_nothing_to_others(project: Project) -> None:
    """With an open umask, and a store whose folder everybody may enter: no port, no named socket but W&B's own, nothing readable in the store."""
    project.write(CELLS)
    store = project.folder / ".nbmlops"
    store.mkdir(mode=0o755)
    running = project.start("run", "nb.ipynb", "--json", "-p", "api_token", "canary-of-a-token", env=TRACKED)
    project.wait_for_process("sleep 2.05")
    asked = {pid: line for pid, line in project.processes().items() if "wandb-core" not in line}
    assert len(asked) >= 4  # the command, the server of the workers, the stage with its supervisor, the sender
    inodes = {inode for pid in asked for inode in sockets_of(pid)}
    assert inodes
    assert {inode: what for inode, what in listening().items() if inode in inodes} == {}
    done = project.finish(running)
    assert (done.code, set(done.data["tracking"])) == (0, {"wandb"}), done.err
    assert {path.name for path in store.iterdir()} >= {"attempts", "cache", "locks", "objects", "outbox", "records", "runs", "wandb"}
    assert list(reachable(store)) == []


def test_what_listens_is_found() -> None:
    """The look above would see a port, and a socket with a name."""
    script = "import socket, sys\nport, name = socket.socket(), socket.socket(socket.AF_UNIX)\nport.bind(('127.0.0.1', 0))\nport.listen()\n"
    script += "name.bind('\\0nbmlops-test')\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        there = listening()
        assert sorted(there[inode].partition(" ")[0] for inode in sockets_of(process.pid) if inode in there) == ["tcp", "unix"]
        process.communicate()
