"""Random numbers: what is told of each way to draw them."""

from __future__ import annotations

import pytest

from nbmlops.pipeline.effects import Effects
from tests.pipeline.checks.found import IMPORTS, codes_of, stage_codes
from tests.pipeline.written import cell, pipeline_of

UNSEEDED = [
    "x = np.random.default_rng().random(3)",
    "x = np.random.default_rng(None).random(3)",
    "x = np.random.default_rng(seed=None)",
    "x = np.random.RandomState().rand(3)",
    "x = np.random.Generator(np.random.PCG64())",
    "x = np.random.SeedSequence()",
    "x = random.Random()",
    "random.seed()\nx = random.Random(0)",
    "np.random.seed(None)\nx = 1",
    "x = random.SystemRandom().random()",
    "x = secrets.token_hex(8)",
    "x = str(uuid.uuid4())",
    "x = uuid.uuid1().hex",
    "x = os.urandom(4)",
    "x = [uuid.uuid4() for _ in range(3)]",
    "x = frame.map(uuid.uuid4)",
    "import numpy.random as npr\nx = npr.default_rng()",
    "from numpy.random import default_rng as rng\nx = rng()",
]


@pytest.mark.parametrize("body", UNSEEDED)
def test_unseeded_randomness(body: str) -> None:
    """What no run can repeat is a warning at its line."""
    line = 2 if body.startswith(("import", "from")) else 1
    assert stage_codes(body) == [f"NB301 {line}"]


GLOBAL = [
    "x = np.random.rand(3)",
    "x = random.random()",
    "x = [random.choice(names) for _ in range(3)]",
    "random.shuffle(names)\nx = 1",
    "x = train_test_split(data)",
    "x, test = train_test_split(data, random_state=None)",
    "x = frame.sample(frac=0.5)",
    "x = frame.sample(5)",
    "x = RandomForestClassifier(100).fit(rows, cols)",
    "x = KMeans(n_clusters=3)",
    "x = KFold(5, shuffle=True)",
    "x = scipy.stats.norm.rvs(size=3)",
]


@pytest.mark.parametrize("body", GLOBAL)
def test_draw_from_an_unseeded_global_state(body: str) -> None:
    """It repeats here and not elsewhere: an info."""
    assert stage_codes(body) == ["NB309 1"]


CLEAN = [
    "x = np.random.default_rng(7).random(3)",
    "x = np.random.default_rng(seed=7)",
    "x = np.random.RandomState(7)",
    "x = np.random.Generator(np.random.PCG64(1))",
    "x = random.Random(7).random()",
    "x = train_test_split(data, random_state=7)",
    "x = train_test_split(data, shuffle=False)",
    "options = {'random_state': 1}\nx = train_test_split(data, **options)",
    "x = frame.sample(frac=0.5, random_state=1)",
    "x = RandomForestClassifier(100, random_state=0)",
    "x = LinearRegression().fit(rows, cols)",
    "x = KFold(5)",
    "print(uuid.uuid4())\nx = 1",
    "run = uuid.uuid4().hex\nlogging.info('run %s', run)\nx = 1",
    "x = uuid.uuid5(uuid.NAMESPACE_URL, 'a')",
    "print(frame.sample(5))\nx = 1",
    "x = 1\nframe.sample(5)",
    "def draw(random):\n    return random.random()\nx = draw",
    "x = hashlib.sha256(b'1').hexdigest()",
]


@pytest.mark.parametrize("body", CLEAN)
def test_seeded_or_only_shown(body: str) -> None:
    """What repeats, or is not kept, is not complained about."""
    assert stage_codes(body) == []


def test_setup_that_seeds_is_enough() -> None:
    """The state that setup seeds is the same in a run from top to bottom."""
    assert codes_of("import numpy as np\nnp.random.seed(0)", "%%mlstage a\nx = np.random.rand()", "%%mlstage b\ny = x") == []


def test_own_variable_called_random_is_no_module() -> None:
    """A name is what the notebook binds it to."""
    assert codes_of(cell("random = 3", "parameters"), "%%mlstage a\nx = random.seed()", "%%mlstage b\ny = x") == []


def test_place_is_the_call_in_the_setup_function() -> None:
    """A function of a setup cell is looked at for the stages that call it."""
    found = pipeline_of("import numpy as np\ndef draw():\n    return np.random.default_rng().random()", "%%mlstage a\nx = draw()").diagnostics
    assert [(item.code, item.cell, item.line, item.stage) for item in found] == [("NB301", 0, 3, "a")]
    assert found[0].message.startswith("setup code of stage 'a' makes a random generator without a seed")
    assert found[0].fix == "give it a seed: np.random.default_rng(0)"


