"""What `nbmlops.register_model` does: pack a model as MLflow keeps it, and leave it with the stage that runs.

Nothing is registered yet: a run does that when it ends, with the evidence of all its stages (`registrar`).
"""

from __future__ import annotations

import copy
import inspect
import io
import json
import shutil
import sys
import tempfile
import warnings
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from nbmlops.errors import MissingDependency, NbmlopsError, NotStorable, UsageError
from nbmlops.executors.tasks import attempts_folder
from nbmlops.pattern import pattern
from nbmlops.promotion.base import ModelRequest
from nbmlops.promotion.flavors import Packed, flavor_of, write_folder
from nbmlops.promotion.forked import Died, in_child
from nbmlops.runner.logged import open_logbook
from nbmlops.runner.randomness import restore_random, save_random
from nbmlops.runner.watching.observe import unobserved
from nbmlops.store.serializers import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nbmlops.promotion.flavors import Flavor
    from nbmlops.store.serializers import Context
    from nbmlops.store.store import Store

__all__ = ["ABOUT", "EVALUATION_FILE", "Registration", "register_model"]

EVALUATION_FILE = "nbmlops/evaluation.npz"
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SERIALIZATIONS = ("skops", "cloudpickle", "pickle")
_TIMEOUT_S = 600.0
ABOUT = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json", "serving_input_example.json")


@dataclass(frozen=True, slots=True)
class Registration:
    """What `register_model` returns.

    Parameters
    ----------
    name : str
    digest : str
        Of the model; "" outside a stage.
    """

    name: str
    digest: str

    def __repr__(self) -> str:
        """Say what will become of it."""
        if not self.digest:
            return f"<model {self.name}: not registered, for no stage runs>"
        return f"<model {self.name}: registered when the run ends, which gives it its version; {self.digest[:12]}>"


def register_model(
    model: Any,  # noqa: ANN401 - any model
    name: str,
    *,
    example: Any = None,  # noqa: ANN401 - what the model takes
    metrics: Mapping[str, float] | None = None,
    evaluation: tuple[Any, Any] | None = None,
    serialization: str | None = None,
    skops_trusted_types: Iterable[str] | None = None,
    requirements: Iterable[str] | None = None,
) -> Registration:
    """Leave a model to be registered with the stage that runs: see `nbmlops.register_model`."""
    if type(name) is not str or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a registered model", code="NB647", fix="use letters, digits, '-' and '_', such as 'flight-delay'")
    logbook = open_logbook()
    if logbook is None or logbook.store is None or logbook.context is None:
        warnings.warn(f"nbmlops.register_model outside a stage: {name!r} is not registered", stacklevel=3)
        return Registration(name, "")
    with unobserved():
        flavor = flavor_of(model)
        numbers = {key: logbook.number(key, value) for key, value in (metrics or {}).items()}
        held = save_random()
        try:
            packed, digest = _prepared(model, name, flavor, logbook.context, example, serialization, skops_trusted_types, requirements)
        finally:
            restore_random(held)
        files, digest = _pack(packed, digest, name, logbook.store, _evaluation(evaluation, numbers))
        request = ModelRequest(name=name, digest=digest, files=files, flavor=flavor.name, metrics=numbers)
        logbook.add_model(request.to_json())
    return Registration(name, digest)


def _prepared(
    model: Any,  # noqa: ANN401
    name: str,
    flavor: Flavor,
    context: Context,
    example: Any,  # noqa: ANN401
    serialization: str | None,
    trusted: Iterable[str] | None,
    requirements: Iterable[str] | None,
) -> tuple[Packed, str]:
    if find_spec("mlflow") is None:
        raise MissingDependency("mlflow", "", "nbmlops.register_model")
    refers, code, digest = _identity(model, flavor, context)
    form = _serialization(name, flavor, serialization, trusted)
    packed = Packed(
        model=model,
        flavor=flavor,
        uuid=digest[:32] or "0" * 32,
        example=None if example is None else copy.deepcopy(example),
        answer=None if example is None else _answer(model, flavor, name, example),
        serialization=form,
        trusted=tuple(_texts(trusted or (), name, "skops_trusted_types")),
        requirements=tuple(_texts(requirements, name, "requirements")) if requirements is not None else _requirements(flavor, form, refers, example),
        code=code,
    )
    return packed, digest


def _texts(items: Iterable[str], name: str, what: str) -> Sequence[str]:
    found = [items] if isinstance(items, str) else list(items)
    if not all(isinstance(item, str) for item in found):
        raise UsageError(f"{what} of the model {name!r} are not all texts", code="NB647", fix=f'write {what}=["..."]')
    return found


def _serialization(name: str, flavor: Flavor, serialization: str | None, trusted: Iterable[str] | None) -> str:
    if flavor.name != "sklearn":
        if serialization is not None or trusted is not None:
            raise UsageError(
                f"the model {name!r} is of the flavor {flavor.name}, which has a format of its own",
                code="NB647",
                fix="leave out serialization and skops_trusted_types",
            )
        return ""
    if serialization is not None and serialization not in _SERIALIZATIONS:
        raise UsageError(f"serialization={serialization!r} of the model {name!r} is unknown", code="NB647", fix=f"write one of {_SERIALIZATIONS}")
    return serialization or "skops"


