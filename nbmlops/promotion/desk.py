"""Where models are promoted: look, judge, move an alias, write down who did it and why."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import GateRefused, LostRace, NbmlopsError, StoreError, Tampered, UsageError
from nbmlops.nearest import close_matches
from nbmlops.promotion.act import Act
from nbmlops.promotion.base import ModelVersion
from nbmlops.promotion.claim import Claim, claims_in, holding
from nbmlops.promotion.comparing import compare_evidence
from nbmlops.promotion.files import kept_files, verify_evidence, verify_files
from nbmlops.promotion.judging import judge_version
from nbmlops.promotion.log import Log
from nbmlops.promotion.mlflow_registry import CARD_FILE
from nbmlops.promotion.packing import EVALUATION_FILE
from nbmlops.promotion.renamed import explained
from nbmlops.promotion.state import Candidate, Expected, History, ModelState, PromotionEvent
from nbmlops.promotion.told import Chain, chain_of, told_in
from nbmlops.promotion.whose import who_acts
from nbmlops.runner.redaction import Redactor, secret_values
from nbmlops.store.locks import HELD, file_lock
from nbmlops.tracking.opening import way_to_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.promotion.base import Registry
    from nbmlops.promotion.state import Difference
    from nbmlops.promotion.told import Told
    from nbmlops.settings import Settings
    from nbmlops.store.store import Store

__all__ = ["Desk", "before"]

_LOCK_S = 60.0
_SHORTEST_SECRET = 8  # a variable PASSWORD=test hides no ordinary word
_TOLD = 3
_TRIES = 6
_ALIEN = frozenset("/:")
_FETCHED = 20  # versions of which a look fetches what this store has not got


class Desk:
    """The registered models of a project, as one store's person sees and moves them.

    Parameters
    ----------
    settings : Settings
    registry : Registry
    store : Store
        Where the log is kept.
    """

    def __init__(self, settings: Settings, registry: Registry, store: Store) -> None:
        self.settings = settings
        self.registry = registry
        self.store = store
        self._differences: dict[tuple[str, str], tuple[Difference, ...]] = {}
        self._kept: dict[str, dict[str, bytes]] = {}

    def look(self, model: str) -> ModelState:
        """Return how a model stands."""
        history = self.history(model)
        versions = self._versions(model)
        aliases = dict(self.registry.aliases(model))
        champion = self.champion(model)
        return ModelState(
            model=model,
            aliases=aliases,
            team=self.settings.promotion_aliases,
            candidates=tuple(self._candidate(item, champion, fetch=bool(item.aliases) or place < _FETCHED) for place, item in enumerate(versions)),
            events=history.events,
            broken=history.broken,
            opening=self._opening(versions),
            notes=history.notes,
        )

    def champion(self, model: str) -> ModelVersion | None:
        """Return the version that the first of the team's aliases means; where it was taken away past nbmlops, what it meant last by the log."""
        self._check_name(model)
        return self._champion(model)

    def history(self, model: str) -> History:
        """Return the log of a model; an act that was broken off is settled first."""
        self._check_name(model)
        tags = self.registry.tags(model)
        told = told_in(tags)
        notes: list[str] = []
        if told.pending or told.torn:
            # somebody may be at it, or this person may only read
            with suppress(NbmlopsError), self._alone(model, self.settings.promotion_aliases[0], patient=False) as (_, settled):
                notes += settled
            tags = self.registry.tags(model)
            told = told_in(tags)
        live = [item for item in claims_in(model, tags) if not item.is_stale(time.time())]
        chain = self._chain(model, told)
        if not chain.events and not self._exists(model):
            raise self._unknown(model)
        notes += [f"{item.who} is moving {item.alias} just now" for item in live]
        if not live:
            notes += [f"{item.act} of version {item.version} to {item.alias} by {item.who} is not settled yet" for item in told.pending.values()]
        if chain.missing:
            count = len(chain.missing)
            told_of = "1 entry is" if count == 1 else f"{count} entries are"
            notes.append(f"{told_of} told by the registry alone, written in another store")
        strayed = self._strayed(chain, self.registry.aliases(model), on_its_way=bool(live or told.pending))
        broken = "; ".join(filter(None, (chain.broken, chain.remedy)))
        return History(model=model, events=chain.events[::-1], broken=broken, notes=(*notes, *strayed), strayed=strayed)

    def promote(
        self, model: str, version: int, alias: str, reason: str, *, override: str = "", approver: str = "", expected: Expected | None = None
    ) -> PromotionEvent:
        """Let an alias mean a version: see `nbmlops.session.promotions.Promotions.promote`."""
        self._check_name(model)
        self._check_alias(model, alias)
        who = self._check_people(reason, approver)
        override = override.strip()
        wanted = self._version(model, version)
        seen = expected or self._expected(model, alias, wanted)
        self._compare(model, alias, seen, wanted)
        if seen.holder == version:
            raise UsageError(f"{alias} means version {version} of {model!r} already", code="NB654", fix="there is nothing to promote")
        self._refuse(wanted, alias, override)
        verify_evidence(wanted, self.store)
        verify_files(self.registry, wanted, self.store)
        with self._alone(model, alias, who) as (claim, _):
            wanted = self._version(model, version)
            self._compare(model, alias, seen, wanted)
            gates, against = self._refuse(wanted, alias, override)
            verify_evidence(wanted, self.store)
            chain = self._chain(model)
            if chain.broken and not override:
                raise self._broken(model, chain)
            act = "override" if override and (against or chain.broken) else "promote"
            event = self._event(act, wanted, alias, seen.holder, who, reason, approver=approver, gates=gates, override=override)
            return Act(self.registry, Log(self.store, model), claim).do(event, chain)

    def rollback(self, model: str, alias: str, reason: str, *, approver: str = "", expected: Expected | None = None) -> PromotionEvent:
        """Let an alias mean what it meant before: see `nbmlops.session.promotions.Promotions.rollback`."""
        alias = alias or self.settings.promotion_aliases[0]
        self._check_name(model)
        self._check_alias(model, alias)
        who = self._check_people(reason, approver)
        history = self.history(model)  # settles what was broken off, before it is decided what was before
        if history.broken:
            raise self._broken(model, self._chain(model))
        now = self.registry.aliases(model).get(alias)
        wanted = self._before(model, alias, now)
        seen = Expected(holder=expected.holder if expected else now, digest=expected.digest if expected and expected.digest else wanted.digest)
        self._compare(model, alias, seen, wanted)
        verify_files(self.registry, wanted, self.store)
        with self._alone(model, alias, who) as (claim, _):
            wanted = self._version(model, wanted.version)
            self._compare(model, alias, seen, wanted)
            chain = self._chain(model)
            if chain.broken:
                raise self._broken(model, chain)
            gates = judge_version(wanted, self._champion(model), self.settings).gates
            event = self._event("rollback", wanted, alias, seen.holder, who, reason, approver=approver, gates=gates)
            return Act(self.registry, Log(self.store, model), claim).do(event, chain)

    # -- looking

    def _versions(self, model: str) -> tuple[ModelVersion, ...]:
        versions = self.registry.versions(model)
        if not versions and not self._exists(model):
            raise self._unknown(model)
        return versions

    def _exists(self, model: str) -> bool:
        return bool(self.registry.versions(model)) or model in self.registry.names()

    def _unknown(self, model: str) -> UsageError:
        names = self.registry.names()
        near = close_matches(model, names)
        fix = f"did you mean {near[0]!r}?" if near else f"registered are: {', '.join(names[:8])}" if names else "no model is registered yet"
        return UsageError(f"no model is registered as {model!r}", code="NB652", fix=fix)

    def _version(self, model: str, number: int) -> ModelVersion:
        versions = self._versions(model)
        found = next((item for item in versions if item.version == number), None)
        if found is None:
            there = ", ".join(str(item.version) for item in reversed(versions))
            raise UsageError(f"the model {model!r} has no version {number}", code="NB652", fix=f"it has {there}" if there else "it has none")
        return found

    def _champion(self, model: str) -> ModelVersion | None:
        """Return the version to compare with; one that is gone has no evidence: comparing with it refuses, and an override goes on."""
        alias = self.settings.promotion_aliases[0]
        number = self.registry.aliases(model).get(alias)
        if number is None:
            number = next((event.version for event in reversed(self._chain(model).events) if event.alias == alias), None)
        there = {item.version: item for item in self._versions(model)} if number is not None else {}
        return None if number is None else there.get(number, ModelVersion(model=model, version=number, digest="", created_s=0.0, evidence=None))

    def _candidate(self, version: ModelVersion, champion: ModelVersion | None, *, fetch: bool) -> Candidate:
        judgement = judge_version(version, champion, self.settings)
        refusals = judgement.refusals
        try:
            verify_evidence(version, self.store)
        except Tampered as error:
            refusals = (*refusals, str(error))
        card = self._files(version, fetch=fetch).get(CARD_FILE, b"")
        return Candidate(
            version=version,
            gates=judgement.gates,
            refusals=refusals,
            differences=self._compared(version, champion, fetch=fetch),
            card=card.decode("utf-8", "replace"),
        )

    def _compared(self, version: ModelVersion, champion: ModelVersion | None, *, fetch: bool) -> tuple[Difference, ...]:
        mine, its = version.evidence, None if champion is None else champion.evidence
        if champion is None or champion.version == version.version or mine is None or its is None:
            return ()
        key = (repr(mine), repr(its))
        if key not in self._differences:
            evaluations = [self._files(item, fetch=fetch).get(EVALUATION_FILE) for item in (version, champion)]
            self._differences[key] = compare_evidence(mine, its, evaluations[0], evaluations[1])
        return self._differences[key]

    def _files(self, version: ModelVersion, *, fetch: bool) -> dict[str, bytes]:
        """Return the card and the evaluation of a version, as far as they can be had."""
        key = repr((version.version, version.evidence.files if version.evidence is not None else None))
        if key not in self._kept:
            found = kept_files(self.registry, version, (CARD_FILE, EVALUATION_FILE), self.store, fetch=fetch)
            if not fetch:
                return found
            self._kept[key] = found
        return self._kept[key]

    def _opening(self, versions: tuple[ModelVersion, ...]) -> dict[str, str]:
        url = next((item.url for item in versions if item.url), "")
        if url:
            return {"url": url.partition("/versions/")[0]}
        return way_to_mlflow(self.settings.project_root, {}) if self.settings.registry == "mlflow" else {}

    def _chain(self, model: str, told: Told | None = None) -> Chain:
        log = Log(self.store, model)
        told = told or told_in(self.registry.tags(model))
        return explained(chain_of(log.read(), told, model, log.known_store_id()), told, model, self.registry, self.store)

    def _strayed(self, chain: Chain, aliases: Mapping[str, int], *, on_its_way: bool) -> tuple[str, ...]:
        """Return which aliases mean something else than the log says."""
        last = {event.alias: event.version for event in chain.events}
        return tuple(
            f"{alias} means {_said(aliases.get(alias))}, and by the log {_said(number)}: it was moved past nbmlops"
            for alias, number in last.items()
            if aliases.get(alias) != number and not on_its_way
        )

    def _before(self, model: str, alias: str, now: int | None) -> ModelVersion:
        number = before(self._chain(model).events, alias, now)
        if number is None:
            raise UsageError(f"{alias} of {model!r} meant nothing before, by the log", code="NB661", fix="promote a version: nbmlops promote")
        try:
            return self._version(model, number)
        except UsageError as error:
            fix = f"promote another: nbmlops promote {model} VERSION --to {alias}"
            raise UsageError(f"version {number} of {model!r}, which {alias} meant before, is gone", code="NB661", fix=fix) from error

    # -- refusing

    def _check_name(self, model: str) -> None:
        """Refuse what MLflow takes for no name at all, before it is asked."""
        if not model.strip() or not _ALIEN.isdisjoint(model) or not model.isprintable():
            raise self._unknown(model)

    def _check_alias(self, model: str, alias: str) -> None:
        team = self.settings.promotion_aliases
        if alias not in team:
            near = close_matches(alias, team)
            fix = f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(team)}; the setting promotion_aliases has them"
            raise UsageError(f"{alias!r} is no alias that {model!r} is promoted to", code="NB653", fix=fix)

    def _check_people(self, reason: str, approver: str) -> str:
        """Return who acts."""
        if not reason.strip():
            raise UsageError("no reason is given", code="NB654", fix="say why: --reason TEXT")
        who = who_acts(self.settings.project_root)
        allowed = self.settings.promotion_approver
        if not allowed:
            return who
        named = [item for item in allowed if item != "yes"]
        if not approver.strip():
            fix = "give --approver NAME" + (f", one of: {', '.join(named)}" if named else "")
            raise UsageError("this project asks for a second person", code="NB663", fix=fix)
        if _is_same(approver, who):
            raise UsageError(f"{approver!r} promotes, and cannot be the second person too", code="NB663", fix="ask somebody else")
        if named and approver not in named:
            near = close_matches(approver, named)
            raise UsageError(
                f"{approver!r} may not approve", code="NB663", fix=f"did you mean {near[0]!r}?" if near else f"ask one of: {', '.join(named)}"
            )
        return who

    def _refuse(self, version: ModelVersion, alias: str, override: str) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
        """Return the gates as they are now, and what speaks against the version, which an override must have been stated for."""
        champion = self._champion(version.model)
        judgement = judge_version(version, champion, self.settings)
        if judgement.refusals and not override:
            told = "; ".join(judgement.refusals[:_TOLD])
            more = len(judgement.refusals) - _TOLD
            raise GateRefused(
                f"version {version.version} of {version.model!r} may not be {alias}: {told}{f'; and {more} more' if more > 0 else ''}",
                code="NB651",
                fix="nothing was changed; --override TEXT promotes all the same, and is recorded",
            )
        return judgement.gates, judgement.refusals

    def _expected(self, model: str, alias: str, version: ModelVersion) -> Expected:
        return Expected(holder=self.registry.aliases(model).get(alias), digest=version.digest)

    def _compare(self, model: str, alias: str, seen: Expected, version: ModelVersion) -> None:
        """Raise unless all is as it was seen."""
        now = self.registry.aliases(model).get(alias)
        if now != seen.holder:
            last = next((event for event in reversed(self._chain(model).events) if event.alias == alias and event.version == now), None)
            by = f": {last.who} has moved it at {last.when} ({last.reason})" if last is not None else ""
            raise LostRace(
                f"{alias} of {model!r} means {_said(now)} now, not {_said(seen.holder)} that was looked at{by}",
                code="NB655",
                fix="nothing was changed by this; look again",
            )
        if version.digest != seen.digest:
            raise LostRace(
                f"version {version.version} of {model!r} is another model than the one that was looked at",
                code="NB655",
                fix="nothing was changed by this; look again",
            )

    def _broken(self, model: str, chain: Chain) -> Tampered:
        if chain.remedy:
            return Tampered(f"the log of {model!r} is not one of that name: {chain.broken}", code="NB681", fix=chain.remedy)
        return Tampered(
            f"the log of {model!r} is not what was written: {chain.broken}",
            code="NB659",
            fix="find out who changed it: nbmlops history --verify; promote --override TEXT goes on from here, and is recorded",
        )

    # -- acting

    @contextmanager
    def _alone(self, model: str, alias: str, who: str = "", *, patient: bool = True) -> Iterator[tuple[Claim, list[str]]]:
        """Be the only one who moves the model's aliases; give the claim, and what was settled of acts that were broken off."""
        who = who or who_acts(self.settings.project_root)
        log = Log(self.store, model)
        path = self.store.local_path(log.lock_name)
        try:
            with (
                file_lock(path, timeout_s=_LOCK_S if patient else 0),
                holding(self.registry, model, alias, who, lock=_identity(path), tries=_TRIES if patient else 1) as claim,
            ):
                yield claim, Act(self.registry, log, claim).settle()
        except StoreError as error:
            if error.code != HELD:
                raise
            fix = "look again in a minute; nothing was changed by this"
            raise LostRace(f"another process on this machine is moving an alias of {model!r}", code="NB656", fix=fix) from error

    def _event(  # noqa: PLR0913 - what an entry states
        self,
        act: str,
        version: ModelVersion,
        alias: str,
        holder: int | None,
        who: str,
        reason: str,
        *,
        approver: str,
        gates: tuple[Mapping[str, Any], ...],
        override: str = "",
    ) -> PromotionEvent:
        evidence = version.evidence
        # the log keeps it for ever, and the registry shows it; which variables the notebook names is not known here
        hide = Redactor(text for text in secret_values(os.environ, {}, ()) if len(text) >= _SHORTEST_SECRET).text
        return PromotionEvent(
            act=act,
            model=version.model,
            alias=alias,
            version=version.version,
            from_version=holder,
            who=who,
            when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            reason=hide(reason.strip()),
            override=hide(override),
            approver=approver.strip(),
            evidence=gates,
            notebook=evidence.notebook if evidence is not None else "",
            commit=evidence.commit if evidence is not None else "",
            run_id=evidence.run_id if evidence is not None else "",
            digest=version.digest,
            environment=evidence.environment_digest if evidence is not None else "",
            data=dict(evidence.data) if evidence is not None else {},
        )


