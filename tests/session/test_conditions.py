"""What is changed for the second execution of a stage."""

from __future__ import annotations

import pytest

from nbmlops.session.verifying.conditions import FACTORS, other_conditions, usual_conditions


def test_every_factor_has_another_value() -> None:
    """Nothing that the second execution is said to vary is left as it was."""
    usual, other = usual_conditions(), other_conditions()
    assert [name for name in FACTORS if getattr(usual, name) == getattr(other, name)] == []


@pytest.mark.parametrize(("name", "value"), [("TZ", "Pacific/Chatham"), ("TZ", ":Pacific/Chatham"), ("LC_ALL", "C.UTF-8"), ("LC_ALL", "C")])
def test_the_other_is_not_the_user_s_own(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Whoever lives in Chatham gets another zone, and so with the locale."""
    monkeypatch.setenv(name, value)
    other = other_conditions().environment[name]
    assert other.lower().replace("-", "") != value.removeprefix(":").lower().replace("-", "")


def test_one_factor_at_a_time() -> None:
    """A cause is looked for by changing one condition alone."""
    usual, other = usual_conditions(), other_conditions()
    changed = usual.with_one_of(other, "zone")
    assert [name for name in FACTORS if getattr(changed, name) != getattr(usual, name)] == ["zone"]
