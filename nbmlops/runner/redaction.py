"""Keep secrets out of everything that is written for people to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbmlops.pattern import pattern

__all__ = ["MASK", "Redactor", "looks_secret", "secret_values"]

MASK = "[secret]"
_SHORTEST = 4
_NAME = pattern(r"(passw(or)?d|secret|token(?!i[sz])|api_?key|access_?key|private_?key|credential)", re.IGNORECASE)
# of a number: `max_tokens = 4096` is none
_NAME_OF_NUMBER = pattern(r"(passw(or)?d|secret|api_?key|access_?key|private_?key|credential)", re.IGNORECASE)
_SHORTEST_NUMBER = 1000
_SHAPES = (
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|AKIA[A-Z0-9]{16}|xox[baprs]-[A-Za-z0-9-]{10,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
)
_VALUE = pattern(rf"^(sk-[A-Za-z0-9_-]{{8,}}|{_SHAPES})$")
# in running text a key of 8 letters may be a word (sk-learn-contrib), one of 20 with a digit is none
_IN_TEXT = pattern(rf"(?<![A-Za-z0-9])(?:sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{{20,}}|{_SHAPES})(?![A-Za-z0-9])")
# looked for first: a search for the shapes themselves takes 1 s for 100 MB, one for these a tenth
_BEGINNINGS = ("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "xox", "eyJ")
_DIGEST = pattern(r"[0-9a-f]{16,128}")
# under these our records have digests and ids; what stands under the others is named by users, and may hold anything
_OF_DIGESTS = frozenset({"digest", "digests", "files", "git_commit", "id", "key", "notebook_digest", "output_digest", "report", "run_id"})
_OF_USERS = frozenset({"metrics", "outputs", "papermill", "parameters", "series", "source", "space", "summary"})
_URL_PASSWORD = pattern(r"(?<=://)([^\s/:@\"']*):([^\s/@\"']+)(?=@)")
# a shorter line of a secret of several, or part of its base64, may stand in ordinary text
_SHORTEST_PART = 12


def looks_secret(name: str, value: object) -> bool:
    """Tell whether a parameter's name or value looks like a credential, or one lies in it."""
    return next(_secrets_in(name, value), None) is not None


def secret_values(parameters: Mapping[str, Any], environment: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Collect the texts to hide: parameters that look secret, and the variables named by ``--secret``."""
    values = [text for name, value in parameters.items() for text in _secrets_in(name, value)]
    values += [environment[name] for name in names if environment.get(name)]
    return tuple(sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True))


def _secrets_in(name: str, value: object) -> Iterator[str]:
    """Yield the texts in a parameter that look secret; the keys of a mapping are names too."""
    if isinstance(value, str):
        if value and (_NAME.search(name) or _VALUE.match(value)):
            yield value
        elif "://" in value:
            yield from (found.group(2) for found in _URL_PASSWORD.finditer(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= _SHORTEST_NUMBER and _NAME_OF_NUMBER.search(name):
            yield str(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets_in(name if _NAME.search(name) else str(key), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets_in(name, item)


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
        self._forms = sorted({form for value in self._values for form in _forms(value)}, key=len, reverse=True)
        self._kept = frozenset(kept)
        self._patterns: dict[tuple[str, ...], re.Pattern[str]] = {}

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced, also where it was quoted, escaped or encoded as programs do."""
        present = tuple(form for form in self._forms if form in text)  # a pattern of many alternatives would take seconds for 100 MB
        if present:
            if present not in self._patterns:
                self._patterns[present] = _pattern(present, self._kept)
            text = self._patterns[present].sub(self._shown, text)
        if "://" in text and "@" in text:
            text = _URL_PASSWORD.sub(rf"\1:{MASK}", text)
        return _IN_TEXT.sub(MASK, text) if any(beginning in text for beginning in _BEGINNINGS) else text

    def data(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return JSON data with every secret in its strings replaced, and with a number that is one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(item) for item in value]
        if self._values and isinstance(value, int) and not isinstance(value, bool) and str(value) in self._values:
            return MASK
        return value

    def record(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """Return a record of ours with every secret in its strings replaced, and every digest and id whole.

        A secret of a few hexadecimal letters stands in many of them, by chance, and a record whose digests are torn means nothing.
        """
        if not self._values:
            return self.data(value)
        torn = {digest for digest in _digests_in(value) if digest not in self._values and any(form in digest for form in self._forms)}
        return Redactor(self._values, torn).data(value)

    def _shown(self, found: re.Match[str]) -> str:
        return found[0] if found[0] in self._kept else MASK


def _pattern(forms: tuple[str, ...], kept: frozenset[str]) -> re.Pattern[str]:
    """Return what finds any of the texts, the longest first; one to keep only where it is no part of another word."""
    found = sorted({*forms, *kept}, key=len, reverse=True)
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


def _forms(value: str) -> Iterator[str]:
    """Yield a secret as programs write it: in Python's and JSON's quotes, in HTML, in a URL, in base64; and the lines of one that has several."""
    import base64  # noqa: PLC0415 - most runs have no secrets
    import html  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    yield value
    raw = value.encode("utf-8", "surrogatepass")
    yield from (repr(value)[1:-1], ascii(value)[1:-1], repr(raw)[2:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield from (html.escape(value), html.escape(value, quote=False), html.escape(value).replace("&#x27;", "&#39;"))
    yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))
    for before in range(3):  # what stands before it decides where its bytes begin: "user:" in a header
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        whole = encoded[(8 * before + 5) // 6 : (before + len(raw)) * 8 // 6]
        if len(whole) >= _SHORTEST_PART:
            yield from (whole, whole.replace("+", "-").replace("/", "_"))
    for line in value.splitlines() if "\n" in value.strip() else ():
        if len(line.strip()) >= _SHORTEST_PART and not line.startswith("-----"):
            yield line.strip()
