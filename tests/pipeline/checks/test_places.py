"""Files and services outside the notebook's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.checks.found import codes_of, stage_codes
from tests.pipeline.written import cell, pipeline_of

ROWS = [
    ("x = pd.read_csv('/home/me/data.csv')", ["NB306 1"]),
    ("x = open('~/data.txt').read()", ["NB306 1"]),
    ("x = Path('/data/train')", ["NB306 1"]),
    ("x = 1\nframe.to_csv('/srv/out.csv')", ["NB306 2"]),
    ("x = os.path.join('/data', 'a')", ["NB306 1"]),
    ("x = sorted(glob.glob('/data/*.csv'))", ["NB306 1"]),
    ("x = pd.read_csv('data/a.csv')", []),
    ("x = pd.read_csv('../data/a.csv')", []),
    ("x = open('/dev/null').read()", []),
    ("x = open('/tmp/scratch').read()", []),
    ("x = '/home/me'.upper()", []),
    ("x = frame.groupby('/').sum()", []),
    ("x = pd.read_csv(r'C:\\data\\a.csv')", ["NB505 1"]),
    ("x = pd.read_csv('data\\\\a.csv')", ["NB505 1"]),
    ("x = open('C:/data/a.csv').read()", ["NB505 1"]),
    ("x = requests.get(url).json()", ["NB307 1"]),
    ("s = requests.Session()\nx = 1", ["NB307 1"]),
    ("from urllib.request import urlopen\nx = urlopen(url).read()", ["NB307 2"]),
    ("x = pd.read_csv('https://example.org/a.csv')", ["NB307 1"]),
    ("x = pd.read_parquet('s3://bucket/a.parquet')", ["NB307 1"]),
    ("x = sklearn.datasets.fetch_openml('adult')", ["NB307 1"]),
    ("x = sklearn.datasets.load_iris()", []),
    ("from datasets import load_dataset\nx = load_dataset('imdb')", ["NB307 2"]),
    ("x = socket.create_connection(('example.org', 80))", ["NB307 1"]),
    ("!wget https://example.org/a.csv\nx = 1", ["NB307 1", "NB502 1"]),
    ("try:\n    x = 1\nexcept requests.RequestException:\n    x = 2", []),
    ("x = 'https://example.org/a.csv'", []),
]


@pytest.mark.parametrize(("body", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_stage(body: str, codes: list[str]) -> None:
    """The diagnostic stands at its line, and nothing else is said."""
    assert stage_codes(body) == codes


def test_constant_of_setup_is_followed() -> None:
    """The path stands in one cell and is used in another."""
    cells = ["import pandas as pd\nDATA = '/home/me/data.csv'", "%%mlstage a\nx = pd.read_csv(DATA)", "%%mlstage b\ny = x"]
    assert codes_of(*cells, cell("0", "skip")) == ["NB306 1:2"]


def test_parameter_may_be_absolute() -> None:
    """That is how a path belongs to a run and not to the notebook."""
    cells = ["import pandas as pd", cell("data = '/home/me/data.csv'", "parameters"), "%%mlstage a\nx = pd.read_csv(data)", "%%mlstage b\ny = x"]
    assert codes_of(*cells) == []


def test_parameter_that_is_an_address_still_reaches_the_network() -> None:
    """What is there is no part of the key, whoever names it."""
    cells = [
        "import pandas as pd",
        cell("data = 'https://example.org/a.csv'", "parameters"),
        "%%mlstage a\nx = pd.read_csv(data)",
        "%%mlstage b\ny = x",
    ]
    assert codes_of(*cells) == ["NB307 2:2"]


def test_stage_that_is_never_reused_may_reach_the_network() -> None:
    """--no-cache is the fix."""
    assert codes_of("import requests", "%%mlstage a --no-cache\nx = requests.get('u').text", "%%mlstage b\ny = x") == []


def test_fix_is_the_path_from_the_notebook() -> None:
    """It can be pasted."""
    cells = ["import pandas as pd", "%%mlstage a\nx = pd.read_csv('/srv/project/data/a.csv')", "%%mlstage b\ny = x"]
    found = pipeline_of(*cells, path=Path("/srv/project/nb.ipynb")).diagnostics
    assert [item.fix for item in found] == ["name it relative to the notebook: 'data/a.csv'; or make it a parameter"]


def test_password_of_an_address_is_not_shown() -> None:
    """Messages are kept with the run and sent to trackers."""
    cells = ["import pandas as pd", cell("data = 'https://me:pw@example.org/a.csv?token=abc'", "parameters"), "%%mlstage a\nx = pd.read_csv(data)"]
    message = pipeline_of(*cells, "%%mlstage b\ny = x").diagnostics[0].message
    assert "https://***@example.org/a.csv:" in message
