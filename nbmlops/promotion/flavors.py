"""Which of MLflow's flavors keeps a model, and how its folder is written: in a forked child, which alone imports MLflow."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.promotion.skopsfile import settle

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FLAVORS", "QUIET", "Flavor", "Packed", "flavor_of", "write_folder"]

# Saving a model asks nobody and tells nobody.
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True, slots=True)
class Flavor:
    """One of MLflow's ways to keep a model.

    Parameters
    ----------
    name : str
        MLflow's.
    module : str
        MLflow's module with `save_model`.
    argument : str
        What `save_model` calls the model.
    distributions : tuple of str
        What a model of this flavor needs wherever it is loaded.
    """

    name: str
    module: str
    argument: str
    distributions: tuple[str, ...]


FLAVORS = {
    "sklearn": Flavor("sklearn", "mlflow.sklearn", "sk_model", ("scikit-learn", "numpy")),
    "pyfunc": Flavor("pyfunc", "mlflow.pyfunc", "python_model", ("cloudpickle",)),
    "xgboost": Flavor("xgboost", "mlflow.xgboost", "xgb_model", ("xgboost",)),
    "lightgbm": Flavor("lightgbm", "mlflow.lightgbm", "lgb_model", ("lightgbm",)),
    "catboost": Flavor("catboost", "mlflow.catboost", "cb_model", ("catboost",)),
    "pytorch": Flavor("pytorch", "mlflow.pytorch", "pytorch_model", ("torch", "cloudpickle")),
    "keras": Flavor("keras", "mlflow.keras", "model", ("keras",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """All that a model's folder is written from.

    Parameters
    ----------
    model : object
    flavor : Flavor
    uuid : str
        MLflow's name of the folder: equal models get the same.
    example, answer : object
        An example input, and what the model answers to it; None for none.
    serialization : str
        ``skops``, ``cloudpickle`` or ``pickle``; "" where the flavor has a format of its own.
    trusted : tuple of str
        Types that skops may load though it does not know them.
    requirements : tuple of str
    code : tuple of str
        Files and folders of the project that the model needs.
    """

    model: Any
    flavor: Flavor
    uuid: str
    example: Any
    answer: Any
    serialization: str
    trusted: tuple[str, ...]
    requirements: tuple[str, ...]
    code: tuple[str, ...]


def flavor_of(model: object) -> Flavor:
    """Return the flavor of a model, by the classes that its own is made from.

    Raises
    ------
    UsageError
        NB648, if MLflow has none for it.
    """
    for kind in type(model).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in {"xgboost", "lightgbm", "catboost", "keras"}:
            return FLAVORS[package]
        if package == "torch" and kind.__name__ == "Module":
            return FLAVORS["pytorch"]
        if package == "sklearn" and kind.__name__ == "BaseEstimator":
            return FLAVORS["sklearn"]
        if package == "mlflow" and kind.__name__ == "PythonModel":
            return FLAVORS["pyfunc"]
    raise UsageError(
        f"a {type(model).__module__}.{type(model).__qualname__} is no model that MLflow can keep",
        code="NB648",
        fix=f"give a model of {', '.join(sorted({*FLAVORS} - {'pyfunc'}))}, or wrap it in a mlflow.pyfunc.PythonModel",
    )


def write_folder(packed: Packed, folder: Path) -> None:
    """Write MLflow's folder of a model; to be called in a child, which it spoils for anything else.

    Raises
    ------
    NbmlopsError
        NB646, if skops refuses; what else is raised is MLflow's or the model's own.
    """
    os.environ.update(QUIET)
    warnings.simplefilter("ignore")
    os.chdir(folder.parent)  # MLflow looks for a project of uv in the working directory, and would run it
    module = importlib.import_module(packed.flavor.module)
    models = importlib.import_module("mlflow.models")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    options: dict[str, Any] = {packed.flavor.argument: packed.model}
    if packed.flavor.name == "sklearn":
        options["serialization_format"] = packed.serialization
        if packed.serialization == "skops":
            _refuse_unknown(packed)
            options["skops_trusted_types"] = list(packed.trusted) or None
    if packed.example is not None:
        options["signature"] = models.infer_signature(packed.example, packed.answer)
        options["input_example"] = packed.example
    elif packed.flavor.name != "pyfunc":
        options["signature"] = False
    module.save_model(
        path=str(folder),
        mlflow_model=models.Model(model_uuid=packed.uuid),
        pip_requirements=list(packed.requirements),
        code_paths=list(packed.code) or None,
        **options,
    )
    for path in folder.glob("*.skops"):
        settle(path)


def _refuse_unknown(packed: Packed) -> None:
    """Tell of the types that skops would not load, with the very words that let it."""
    skops = importlib.import_module("skops.io")
    try:
        unknown = set(skops.get_untrusted_types(data=skops.dumps(packed.model)))
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise NbmlopsError(f"skops cannot keep this model: {line}", code="NB646", fix=_PICKLED) from error
    own = sorted(name for name in unknown if name.startswith("__main__.") or "<" in name)
    if own:
        raise NbmlopsError(f"skops cannot keep {', '.join(own)}, which the notebook defines", code="NB646", fix=_PICKLED)
    if unknown - set(packed.trusted):
        wanted = sorted({*unknown, *packed.trusted})
        raise NbmlopsError(
            f"skops does not load {', '.join(sorted(unknown - set(packed.trusted)))} without being told to",
            code="NB646",
            fix=f"if you trust it, give register_model skops_trusted_types={wanted!r}",
        )


_PICKLED = 'give register_model serialization="cloudpickle", whose files run code when they are loaded'
