"""What a result must not depend on, and how `verify` changes each of them for an execution."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FACTORS", "Conditions", "can_set_clock", "other_conditions", "usual_conditions"]

# the most likely cause first, since asking ends once everything is explained
FACTORS = ("hash_seed", "shift_s", "threads", "zone", "locale", "place")

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_OTHER_SEED = 20_011
# a year, a month, some days, hours and minutes: year, month, day, weekday, hour and minute all change
_SHIFT_S = 402 * 86_400 + 7 * 3_600 + 23 * 60
# far from UTC, with minutes and with summer time
_ZONES = ("Pacific/Chatham", "America/St_Johns")
_ZONE_WITHOUT_DATABASE = "XCT-12:45XCS,M9.5.0/2:45,M4.1.0/3:45"
# decimal commas first
_LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "tr_TR.UTF-8", "sv_SE.UTF-8", "en_GB.UTF-8", "en_US.UTF-8", "C.UTF-8", "C")
_LC_ALL_MASK = 0x1FBF


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What one execution is made to see.

    Parameters
    ----------
    place : {"first", "second"}
        Which copy of the project it runs in.
    hash_seed : int
        Decides the order of sets of texts.
    threads : int
        For OpenMP, BLAS and the like.
    zone, locale : str or None
        Values of ``TZ`` and ``LC_ALL``; None leaves what the user has.
    shift_s : float
        By how many seconds the clock is ahead.
    clock_s : float or None
        The Unix time at which the clock stands still; None lets it go.
    """

    place: Literal["first", "second"] = "first"
    hash_seed: int = 0
    threads: int = 1
    zone: str | None = None
    locale: str | None = None
    shift_s: float = 0.0
    clock_s: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a process needs from its very start."""
        found = {"PYTHONHASHSEED": str(self.hash_seed), **dict.fromkeys(_THREADS, str(self.threads))}
        if self.zone is not None:
            found["TZ"] = self.zone
        if self.locale is not None:
            found |= {"LC_ALL": self.locale, "LANG": self.locale}
        return found

    def with_one_of(self, other: Conditions, factor: str) -> Conditions:
        """Return these conditions with a single one taken from `other`."""
        return replace(self, **{factor: getattr(other, factor)})

    def to_json(self, folder: str) -> dict[str, object]:
        """Return the conditions as JSON data, the folder that they mean among them."""
        zone = os.environ.get("TZ") or time.tzname[0] if self.zone is None else self.zone
        locale = _current_locale(os.environ) if self.locale is None else self.locale
        return {
            "folder": folder,
            "time_zone": zone,
            "locale": locale,
            "hash_seed": self.hash_seed,
            "days_ahead": round(self.shift_s / 86_400, 1),
            "threads": self.threads,
        }


def usual_conditions() -> Conditions:
    """Return those of a run, with one thread."""
    return Conditions()


def other_conditions() -> Conditions:
    """Return conditions of which every one differs from the usual ones, where this machine lets it."""
    return Conditions(
        place="second",
        hash_seed=_OTHER_SEED,
        threads=2,
        zone=_other_zone(os.environ),
        locale=_other_locale(os.environ),
        shift_s=_SHIFT_S if can_set_clock() else 0.0,
    )


def can_set_clock() -> bool:
    """Tell whether the package that sets a process's clock is installed."""
    return importlib.util.find_spec("time_machine") is not None


def _other_zone(environment: Mapping[str, str]) -> str:
    known = [zone for zone in _ZONES if (Path("/usr/share/zoneinfo") / zone).is_file()]
    return next((zone for zone in known if zone != environment.get("TZ", "").removeprefix(":")), _ZONE_WITHOUT_DATABASE)


def _other_locale(environment: Mapping[str, str]) -> str | None:
    """Return a locale that is installed and not the current one; None if there is none."""
    current = _spelled(_current_locale(environment))
    return next((name for name in _LOCALES if _spelled(name) != current and _is_installed(name)), None)


def _current_locale(environment: Mapping[str, str]) -> str:
    return next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := environment.get(name))), "C")


def _spelled(name: str) -> str:
    return name.lower().replace("-", "").replace("posix", "c")


def _is_installed(name: str) -> bool:
    # `locale.setlocale` would change the whole process while it tries
    library = ctypes.CDLL(None)
    library.newlocale.restype = ctypes.c_void_p
    library.newlocale.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    library.freelocale.argtypes = (ctypes.c_void_p,)
    made = library.newlocale(_LC_ALL_MASK, name.encode(), None)
    if made:
        library.freelocale(made)
    return bool(made)
