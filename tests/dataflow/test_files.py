"""A table of calls: which files they read and write."""

from __future__ import annotations

import ast

import pytest

from nbmlops.dataflow.flow import PathUse  # noqa: TC001 - the table's types are read
from nbmlops.dataflow.scopes import analyse

# a row: code, paths read, paths written; a name within a path stands in braces
CASES = [
    ("pd.read_csv('a.csv')", "a.csv", ""),
    ("df.to_parquet('out/b.parquet')", "", "out/b.parquet"),
    ("open('a')", "a", ""),
    ("open('a', 'w')", "", "a"),
    ("open('a', mode='ab')", "a", "a"),
    ("open('a', m)", "", ""),
    ("Path('a').read_text()", "a", ""),
    ("(Path('a') / 'b').write_bytes(x)", "", "a/b"),
    ("Path('a').open('w')", "", "a"),
    ("gzip.open('a.gz', 'rt')", "a.gz", ""),
    ("np.save('a.npy', x)", "", "a.npy"),
    ("torch.save(x, 'a.pt')", "", "a.pt"),
    ("joblib.dump(x, 'a.joblib')", "", "a.joblib"),
    ("joblib.load('a.joblib')", "a.joblib", ""),
    ("plt.savefig(DIR / 'a.png')", "", "{DIR}/a.png"),
    ("pd.read_csv(DATA)", "{DATA}", ""),
    ("pd.read_csv(f'{DIR}/a_{n}.csv')", "{DIR}/a_{n}.csv", ""),
    ("pd.read_csv(f'{DIR}/a_{n:03d}.csv')", "", ""),
    ("pd.read_csv(os.path.join(DIR, 'a.csv'))", "{DIR}/a.csv", ""),
    ("pd.read_csv(DIR + 'a.csv')", "{DIR}a.csv", ""),
    ("p = 'a.csv'\npd.read_csv(p)", "a.csv", ""),
    ("for p in ps: pd.read_csv(p)", "", ""),
    ("with open('a') as f: json.load(f)", "a", ""),
    ("pd.read_csv('https://x/a.csv')", "", ""),
    ("pd.read_csv(find())", "", ""),
    ("def load(): return pd.read_csv('a.csv')", "a.csv", ""),
    ("def load(path): return pd.read_csv(path)", "", ""),
    ("def load(): return pd.read_csv(DATA)", "{DATA}", ""),
    ("[pd.read_csv(p) for p in ps]", "", ""),
    ("get_ipython().run_cell_magic('writefile', 'a.py', 'x')", "", "a.py"),
]


def _shown(uses: tuple[PathUse, ...]) -> list[str]:
    return ["".join(part if isinstance(part, str) else f"{{{part.id}}}" for part in use.parts) for use in uses]


@pytest.mark.parametrize(("code", "read", "written"), CASES)
def test_files(code: str, read: str, written: str) -> None:
    """Each row of the table holds."""
    flow = analyse(ast.parse(code))
    assert _shown(flow.files_read) == read.split()
    assert _shown(flow.files_written) == written.split()


def test_a_path_tells_its_parts() -> None:
    """A literal path is a path, a name alone is a name, and a mixture is neither."""
    literal, name, mixed = analyse(ast.parse("open('a')\nopen(B)\nopen(B + 'c')")).files_read
    assert (literal.path, literal.name) == ("a", None)
    assert (name.path, name.name) == (None, "B")
    assert (mixed.path, mixed.name, mixed.names, mixed.line) == (None, None, ("B",), 3)
