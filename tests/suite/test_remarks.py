"""Before it runs, a suite is told what its seeds can tell."""

import pytest

from balancebench.suite.bind import bind_suite
from balancebench.suite.remarks import seed_advice


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("[0]", "one seed tells nothing"),
        ("[0, 1, 2]", "3 seeds are a look"),
        ("[0, 1, 2, 3, 4]", None),
        ("{ classifier = [0, 1, 2, 3, 4] }", "share one training subset"),
        ("{ generator = [0, 1] }", "share one training subset"),
        ("{ subset = [0, 1, 2], classifier = [0, 1, 2] }", "3 seeds are a look"),
        ("{ subset = [0, 1, 2, 3, 4], classifier = [0, 1, 2] }", None),
    ],
)
def test_seeds_are_advised_by_how_many_subsets_they_draw(fakes, suite_file, seeds, said):
    advice = seed_advice(bind_suite(suite_file(replace={"seeds = [0, 1]": f"seeds = {seeds}"}), fakes, None))
    assert advice is None if said is None else said in advice


def test_an_imbalance_that_draws_nothing_has_no_subset_to_vary(fakes, suite_file):
    suite = suite_file(replace={"[0, 1]": "{ classifier = [0, 1, 2] }", 'use = "halving"': 'use = "none"'})
    assert "3 seeds are a look" in seed_advice(bind_suite(suite, fakes, None))


def test_validate_prints_it_below_the_suite(fakes, suite_file, monkeypatch, capsys):
    from balancebench.cli.main import main

    monkeypatch.setattr("sys.argv", ["balancebench", "validate", str(suite_file())])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert "2 seeds are a look" in capsys.readouterr().out
