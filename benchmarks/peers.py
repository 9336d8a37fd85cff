"""The tools that nbmlops is measured against, in a virtual environment of their own."""

from __future__ import annotations

import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import run

__all__ = ["Peers", "install_peers"]

_ROOT = Path(__file__).resolve().parents[1]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the peers are installed.

    Parameters
    ----------
    folder : Path
        Of the virtual environment; its Python is the one that runs nbmlops.
    """

    folder: Path

    @property
    def packages(self) -> Path:
        """The folder to import the peers' packages from."""
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder), "platbase": str(self.folder)}))

    def command(self, name: str) -> str:
        """Return the path of a peer's command."""
        return str(self.folder / "bin" / name)


def install_peers(folder: Path = _ROOT / "build" / "benchmarks") -> Peers:
    """Install what `requirements.txt` pins, unless exactly that is installed already.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails.
    """
    peers = Peers(folder)
    stamp = folder / "installed.txt"
    wanted = f"{sysconfig.get_python_version()}\n{_REQUIREMENTS.read_text(encoding='utf-8')}"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(folder, clear=True, with_pip=True)
        run([peers.command("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(_REQUIREMENTS)], _ROOT)
        stamp.write_text(wanted, encoding="utf-8")  # last, so that an installation that broke off is done again
    return peers
