"""From an artifact of a record to its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.store.serializers import decode

if TYPE_CHECKING:
    from nbmlops.store.records import Artifact
    from nbmlops.store.serializers import Context
    from nbmlops.store.store import Store

__all__ = ["load_artifact"]


def load_artifact(store: Store, artifact: Artifact, context: Context) -> Any:  # noqa: ANN401 - any value
    """Return the value of an artifact in the form that it had; of one with members, the mapping of all their values.

    Raises
    ------
    KeyError
        If its bytes are no longer in the store.
    UntrustedArtifact
        If reading it runs code, and the context is not trusted.
    StoreError
        If the bytes need code that is not here.
    """
    form = bytes(store.objects.view(artifact.form)) if artifact.form else b""
    return decode(artifact.format, store.objects.view(artifact.digest), context, form)