def test_setup_function_that_no_stage_calls_is_left_alone() -> None:
    """What nothing uses changes nothing."""
    assert codes_of("import numpy as np\ndef draw():\n    return np.random.default_rng()", "%%mlstage a\nx = 1") == []


DEEP = [
    ("x = torch.rand(3)", ["NB310 1"]),
    ("x = torch.nn.Linear(3, 4)", ["NB310 1"]),
    ("x = [torch.nn.Linear(3, 4),\n     torch.nn.Linear(4, 1)]", ["NB310 1"]),
    ("x = tf.random.normal([3])", ["NB310 1"]),
    ("torch.manual_seed(0)\nx = torch.rand(3)", []),
    ("tf.random.set_seed(0)\nx = tf.random.normal([3])", []),
    ("tf.random.set_seed(0)\nx = torch.rand(3)", ["NB310 2"]),
    ("x = torch.randperm(5, generator=torch.Generator().manual_seed(1))", []),
]


@pytest.mark.parametrize(("body", "codes"), DEEP, ids=[row[0] for row in DEEP])
def test_states_that_nbmlops_does_not_seed(body: str, codes: list[str]) -> None:
    """Torch and TensorFlow start from the system's entropy unless they are seeded."""
    assert stage_codes(body) == codes


def test_torch_seeded_in_setup_is_seeded_in_every_stage() -> None:
    """Setup runs in each stage's process; another stage does not."""
    assert codes_of("import torch", cell("torch.manual_seed(0)", "setup"), "%%mlstage a\nx = torch.rand(3)", "%%mlstage b\ny = x") == []
    assert codes_of("import torch", "%%mlstage a\ntorch.manual_seed(0)\nx = 1", "%%mlstage b\ny = torch.rand(x)", "%%mlstage c\nz = y") == [
        "NB310 2:2"
    ]


NUMPY = "import numpy as np"
SHARED = [
    ("two stages draw after one seed", ["np.random.seed(0)", "x = np.random.rand()", "y = np.random.rand() + x"], True),
    ("the first stage seeds", ["", "np.random.seed(0)\nx = np.random.rand()", "y = np.random.rand() + x"], True),
    ("each stage seeds for itself", ["", "np.random.seed(0)\nx = np.random.rand()", "np.random.seed(1)\ny = np.random.rand() + x"], False),
    ("only one draws", ["np.random.seed(0)", "x = np.random.rand()", "y = x"], False),
    ("generators", ["", "x = np.random.default_rng(0).random()", "y = x + np.random.default_rng(1).random()"], False),
]


@pytest.mark.parametrize(("setup", "first", "second", "told"), [(*row[1], row[2]) for row in SHARED], ids=[row[0] for row in SHARED])
def test_shared_state_is_told_before_anything_has_run(setup: str, first: str, second: str, told: bool) -> None:  # noqa: FBT001 - a table
    """Stages that go on with one sequence differ from a run from top to bottom."""
    cells = [NUMPY, *([cell(setup, "setup")] if setup else []), f"%%mlstage a\n{first}", f"%%mlstage b\n{second}", "%%mlstage c\nz = y"]
    assert ("NB302" in [item.code for item in pipeline_of(*cells).diagnostics]) is told


def test_setup_that_seeds_between_two_stages_separates_them() -> None:
    """Each begins where one process would."""
    cells = [NUMPY, cell("np.random.seed(0)", "setup"), "%%mlstage a\nx = np.random.rand()", cell("np.random.seed(1)", "setup")]
    assert codes_of(*cells, "%%mlstage b\ny = np.random.rand() + x", "%%mlstage c\nz = y") == []


def test_stages_that_were_seen_to_draw_from_one_state_are_told() -> None:
    """Two stages that drew from one global state differ from a run from top to bottom."""
    cells = ("%%mlstage a\nx = 1", "%%mlstage b\ny = 1")
    drawing = Effects(random=("numpy",))
    both = pipeline_of(*cells, effects={"a": drawing, "b": drawing}).diagnostics
    assert [(item.code, item.severity, item.stage) for item in both] == [("NB302", "warning", "b")]
    assert pipeline_of(*cells, effects={"a": drawing, "b": Effects(random=("random",))}).diagnostics == ()


def test_imports_of_the_tables_are_clean() -> None:
    """The cell that the tables stand on says nothing by itself."""
    assert codes_of(IMPORTS, "%%mlstage a\nx = 1", "%%mlstage b\ny = x") == []
