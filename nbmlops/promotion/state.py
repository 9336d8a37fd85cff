"""How a registered model stands: its versions with their gates, what differs from the one in use, and who moved which alias and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.promotion.base import Evidence, ModelVersion, check_types

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Candidate", "Difference", "Expected", "History", "ModelState", "PromotionEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of a version beside that of the version in use.

    Parameters
    ----------
    metric : str
    value, champion : float or None
        None where it was not logged.
    difference : float or None
        `value` minus `champion`.
    low, high : float or None
        The 95% interval of the difference, from a bootstrap on the rows that both were evaluated on; None where there are no such rows.
    better : {"higher", "lower", ""}
        Which way is better; "" where nobody has said.
    verdict : {"better", "worse", "same", "unclear", ""}
        "unclear" if the interval holds 0, "same" if nothing differs, "" where it cannot be told.
    note : str
        Why there is no interval, or no verdict; "" where there are.
    """

    metric: str
    value: float | None
    champion: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    better: str = ""
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that could be promoted, or has been.

    Parameters
    ----------
    version : ModelVersion
    gates : tuple of mapping
        As the evidence has them; those that are expressions judged again now.
    refusals : tuple of str
        Why it may not be promoted without an override, one line each; empty if it may.
    differences : tuple of Difference
        From the version that the first of the team's aliases means; empty where it is that version, or there is none.
    card : str
        The model card, markdown; "" where there is none.
    """

    version: ModelVersion
    gates: tuple[Mapping[str, Any], ...] = ()
    refusals: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    card: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        """Rebuild a candidate from JSON."""
        version = dict(data["version"])
        evidence = version.pop("evidence")
        aliases = tuple(version.pop("aliases"))
        return cls(
            version=ModelVersion(**version, aliases=aliases, evidence=None if evidence is None else Evidence.from_json(evidence)),
            gates=tuple(data["gates"]),
            refusals=tuple(data["refusals"]),
            differences=tuple(Difference(**item) for item in data["differences"]),
            card=data["card"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionEvent:
    """One entry of a model's log.

    Parameters
    ----------
    act : {"promote", "rollback", "override"}
        "override" is a promotion although something spoke against it.
    model, alias : str
    version, from_version : int or None
        What the alias means since then, and what it meant before; None for nothing.
    who, reason : str
    when : str
        UTC, ISO 8601.
    override : str
        What was stated to promote all the same; "" where nothing was.
    approver : str
        The second person, where the project asks for one; else "".
    evidence : tuple of mapping
        The gates as they stood.
    notebook, commit, run_id, digest, environment : str
        Of the version: its notebook, git commit, run, and the digests of the model and of the environment.
    data : mapping of str to str
        Digest of each file that its run read.
    position : int
        From 1.
    previous, hash : str
        Of the entry before ("" for the first), and of this one with `previous` in it.
    """

    act: str
    model: str
    alias: str
    version: int | None
    from_version: int | None
    who: str
    when: str
    reason: str
    override: str = ""
    approver: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()
    notebook: str = ""
    commit: str = ""
    run_id: str = ""
    digest: str = ""
    environment: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    position: int = 0
    previous: str = ""
    hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as the CLI contract gives it."""
        return {**asdict(self), "evidence": [dict(gate) for gate in self.evidence]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PromotionEvent:
        """Rebuild an entry from `to_json`; `TypeError` if it is none."""
        check_types(cls, data)
        return cls(**{**data, "evidence": tuple(data.get("evidence", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The log of a model, and whether it is what was written.

    Parameters
    ----------
    model : str
    events : tuple of PromotionEvent
        The newest first.
    broken : str
        The first place where the log is not what was written, one line; "" where all is whole.
    notes : tuple of str
        What else should be known of it, one line each: entries that only the registry tells of, what was settled, those of `strayed`.
    strayed : tuple of str
        Which aliases mean something else than the log says, one line each: they were moved past nbmlops.
    """

    model: str
    events: tuple[PromotionEvent, ...] = ()
    broken: str = ""
    notes: tuple[str, ...] = ()
    strayed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the history as the CLI contract gives it."""
        events = [item.to_json() for item in self.events]
        return {"model": self.model, "events": events, "broken": self.broken, "notes": list(self.notes), "strayed": list(self.strayed)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> History:
        """Rebuild a history from `to_json`."""
        events = tuple(PromotionEvent.from_json(item) for item in data["events"])
        return cls(model=data["model"], events=events, broken=data["broken"], notes=tuple(data["notes"]), strayed=tuple(data["strayed"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What somebody saw who decided: an alias moves only if it is still so.

    Parameters
    ----------
    holder : int or None
        The version that the alias meant; None for none.
    digest : str
        Of the version that the alias shall mean.
    """

    holder: int | None
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """How a model stands.

    Parameters
    ----------
    model : str
    aliases : mapping of str to int
        Which version each means.
    team : tuple of str
        The aliases that the project promotes to, the one of the version in use first.
    candidates : tuple of Candidate
        Every version, the newest first.
    events : tuple of PromotionEvent
        The log, the newest first.
    broken : str
        Where the log is not what was written, one line; "" where all is whole.
    opening : mapping of str to str
        ``url`` of the registry's page, or the ``command`` that opens it.
    notes : tuple of str
        What else should be known, one line each; see `History`.
    """

    model: str
    aliases: Mapping[str, int] = field(default_factory=dict)
    team: tuple[str, ...] = ("champion", "challenger")
    candidates: tuple[Candidate, ...] = ()
    events: tuple[PromotionEvent, ...] = ()
    broken: str = ""
    opening: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def candidate(self, number: int) -> Candidate | None:
        """Return a version; None if there is none of that number."""
        return next((item for item in self.candidates if item.version.version == number), None)

    def expected(self, alias: str, number: int | None) -> Expected:
        """Return what whoever looks at this state sees of an alias, and of the version that it shall mean."""
        wanted = None if number is None else self.candidate(number)
        return Expected(holder=self.aliases.get(alias), digest="" if wanted is None else wanted.version.digest)

    @property
    def champion(self) -> Candidate | None:
        """The version in use: what the first of the team's aliases means."""
        number = self.aliases.get(self.team[0])
        return next((item for item in self.candidates if item.version.version == number), None)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelState:
        """Rebuild a state from `to_json`."""
        return cls(
            model=data["model"],
            aliases=dict(data["aliases"]),
            team=tuple(data["team"]),
            candidates=tuple(Candidate.from_json(item) for item in data["candidates"]),
            events=tuple(PromotionEvent.from_json(item) for item in data["events"]),
            broken=data["broken"],
            opening=dict(data["opening"]),
            notes=tuple(data.get("notes", ())),
        )
