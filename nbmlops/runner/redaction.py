"""Keep secrets out of everything that is written for people to read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbmlops.pattern import pattern

__all__ = ["MASK", "Redactor", "looks_secret", "secret_values"]

MASK = "[secret]"
_SHORTEST = 4
_NAME = pattern(r"(passw(or)?d|secret|token(?!i[sz])|api_?key|access_?key|private_?key|credential)", re.IGNORECASE)
_SHAPES = (
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|AKIA[A-Z0-9]{16}|xox[baprs]-[A-Za-z0-9-]{10,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
)
_VALUE = pattern(rf"^(sk-[A-Za-z0-9_-]{{8,}}|{_SHAPES})$")
# in running text a key of 8 letters may be a word (sk-learn-contrib), one of 20 with a digit is none
_IN_TEXT = pattern(rf"(?<![A-Za-z0-9])(?:sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{{20,}}|{_SHAPES})(?![A-Za-z0-9])")
# looked for first: a search for the shapes themselves takes 1 s for 100 MB, one for these a tenth
_BEGINNINGS = ("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "xox", "eyJ")
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
# under these our records have digests and ids; what stands under the others is named by users, and may hold anything
_OF_DIGESTS = frozenset({"digest", "digests", "files", "git_commit", "id", "key", "notebook_digest", "output_digest", "report", "run_id"})
_OF_USERS = frozenset({"metrics", "outputs", "papermill", "parameters", "series", "source", "space", "summary"})


def looks_secret(name: str, value: object) -> bool:
    """Tell whether a parameter's name or value looks like a credential."""
    return isinstance(value, str) and bool(value) and bool(_NAME.search(name) or _VALUE.match(value))


def secret_values(parameters: Mapping[str, Any], environment: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Collect the texts to hide: parameters that look secret, and the variables named by ``--secret``."""
    values = [value for name, value in parameters.items() if looks_secret(name, value)]
    values += [environment[name] for name in names if environment.get(name)]
    return tuple(sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True))


class Redactor:
    """Replace known secrets, and what has the shape of a well-known service's token, in text and in JSON data.

    Parameters
    ----------
    values : iterable of str
        The secrets; shorter ones than four characters would hide ordinary text and are left.
    kept : iterable of str
        Words that stay whole although a secret stands in them.
    """

    def __init__(self, values: Iterable[str] = (), kept: Iterable[str] = ()) -> None:
        self._values = frozenset(value for value in values if len(value) >= _SHORTEST)
        self._kept = frozenset(kept)
        self._pattern = _pattern(self._values, self._kept) if self._values else None

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced."""
        if self._pattern is not None:
            text = self._pattern.sub(self._shown, text)
        return _IN_TEXT.sub(MASK, text) if any(beginning in text for beginning in _BEGINNINGS) else text

    def data(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return JSON data with every secret in its strings replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(item) for item in value]
        return value

    def record(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return a record of ours with every secret in its strings replaced, and every digest and id whole.

        A secret of a few hexadecimal letters stands in many of them, by chance, and a record whose digests are torn means nothing.
        """
        if not self._values:
            return self.data(value)
        torn = {digest for digest in _digests_in(value) if digest not in self._values and any(secret in digest for secret in self._values)}
        return Redactor(self._values, torn).data(value)

    def _shown(self, found: re.Match[str]) -> str:
        return found[0] if found[0] in self._kept else MASK


def _pattern(values: frozenset[str], kept: frozenset[str]) -> re.Pattern[str]:
    """Return what finds any of the texts, the longest first; one to keep only where it is no part of another word."""
    found = sorted(values | kept, key=len, reverse=True)
    return re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" if text in kept else re.escape(text) for text in found))


def _digests_in(value: Any, *, named: bool = False) -> Iterator[str]:  # noqa: ANN401 - JSON data
    """Return the digests and ids of a record, and not what a user has written that looks like one."""
    if isinstance(value, str):
        if named and _DIGEST.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _OF_USERS or named:
                yield from _digests_in(item, named=named or key in _OF_DIGESTS)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _digests_in(item, named=named)
