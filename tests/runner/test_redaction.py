"""Which texts are secrets, and that none of them is left."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbmlops.executors.events import RunFinished, RunStarted, StageFinished, event_to_json
from nbmlops.runner.redaction import MASK, Redactor, looks_secret, secret_values

LOOKS = [
    ("password", "hunter2", True),
    ("db_passwd", "x", True),
    ("API_KEY", "abc", True),
    ("apikey", "abc", True),
    ("auth_token", "abc", True),
    ("anything", "sk-abcdefgh12345678", True),
    ("anything", "ghp_abcdefghijklmnopqrstuvwx", True),
    ("anything", "AKIAABCDEFGHIJKLMNOP", True),
    ("anything", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2lnbmF0dXJl", True),
    ("tokenizer", "word", False),
    ("password", 12, False),
    ("password", 73737373, True),
    ("max_tokens", 4096, False),
    ("password", True, False),
    ("db", {"host": "h", "password": "hunter2"}, True),
    ("db", {"host": "h", "port": 5432}, False),
    ("passwords", ["hunter2"], True),
    ("url", "postgres://me:hunter2@host/db", True),
    ("url", "https://example.org/a@b", False),
    ("password", "", False),
    ("learning_rate", "0.1", False),
    ("path", "data/flights.csv", False),
]


@pytest.mark.parametrize(("name", "value", "expected"), LOOKS)
def test_what_looks_secret(name: str, value: object, expected: bool) -> None:  # noqa: FBT001 - a table row
    """A parameter is secret by its name, or by a value of a well-known shape."""
    assert looks_secret(name, value) is expected


def test_secrets_in_containers_are_collected() -> None:
    """Of a dict the values whose key says so, of a URL the password: the rest is no secret."""
    found = secret_values({"db": {"host": "localhost", "password": "hunter2"}, "url": "https://me:opensesame@host", "api_key": 12345678}, {}, [])
    assert found == ("opensesame", "12345678", "hunter2")


def test_values_are_collected_longest_first() -> None:
    """Declared variables and parameters; unset and very short ones are left out."""
    found = secret_values({"password": "hunter2", "n": "plain"}, {"TOKEN": "longer-value", "PIN": "123"}, ["TOKEN", "PIN", "UNSET"])
    assert found == ("longer-value", "hunter2")


TEXTS = [
    ("token is hunter2!", f"token is {MASK}!"),
    ("hunter2hunter2", MASK * 2),
    ("hunter2-and-more", MASK),
    ("x a.cd", f"x {MASK}"),
    ("abcd", "abcd"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_text_is_masked(text: str, expected: str) -> None:
    """Every place, the longer secret first, and no secret is read as a pattern."""
    assert Redactor(["hunter2", "hunter2-and-more", "a.cd"]).text(text) == expected


def test_short_value_is_left() -> None:
    """A secret of three characters would hide ordinary text."""
    assert Redactor(["abc"]).text("abc") == "abc"


def test_data_is_masked_throughout() -> None:
    """Strings at any depth, keys included; other values stay as they are."""
    data = {"hunter2": ["x hunter2", {"k": ("hunter2", 1, None, 2.5, True)}]}
    assert Redactor(["hunter2"]).data(data) == {MASK: [f"x {MASK}", {"k": [MASK, 1, None, 2.5, True]}]}


def test_without_secrets_nothing_is_touched() -> None:
    """The data is handed on as it is."""
    data = {"k": [1, "through sk-learn-contrib", "sk-a-long-but-harmless-name-of-words"]}
    assert Redactor().data(data) == data


WRITTEN = [
    repr,
    ascii,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: repr(text.encode()),
    html.escape,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("secret", ["s3cr+t/K\u00e4\"y&x='1'", "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----", "plain-as-can-be"])
def test_secret_is_masked_however_it_is_written(written: Callable[[str], str], secret: str) -> None:
    """A dict that is printed escapes it, a header encodes it, a table escapes it for HTML."""
    shown = written(secret)
    inner = shown.strip("b'\"=")[4:-4]
    assert inner not in Redactor([secret]).text(f"({shown})")


@pytest.mark.parametrize("before", ["", "a", "me:", "user:"])
def test_secret_is_masked_within_base64(before: str) -> None:
    """`Authorization: Basic` encodes the user's name with it, so that its bytes begin anywhere."""
    secret = "correct-horse-battery"
    shown = base64.b64encode(f"{before}{secret}:more".encode()).decode()
    masked = Redactor([secret]).text(shown)
    assert MASK in masked
    middle = len(shown) // 2
    assert shown[middle - 4 : middle + 4] not in masked


def test_a_line_of_a_secret_is_masked() -> None:
    """A key of several lines may be shown line by line."""
    assert Redactor(["-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nx\n"]).text("has MIIEvQIBADANBgkq and x") == f"has {MASK} and x"


