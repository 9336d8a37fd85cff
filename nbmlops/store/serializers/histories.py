"""What libraries keep in a value about its history, and what they lose when pickled: neither belongs into its bytes.

Of a scipy matrix it is whether somebody asked if it is sorted; of a scikit-learn model the number of threads that it was fitted with, or
the address of a list; of a masked array what lies under the mask. Each function returns how to make the value again, as ``__reduce_ex__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reducer_of", "without_hidden"]

_STATE = 2  # its place in what __reduce_ex__ returns
# of sklearn's search trees: state that counts queries, and where
_TREE_MODULES = frozenset({"sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree"})
_TREE_COUNTERS = slice(7, 11)
_SPARSE_CACHES = frozenset({"_has_canonical_format", "_has_sorted_indices"})


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the function for values of this type, or None for types that need none."""
    package, name = kind.__module__.partition(".")[0], kind.__name__
    if package == "scipy" and kind.__module__.startswith("scipy.sparse"):
        return _sparse
    if package == "numpy" and name == "MaskedArray":
        return _masked
    if kind.__module__ in _TREE_MODULES:
        return _search_tree
    if package == "sklearn":
        return _bunch if name == "Bunch" else _model
    return None


def _search_tree(value: Any) -> Any:  # noqa: ANN401 - a KDTree or BallTree
    """Leave out how often a search tree was asked: a model that has predicted is still the model that was fitted."""
    make, parts, state = value.__reduce__()[:3]
    if isinstance(state, tuple) and len(state) >= _TREE_COUNTERS.stop and all(isinstance(item, int) for item in state[_TREE_COUNTERS]):
        state = (*state[: _TREE_COUNTERS.start], *(0 for _ in state[_TREE_COUNTERS]), *state[_TREE_COUNTERS.stop :])
    return make, parts, state


def _sparse(value: Any) -> Any:  # noqa: ANN401 - a scipy.sparse matrix or array
    reduced = value.__reduce_ex__(5)
    state = reduced[_STATE] if len(reduced) > _STATE else None
    if type(state) is not dict:
        return reduced
    kept = {name: item for name, item in sorted(state.items()) if name not in _SPARSE_CACHES}
    return (*reduced[:_STATE], kept, *reduced[_STATE + 1 :])


def _masked(value: Any) -> Any:  # noqa: ANN401 - numpy.ma.MaskedArray
    reduced = value.__reduce_ex__(5)
    without_mask = value._mask is type(value)._defaultmask  # noqa: SLF001 - which pickle makes a mask of all False
    state = (reduced[_STATE], without_mask, bool(value._hardmask))  # noqa: SLF001
    return (*reduced[:_STATE], state, None, None, _set_masked)


def _set_masked(value: Any, state: tuple[tuple[Any, ...], bool, bool]) -> None:  # noqa: ANN401
    own, without_mask, hard = state
    value.__setstate__(own)
    if own[-1] is None:
        value._fill_value = None  # noqa: SLF001 - the default, which is made when it is asked for
    if without_mask:
        value._mask = type(value)._defaultmask  # noqa: SLF001
    value._hardmask = hard  # noqa: SLF001


def _bunch(value: Any) -> Any:  # noqa: ANN401 - sklearn.utils.Bunch
    make, arguments, _, *rest = value.__reduce_ex__(5)
    return (make, arguments, None, *rest)  # it reads no state back


def _model(value: Any) -> Any:  # noqa: ANN401 - anything of scikit-learn
    state = getattr(value, "__dict__", None)
    if not isinstance(state, dict) or not {"_n_threads", "_stop_words_id", "n_threads"} & set(state):
        return NotImplemented
    reduced = value.__reduce_ex__(5)
    own = reduced[_STATE] if len(reduced) > _STATE else None
    if type(own) is not dict:
        return NotImplemented
    make = reduced[:_STATE]
    # as many threads as the process has that uses the model; the binning of HistGradientBoosting is one part of it
    threads = [name for name in ("_n_threads", "n_threads") if name in own and (name == "_n_threads" or type(value).__name__ == "_BinMapper")]
    kept = {name: item for name, item in own.items() if name not in {*threads, "_stop_words_id"}}
    return (*make, (kept, tuple(threads)), None, None, _set_model) if threads else (*make, kept)


def _set_model(value: Any, state: tuple[dict[str, Any], tuple[str, ...]]) -> None:  # noqa: ANN401
    own, threads = state
    if hasattr(value, "__setstate__"):
        value.__setstate__(own)
    else:
        vars(value).update(own)
    if threads:
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

        vars(value).update(dict.fromkeys(threads, _openmp_effective_n_threads()))


def without_hidden(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a pandas column with a mask, without what is left below the mask of some computation."""
    if not {"_data", "_mask"} <= set(state) or not state["_mask"].any():
        return state
    import numpy as np

    data = state["_data"]
    return {**state, "_data": np.where(state["_mask"], np.zeros((), data.dtype), data)}
