"""The live panel of a registered model: the version in use beside the others, their gates, Promote and Roll back, and who did what before.

The browser's part is `promotion.js`. It restates what an act would do and sends what its user saw with it: which version the alias meant, and the
digest of the version that it shall mean. So an act that rests on what is no longer so can be refused where the registry is asked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from nbmlops.errors import LostRace, UsageError
from nbmlops.promotion.state import Expected
from nbmlops.views.escape import cut
from nbmlops.views.standing import headline
from nbmlops.widgets.modelcontents import aliases_of, model_contents, return_of
from nbmlops.widgets.panel import LINE, Panel, error_line, script, style
from nbmlops.widgets.twin import model_twin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmlops.promotion.state import ModelState, PromotionEvent
    from nbmlops.session.promotions import Promotions

__all__ = ["PromotionPanel", "panel_of"]

_LONGEST = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What a button asks for."""

    kind: str
    alias: str
    version: int | None
    reason: str
    override: str
    approver: str
    expected: Expected


class PromotionPanel(Panel):
    """The panel of a registered model, below a cell.

    Parameters
    ----------
    state : ModelState
        How the model stands.
    on_promote : callable
        Is called as ``on_promote(version, alias, reason, override=..., approver=..., expected=...)`` and returns the log's entry; `override` is ""
        where nothing is overridden.
    on_rollback : callable
        Is called as ``on_rollback(alias, reason, approver=..., expected=...)`` and returns the log's entry.
    on_refresh : callable
        Returns how the model stands now; is asked after each act, whether it succeeded or not.

    Notes
    -----
    The callables run in a thread of their own, one at a time. What they raise is shown in one line, and who has moved the alias meanwhile, if
    somebody has.
    """

    def __init__(
        self,
        state: ModelState,
        *,
        on_promote: Callable[..., PromotionEvent],
        on_rollback: Callable[..., PromotionEvent],
        on_refresh: Callable[[], ModelState],
    ) -> None:
        self._on_promote, self._on_rollback, self._on_refresh = on_promote, on_rollback, on_refresh
        self._state = state
        self._acting = False
        super().__init__(_Widget(model=model_contents(state)))

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
                    raise UsageError("this panel is at work on what was asked before", code="NB668", fix="wait for its answer")  # noqa: TRY301
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
        reason, override, approver = (str(content.get(name) or "").strip() for name in ("reason", "override", "approver"))
        version, holder, digest = content.get("version"), content.get("holder"), content.get("digest")
        if not reason:
            raise UsageError("a promotion needs a reason", code="NB666", fix="write why")
        if max(map(len, (reason, override, approver))) > _LONGEST:
            raise UsageError(f"a reason has at most {_LONGEST} characters", code="NB666", fix="write a shorter one")
        if alias is None or not _is_number(version) or not (holder is None or _is_number(holder)) or not isinstance(digest, str):
            raise UsageError("the version or alias that was chosen is not there any more", code="NB667", fix="press Refresh and choose again")
        expected = Expected(holder=holder, digest=digest)
        kind = str(content["kind"])
        return _Act(kind=kind, alias=alias, version=version, reason=reason, override=override, approver=approver, expected=expected)

    def _work(self, mark: str, kind: str, act: _Act | None) -> None:
        try:
            text, state = self._worked(act)
        finally:
            with self._lock:
                self._acting = False
        self._answer(mark, kind, state, text)

    def _worked(self, act: _Act | None) -> tuple[str, str]:
        """Do what was asked, show how the model stands then, and return what is said of it: a text and a state."""
        said, error = "", None
        if act is not None:
            try:
                said = _done(self._acted(act))
            except Exception as caught:  # noqa: BLE001 - whatever it is, it is shown where it was asked for
                error = caught
                said = error_line(caught)
        try:
            fresh = self._on_refresh()
        except Exception as caught:  # noqa: BLE001 - as above
            line = f"how the model stands now could not be asked: {error_line(caught)}"
            return f"{said} · {line}" if said else line, "failed" if act is None or error is not None else "done"
        self.show(fresh)
        if act is None:
            return headline(fresh), "done"
        if error is None:
            return said, "done"
        moved = fresh.aliases.get(act.alias) != act.expected.holder
        means = f"{'meanwhile the alias has been moved' if moved else 'nothing was moved'}: {_means(fresh, act.alias)}"
        return f"{said} · {means}{_by(fresh, act.alias) if moved else ''}", "moved" if moved or isinstance(error, LostRace) else "failed"

    def _acted(self, act: _Act) -> PromotionEvent:
        if act.kind == "rollback":
            if return_of(self._state, act.alias) != act.version:
                raise LostRace("what the alias would go back to has changed", code="NB669", fix="read what would happen now, and decide again")
            return self._on_rollback(act.alias, act.reason, approver=act.approver, expected=act.expected)
        return self._on_promote(act.version, act.alias, act.reason, override=act.override, approver=act.approver, expected=act.expected)

    def _answer(self, mark: str, kind: str, state: str, text: str) -> None:
        with self._lock:
            self._widget.answer = {"id": mark, "kind": kind, "state": state, "text": cut(text, 3 * LINE)}


class _Widget(anywidget.AnyWidget):
    """What the browser knows."""

    _esm = script("promotion")
    _css = style("promotion")
    model = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)


def panel_of(promotions: Promotions, model: str) -> PromotionPanel:
    """Return the panel of a registered model, which asks the registry now and whenever a button is pressed.

    Raises
    ------
    nbmlops.errors.NbmlopsError
        If the registry does not answer, or there is no such model.
    """

    def promote(version: int, alias: str, reason: str, **more: Any) -> PromotionEvent:  # noqa: ANN401 - they are handed on
        return promotions.promote(model, version, alias, reason, **more)

    def rollback(alias: str, reason: str, **more: Any) -> PromotionEvent:  # noqa: ANN401 - as above
        return promotions.rollback(model, alias, reason, **more)

    return PromotionPanel(promotions.look(model), on_promote=promote, on_rollback=rollback, on_refresh=lambda: promotions.look(model))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _done(event: PromotionEvent) -> str:
    move = f"alias {cut(event.alias, 40)} of {cut(event.model, 40)} moved from {_version(event.from_version)} to {_version(event.version)}"
    how = ", with an override" if event.act == "override" else ""
    return f"{move}{how} · entry {event.position} of the log says who, when and why"


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _means(state: ModelState, alias: str) -> str:
    number = state.aliases.get(alias)
    return f"{cut(alias, 40)} means {_version(number)} of {cut(state.model, 40)} now"


def _by(state: ModelState, alias: str) -> str:
    event = _last(state, alias)
    if event is None or event.version != state.aliases.get(alias):
        return ", not by nbmlops: the log has no entry of it"
    return f", by {cut(event.who, 60)}: {cut(event.reason, 200)}"


def _last(state: ModelState, alias: str) -> PromotionEvent | None:
    return next((event for event in state.events if event.alias == alias), None)
