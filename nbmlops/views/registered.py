"""What a run says of the models that its stages want registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.views.escape import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmlops.runner.results import RunResult

__all__ = ["REGISTRY", "registered_lines"]

REGISTRY = "registry"
_NAME, _REASON = 64, 300


def registered_lines(result: RunResult) -> Iterator[str]:
    """Return a line for each version that a run has made or found, with its gates; and one for those that wait, with the reason.

    Examples
    --------
    ::

        registered flight-delay version 2: 3 gates hold
        flight-delay is not registered yet: the registry cannot be used now; `nbmlops track sync` does it
    """
    fields = result.tracking.get(REGISTRY, {})
    for item in filter(None, fields.get("models", "").split(", ")):
        name, _, number = item.rpartition("/")
        yield f"registered {cut(name, _NAME)} version {cut(number, 20)}: {_gates(result)}"
    if "waits" in fields:
        names = dict.fromkeys(str(model["name"]) for stage in result.stages.values() for model in stage.models)
        told = ", ".join(cut(name, _NAME) for name in names)
        yield f"{told} {'is' if len(names) == 1 else 'are'} not registered yet: {cut(fields['waits'], _REASON)}; `nbmlops track sync` does it"


def _gates(result: RunResult) -> str:
    gates = [gate for stage in result.stages.values() for gate in stage.gates]
    refusing = sum(gate.get("passed") is not True for gate in gates)
    if refusing:
        said = f"{refusing} of {len(gates)} gates {'refuses' if refusing == 1 else 'refuse'}"
    elif gates:
        said = "its gate holds" if len(gates) == 1 else f"{len(gates)} gates hold"
        marked = sum(bool(gate.get("warning")) for gate in gates)
        said += f", {marked} with a warning" if marked else ""
    else:
        said = "no gate was asked"
    return said if result.status in {"done", "refused"} else f"{said}, but the run is {cut(result.status, 20)}"
