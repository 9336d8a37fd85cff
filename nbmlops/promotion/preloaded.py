"""What packing a model imports, for the server that stages are forked from: seconds, once instead of in each stage.

Importing it leaves the environment as it was: MLflow, and what it imports, set variables of their own.
"""

from __future__ import annotations

import importlib
import os
import warnings
from contextlib import suppress

from nbmlops.promotion.flavors import QUIET

__all__ = ["MODULES"]

MODULES = ("mlflow.sklearn", "mlflow.models", "mlflow.pyfunc", "skops.io", "nbmlops.promotion.packing")

_before = dict(os.environ)
os.environ.update(QUIET)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _name in MODULES:
            with suppress(ImportError):
                importlib.import_module(_name)
finally:
    for _name in set(os.environ) - set(_before):
        del os.environ[_name]
    os.environ.update(_before)