def _identity(model: Any, flavor: Flavor, context: Context) -> tuple[tuple[str, ...], tuple[str, ...], str]:  # noqa: ANN401
    """Return what code a model refers to, the files of that code that are the project's, and the digest of the model with them.

    Functions of the notebook count by what they do, also those of setup cells, which artifacts hold by their name alone. The digest is
    empty where the store cannot hold the model: what MLflow writes of it counts then.
    """
    try:
        encoded = encode(model, replace(context, by_reference=frozenset()))
    except NotStorable:
        return (), (), ""
    tops = sorted({item.removeprefix("module:").partition(".")[0] for item in encoded.refers if item.startswith("module:")})
    paths = [path for top in tops if (path := _source(top)) is not None]
    hasher = blake3(f"{flavor.name}\0".encode())
    for buffer in encoded.buffers:
        hasher.update(buffer)
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hasher.update(f"\0{file.relative_to(path.parent).as_posix()}\0".encode() + file.read_bytes())
    return encoded.refers, tuple(map(str, paths)), str(hasher.hexdigest())


def _source(top: str) -> Path | None:
    file = getattr(sys.modules.get(top), "__file__", None)
    if not isinstance(file, str):
        return None
    return Path(file).parent if Path(file).name == "__init__.py" else Path(file)


def _answer(model: Any, flavor: Flavor, name: str, example: Any) -> Any:  # noqa: ANN401
    """Return what a copy of the model answers to a copy of the example; None where that is not asked.

    Not in the child: a library's threads, such as OpenMP's, are not there after a fork, and what waits for them waits for ever.
    """
    if flavor.name == "pytorch" or not hasattr(model, "predict"):
        return None
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            model, example = copy.deepcopy((model, example))
            if flavor.name == "pyfunc" and "context" in inspect.signature(model.predict).parameters:
                return model.predict(None, example)
            return model.predict(example)
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(f"the model {name!r} cannot predict its example: {line}", code="NB647", fix="give rows as the model takes them") from error


def _requirements(flavor: Flavor, serialization: str, refers: tuple[str, ...], example: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the distributions that the model needs, with the versions that are installed here: nothing is inferred by loading it."""
    wanted = {"mlflow", *flavor.distributions, *(item.removeprefix("dist:") for item in refers if item.startswith("dist:"))}
    wanted |= {serialization} if serialization in {"skops", "cloudpickle"} else set()
    wanted |= {"pandas"} if type(example).__module__.partition(".")[0] == "pandas" else set()
    found = {}
    for name in wanted:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # such as mlflow where mlflow-skinny is installed
    return tuple(f"{name}=={found[name].partition('+')[0]}" for name in sorted(found, key=str.lower))


def _pack(packed: Packed, digest: str, name: str, store: Store, evaluation: bytes | None) -> tuple[dict[str, str], str]:
    attempts = attempts_folder(store)
    attempts.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="model-", dir=attempts))
    try:
        folder = room / "model"
        try:
            in_child(lambda: write_folder(packed, folder), room / "log", timeout_s=_TIMEOUT_S)
        except NbmlopsError as error:
            raise NotStorable(f"the model {name!r} cannot be registered: {error.message}", code=error.code, fix=error.fix) from error
        except Died as error:
            raise NotStorable(
                f"the model {name!r} cannot be written: {error}",
                code="NB648",
                fix='leave out of it what cannot be pickled, or give serialization="cloudpickle"',
            ) from error
        if evaluation is not None:
            (folder / EVALUATION_FILE).parent.mkdir(exist_ok=True)
            (folder / EVALUATION_FILE).write_bytes(evaluation)
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        files = {path.relative_to(folder).as_posix(): store.objects.put([path.read_bytes()]) for path in paths}
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return files, digest or _digest_of_data(packed.flavor, files)


def _digest_of_data(flavor: Flavor, files: Mapping[str, str]) -> str:
    data = {path: digest for path, digest in files.items() if path not in ABOUT and path != EVALUATION_FILE}
    return str(blake3(json.dumps([flavor.name, sorted(data.items())]).encode()).hexdigest())


def _evaluation(evaluation: tuple[Any, Any] | None, metrics: Mapping[str, float]) -> bytes | None:
    """Return what the model was judged by: ``y_true``, ``y_score`` and the names of the metrics, the same bytes for the same values."""
    if evaluation is None:
        return None
    import numpy as np

    try:
        y_true, y_score = (_plain(np.asarray(item)) for item in evaluation)
    except (TypeError, ValueError) as error:
        raise UsageError(f"evaluation is no pair of arrays: {error}", code="NB647", fix="give evaluation=(y_true, y_score)") from error
    if y_true.ndim == 0 or y_score.ndim == 0 or len(y_true) != len(y_score):
        raise UsageError(
            f"evaluation has {y_true.shape} true values and {y_score.shape} scores", code="NB647", fix="give one score for each true value"
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in (("y_true", y_true), ("y_score", y_score), ("metrics", np.array(list(metrics), dtype=str))):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _plain(array: Any) -> Any:  # noqa: ANN401 - a numpy array
    if array.dtype.kind != "O":
        return array
    if all(isinstance(item, str) for item in array.flat):
        return array.astype(str)
    return array.astype(float)
