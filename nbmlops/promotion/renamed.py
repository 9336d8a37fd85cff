"""A registered model that somebody has renamed in MLflow: its log is whole, and still counts as broken, with a reason that says so.

What one sees after a renaming is what one would see if somebody had copied the tags of a model to another one and deleted the first: entries
of another name. So such a log is believed no more than any other of that kind; but whoever reads the reason knows what mends it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmlops.promotion.log import Log
from nbmlops.promotion.told import chain_of, told_in

if TYPE_CHECKING:
    from nbmlops.promotion.base import Registry
    from nbmlops.promotion.told import Chain, Told
    from nbmlops.store.store import Store

__all__ = ["explained"]

_LOOKED_AT = 200  # names under which a model is looked for that is not there


def explained(chain: Chain, told: Told, model: str, registry: Registry, store: Store) -> Chain:
    """Return a chain whose reason for being broken names the renaming, where everything else is as it was written.

    Parameters
    ----------
    chain : Chain
        What store and registry have of `model`.
    told : Told
        What its tags tell.
    model : str
    registry : Registry
    store : Store
    """
    if not chain.broken:
        return chain
    if told.silent:
        return _under_its_former_name(chain, model, registry)
    former = {event.model for event in told.events.values()} - {model}
    if len(former) != 1:
        return chain
    name = former.pop()
    log = Log(store, name)
    if Log(store, model).read().last or name in registry.names() or chain_of(log.read(), told, name, log.known_store_id()).broken:
        return chain
    reason = f"its entries are those of {name!r}, all of them whole, and the registry has no model of that name: it was renamed in MLflow"
    return replace(chain, broken=reason, missing=(), remedy=_back(model, name))


def _under_its_former_name(chain: Chain, model: str, registry: Registry) -> Chain:
    newest = chain.last
    names = registry.names()
    if newest is None or len(chain.untold) != len(chain.events) or model in names:
        return chain
    head = (newest.position, newest.hash)
    now = next((name for name in names[:_LOOKED_AT] if told_in(registry.tags(name)).head == head), None)
    if now is None:
        return chain
    return replace(chain, broken=f"the registry tells of it under the name {now!r}: it was renamed in MLflow", remedy=_back(now, model))


def _back(now: str, former: str) -> str:
    return f"rename it back: MlflowClient().rename_registered_model({now!r}, {former!r})"
