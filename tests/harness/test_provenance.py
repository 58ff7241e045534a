"""Records name the commit that made them, also where the project travelled without its history."""

import pytest

from balancebench.execution import provenance

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def without_history(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "balancebench" / "execution" / "provenance.py"))


@pytest.mark.parametrize(
    ("said", "commit"), [(COMMIT, COMMIT), (COMMIT + "+", COMMIT + "+"), ("main", None), ("", None)]
)
def test_the_environment_names_the_commit_where_there_is_no_history(without_history, monkeypatch, said, commit):
    monkeypatch.setenv(provenance.COMMIT_VARIABLE, said)
    assert provenance._git_commit() == commit


def test_a_checkout_knows_better_than_the_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "balancebench" / "execution" / "provenance.py"))
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(provenance, "_git", lambda _folder, command, *_: COMMIT if command == "rev-parse" else "")
    monkeypatch.setenv(provenance.COMMIT_VARIABLE, "f" * 40)
    assert provenance._git_commit() == COMMIT