def test_password_in_a_url_is_masked() -> None:
    """Whoever it belongs to; the rest tells where it went wrong."""
    assert Redactor().text("no route to postgres://me:hunter2@host/db") == f"no route to postgres://me:{MASK}@host/db"
    assert Redactor().text("see https://example.org:80/a@b, or a://b:c") == "see https://example.org:80/a@b, or a://b:c"


def test_number_that_is_a_secret_is_masked() -> None:
    """As text and as a number in JSON."""
    assert Redactor(["73737373"]).data({"pin": 73737373, "text": "73737373", "n": 7}) == {"pin": MASK, "text": MASK, "n": 7}


TOKENS = ["ghp_" + "a1" * 18, "sk-proj-" + "Ab3" * 8, "AKIA" + "B2" * 8, "xoxb-" + "1" * 12, "eyJ" + "a" * 12 + ".eyJ9.c2ln"]


@pytest.mark.parametrize("token", TOKENS)
def test_shape_of_a_token_is_masked(token: str) -> None:
    """A token of a well-known service is a secret although nobody has named it."""
    assert Redactor().text(f"login with '{token}', please") == f"login with '{MASK}', please"


@given(st.text(max_size=30), st.text(alphabet="abcdef", min_size=4, max_size=6), st.text(max_size=30))
def test_no_secret_is_left(before: str, secret: str, after: str) -> None:
    """Whatever surrounds it, a secret is not in the text afterwards."""
    assert secret not in Redactor([secret]).text(before + secret + after)


DIGEST = "12dead34" * 8
EVENTS = [
    RunStarted(run_id=DIGEST[:16], time_s=1.0, notebook="dead.ipynb", experiment="dead", parameters={"n": DIGEST}, tags={"git_commit": DIGEST[:40]}),
    StageFinished(
        run_id=DIGEST[:16],
        time_s=2.0,
        stage="train",
        status="ran",
        key=DIGEST,
        metrics={"digest": DIGEST},
        gates=[{"name": "dead", "reason": "it is dead", "digests": {"frame": DIGEST, "suite": DIGEST}, "report": DIGEST}],
        models=[{"name": "m", "digest": DIGEST, "files": {"MLmodel": DIGEST}, "metrics": {"dead": 1.0}}],
        artifacts=[{"name": "x", "digest": DIGEST, "summary": "dead"}],
        files={"dead.csv": DIGEST},
    ),
    RunFinished(run_id=DIGEST[:16], time_s=3.0, status="done", seconds=2.0, output=f"nb-{DIGEST[:16]}.ipynb", output_digest=DIGEST),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_digest_of_a_record_is_masked(event: RunStarted | StageFinished | RunFinished) -> None:
    """A secret of four hexadecimal letters stands in every one of them; where it stands for itself, or a user has written it, it is hidden."""
    data = event_to_json(event)
    expected = data | {name: MASK for name in ("experiment",) if name in data}
    if isinstance(event, RunStarted):
        expected |= {"notebook": f"{MASK}.ipynb", "parameters": {"n": DIGEST.replace("dead", MASK)}}
    if isinstance(event, StageFinished):
        expected |= {
            "metrics": {"digest": DIGEST},
            "gates": [{**event.gates[0], "name": MASK, "reason": f"it is {MASK}"}],
            "models": [{**event.models[0], "metrics": {MASK: 1.0}}],
            "artifacts": [{**event.artifacts[0], "summary": MASK}],
            "files": {f"{MASK}.csv": DIGEST},
        }
    assert Redactor(["dead"]).record(data) == expected


@pytest.mark.parametrize("name", ["parameters", "metrics", "series", "space", "summary", "source", "outputs"])
def test_what_users_name_keeps_no_secret(name: str) -> None:
    """What looks like a digest of ours, under a name like ours, is no digest there."""
    assert "dead" not in repr(Redactor(["dead"]).record({name: {"digest": DIGEST}}))


def test_a_secret_that_looks_like_a_digest_is_hidden() -> None:
    """Be it one as a whole, or longer than one."""
    data = {"digest": DIGEST, "reason": f"{DIGEST} x{DIGEST}"}
    assert Redactor([DIGEST]).record(data) == {"digest": MASK, "reason": f"{MASK} x{MASK}"}
    assert Redactor([f"x{DIGEST}", "dead"]).record(data) == {"digest": DIGEST, "reason": f"{DIGEST} {MASK}"}


@given(
    st.text(max_size=30), st.text(alphabet="0123456789abcdef", min_size=4, max_size=6), st.text(alphabet="0123456789abcdef", min_size=16, max_size=64)
)
def test_no_secret_is_left_beside_a_digest(text: str, secret: str, digest: str) -> None:
    """What is left of it is a part of the digest."""
    data = Redactor([secret]).record({"digest": digest, "reason": f"{text}{secret} {digest}"})
    assert data["digest"] == digest or digest == secret
    assert secret not in data["reason"].replace(digest, "")
