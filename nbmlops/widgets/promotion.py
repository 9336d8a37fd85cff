"""The live panel of a registered model: the version in use beside the others, their gates, Promote and Roll back, and who did what before.

The browser's part is `promotion.js`. It restates what an act would do and sends what its user saw with it: which version the alias meant, and the
digest of the version that is promoted. So an act that rests on what is no longer so can be refused where the registry is asked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from nbmlops.errors import UsageError
from nbmlops.views.escape import cut
from nbmlops.views.standing import headline
from nbmlops.widgets.modelcontents import aliases_of, model_contents, return_of
from nbmlops.widgets.panel import LINE, Panel, error_line, script, style
from nbmlops.widgets.twin import model_twin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmlops.promotion.state import ModelState, PromotionEvent

__all__ = ["PromotionPanel", "Seen"]

_LONGEST = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the user of a panel saw when an act was confirmed.

    Parameters
    ----------
    version : int or None
        What the alias meant; None for nothing.
    digest : str
        Of the version that is promoted, or that is gone back to; "" where it has none.
    """

    version: int | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What a button asks for."""

    kind: str
    alias: str
    version: int | None
    reason: str
    override: str
    seen: Seen


class PromotionPanel(Panel):
    """The panel of a registered model, below a cell.

    Parameters
    ----------
    state : ModelState
        How the model stands.
    on_promote : callable
        Is called as ``on_promote(version, alias, reason, override, seen)`` with a `Seen`; `override` is "" where nothing is overridden.
    on_rollback : callable
        Is called as ``on_rollback(alias, reason, seen)``.
    on_refresh : callable
        Is called without anything.

    Notes
    -----
    Each of the callables returns how the model stands now. They run in a thread of their own, one at a time. What they raise is shown in one
    line; then the panel asks how the model stands, and says who has moved the alias meanwhile, if somebody has.
    """

    def __init__(
        self,
        state: ModelState,
        *,
        on_promote: Callable[[int, str, str, str, Seen], ModelState],
        on_rollback: Callable[[str, str, Seen], ModelState],
        on_refresh: Callable[[], ModelState],
    ) -> None:
        self._on_promote, self._on_rollback, self._on_refresh = on_promote, on_rollback, on_refresh
        self._state = state
        self._acting = False
        super().__init__(_Widget())
        self.show(state)

    def show(self, state: ModelState) -> None:
        """Show how the model stands; may be called from any thread."""
        with self._lock:
            self._state = state
            self._widget.model = model_contents(state)
        self._update_twins()

    def _twin(self) -> dict[str, str]:
        return model_twin(self._state)

    def _do(self, content: Mapping[str, Any]) -> None:
        mark, kind = content.get("id"), content.get("kind")
        if kind not in {"promote", "rollback", "refresh"} or not isinstance(mark, str):
            return
        try:
            act = None if kind == "refresh" else self._read(content)
            with self._lock:
                if self._acting:
                    raise UsageError("this panel is at work on what was asked before", code="NB667", fix="wait for its answer")  # noqa: TRY301
                self._acting = True
        except UsageError as error:
            self._answer(mark, kind, "failed", error_line(error))
            return
        self._answer(mark, kind, "wait", "asking the registry …")
        threading.Thread(target=self._work, args=(mark, kind, act), name=f"nbmlops-{kind}", daemon=True).start()

    def _read(self, content: Mapping[str, Any]) -> _Act:
        """Return what is asked, if it fits the model.

        Raises
        ------
        UsageError
            If it does not.
        """
        alias = aliases_of(self._state).get(str(content.get("alias")))
        reason, override = (str(content.get(name) or "").strip() for name in ("reason", "override"))
        version, meant, digest = content.get("version"), content.get("seenVersion"), content.get("seenDigest")
        if not reason:
            raise UsageError("a promotion needs a reason", code="NB666", fix="write why")
        if len(reason) > _LONGEST or len(override) > _LONGEST:
            raise UsageError(f"a reason has at most {_LONGEST} characters", code="NB666", fix="write a shorter one")
        known = {item.version.version for item in self._state.candidates}
        number = version if isinstance(version, int) and not isinstance(version, bool) else None
        if alias is None or number not in known or not (meant is None or isinstance(meant, int)) or not isinstance(digest, str):
            raise UsageError("the version or alias that was chosen is not there any more", code="NB666", fix="press Refresh and choose again")
        kind = str(content["kind"])
        return _Act(kind=kind, alias=alias, version=number, reason=reason, override=override, seen=Seen(version=meant, digest=digest))

    def _work(self, mark: str, kind: str, act: _Act | None) -> None:
        try:
            text, state = self._worked(act)
        finally:
            with self._lock:
                self._acting = False
        self._answer(mark, kind, state, text)

    def _worked(self, act: _Act | None) -> tuple[str, str]:
        """Do what was asked, show how the model stands then, and return what is said of it: a text and a state."""
        try:
            fresh = self._asked_registry(act)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown where it was asked for
            return self._after_failure(error_line(error), act)
        self.show(fresh)
        if act is None:
            return f"as it stands now: {headline(fresh)}", "done"
        return _done(fresh, act), "done"

    def _asked_registry(self, act: _Act | None) -> ModelState:
        if act is None:
            return self._on_refresh()
        if act.kind == "rollback":
            if return_of(self._state, act.alias) != act.version:
                raise UsageError("what the alias would go back to has changed", code="NB668", fix="read what would happen now, and decide again")
            return self._on_rollback(act.alias, act.reason, act.seen)
        assert act.version is not None  # noqa: S101 - it was checked when it was read
        return self._on_promote(act.version, act.alias, act.reason, act.override, act.seen)

    def _after_failure(self, line: str, act: _Act | None) -> tuple[str, str]:
        if act is None:
            return line, "failed"
        try:
            fresh = self._on_refresh()
        except Exception as error:  # noqa: BLE001 - the first error is what was asked for
            return f"{line} · how the model stands now could not be asked: {error_line(error)}", "failed"
        self.show(fresh)
        if fresh.aliases.get(act.alias) == act.seen.version:
            return f"{line} · nothing was moved: {_means(fresh, act.alias)}", "failed"
        return f"{line} · meanwhile the alias has been moved: {_means(fresh, act.alias)}{_by(fresh, act.alias)}", "moved"

    def _answer(self, mark: str, kind: str, state: str, text: str) -> None:
        with self._lock:
            self._widget.answer = {"id": mark, "kind": kind, "state": state, "text": cut(text, 3 * LINE)}


class _Widget(anywidget.AnyWidget):
    """What the browser knows."""

    _esm = script("promotion")
    _css = style("promotion")
    model = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)


def _done(state: ModelState, act: _Act) -> str:
    event = _last(state, act.alias)
    before = "" if act.seen.version is None else f", it meant version {act.seen.version} before"
    entry = "" if event is None else f" · entry {event.position} of the log has who, when and why"
    return f"{_means(state, act.alias)}{before}{entry}"


def _means(state: ModelState, alias: str) -> str:
    number = state.aliases.get(alias)
    return f"{cut(alias, 40)} {'means no version' if number is None else f'means version {number}'} of {cut(state.model, 40)} now"


def _by(state: ModelState, alias: str) -> str:
    event = _last(state, alias)
    if event is None or event.version != state.aliases.get(alias):
        return ", not by nbmlops: the log has no entry of it"
    return f", by {cut(event.who, 60)}: {cut(event.reason, 200)}"


def _last(state: ModelState, alias: str) -> PromotionEvent | None:
    return next((event for event in state.events if event.alias == alias), None)