def before(events: tuple[PromotionEvent, ...], alias: str, now: int | None) -> int | None:
    """Return what an alias meant before, by the log: each rollback goes one promotion further back.

    Where the alias was moved past nbmlops, that is what the log says last.

    Parameters
    ----------
    events : tuple of PromotionEvent
        By position.
    alias : str
    now : int or None
        What it means.
    """
    earlier: list[int | None] = []
    last: int | None = None
    for event in events:
        if event.alias != alias:
            continue
        if event.act == "rollback" and event.version == last:
            continue  # it had been moved past nbmlops
        if event.act == "rollback":
            while earlier and earlier.pop() != event.version:
                pass
        else:
            earlier.append(event.from_version)
        last = event.version
    if last is not None and last != now:
        return last
    return earlier[-1] if earlier else None


def _identity(lock: Path) -> str:
    """Return what two processes have in common only if they use the same lock of the same machine."""
    status = lock.stat()
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip()}:{status.st_dev}:{status.st_ino}" if boot.is_file() else ""


def _said(number: int | None) -> str:
    return "nothing" if number is None else f"version {number}"


def _is_same(approver: str, who: str) -> bool:
    name, _, email = who.partition("<")
    parts = {who, name, email.rstrip(">")}
    return _folded(approver) in {_folded(part) for part in parts if part.strip()}


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
