"""What checks say of cells that stand in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.pipeline.written import pipeline_of

if TYPE_CHECKING:
    from tests.acceptance.project import Cell

__all__ = ["IMPORTS", "codes_of", "stage_codes"]

IMPORTS = """\
import datetime
import getpass
import glob
import hashlib
import json
import logging
import os
import platform
import random
import secrets
import socket
import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path
import ipywidgets as widgets
import numpy as np
import pandas as pd
import requests
import scipy.stats
import sklearn.datasets
import tensorflow as tf
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, train_test_split"""


def codes_of(*cells: Cell | str) -> list[str]:
    """Return ``CODE cell:line`` of every diagnostic, those of a notebook without stages left out."""
    found = pipeline_of(*cells).diagnostics
    return [f"{item.code} {item.cell}:{item.line}" for item in found if item.code != "NB112"]


def stage_codes(body: str, *, reader: str = "") -> list[str]:
    """Return ``CODE line`` of what is said of a stage whose value `x`, and what `reader` names, a later stage takes.

    The stage's own lines count from 1.
    """
    cells = [IMPORTS, "path = 'data'\nframe = rows = cols = names = model = data = url = 'd'", f"%%mlstage a\n{body}", f"%%mlstage b\ny = x{reader}"]
    found = pipeline_of(*cells).diagnostics
    assert all(item.cell == 2 for item in found), found
    return [f"{item.code} {(item.line or 1) - 1}" for item in found]
