"""Every mistake in a suite file is reported at once, with line, table, key and the nearest valid name."""

import pytest

from balancebench.errors import SuiteError
from balancebench.suite.bind import bind_suite


def mistakes_of(path, registry, profile=None):
    with pytest.raises(SuiteError) as caught:
        bind_suite(path, registry, profile)
    return caught.value.mistakes


def only(mistakes):
    assert len(mistakes) == 1, [str(mistake) for mistake in mistakes]
    return mistakes[0]


def test_a_misspelt_option_names_line_table_key_and_nearest_option(fakes, suite_file):
    path = suite_file('\n[[classifier]]\nuse = "means"\nlabel = "other"\nepoch = 3\n')
    mistake = only(mistakes_of(path, fakes))
    assert path.read_text().splitlines()[mistake.line - 1] == "epoch = 3"
    assert mistake.table == "[[classifier]] 'other'"
    assert mistake.key == "epoch"
    assert "did you mean 'epochs'" in mistake.message


def test_a_misspelt_table_key_names_the_nearest(fakes, suite_file):
    path = suite_file(replace={"seeds = [0, 1]": "seed = [0, 1]"})
    mistake = only(mistakes_of(path, fakes))
    assert (mistake.table, mistake.key) == ("[run]", "seed")
    assert path.read_text().splitlines()[mistake.line - 1] == "seed = [0, 1]"
    assert "did you mean 'seeds'" in mistake.message


def test_an_unknown_component_names_the_nearest(fakes, suite_file):
    mistake = only(mistakes_of(suite_file(replace={'"halving"': '"halvin"'}), fakes))
    assert mistake.key == "use"
    assert "unknown imbalancer 'halvin' (did you mean 'halving'?)" in mistake.message


def test_a_wrong_type_and_a_value_out_of_range_are_both_reported(fakes, suite_file):
    path = suite_file('\n[[classifier]]\nuse = "means"\nlabel = "b"\nepochs = "many"\nseconds = -1\n')
    mistakes = mistakes_of(path, fakes)
    assert [mistake.key for mistake in mistakes] == ["epochs", "seconds"]
    assert "got 'many'" in mistakes[0].message
    assert "greater than or equal to 0" in mistakes[1].message


def test_an_empty_axis_is_a_mistake(fakes, suite_file):
    path = suite_file(replace={'[[dataset]]\nuse = "tiny"\n': ""})
    path.write_text("dataset = []\n" + path.read_text())
    mistake = only(mistakes_of(path, fakes))
    assert mistake.key == "dataset"
    assert mistake.line == 1


def test_a_missing_axis_is_a_mistake(fakes, suite_file):
    mistake = only(mistakes_of(suite_file(replace={'[[dataset]]\nuse = "tiny"\n': ""}), fakes))
    assert "'dataset' is missing" in mistake.message


def test_a_label_used_twice_is_a_mistake_at_the_second_entry(fakes, suite_file):
    path = suite_file('\n[[classifier]]\nuse = "means"\n')
    mistake = only(mistakes_of(path, fakes))
    assert "two classifiers have the label 'means'" in mistake.message
    assert path.read_text().splitlines()[mistake.line - 1] == "[[classifier]]"
    assert mistake.line > 20


def test_labels_in_selections_and_published_numbers_must_exist(fakes, suite_file):
    path = suite_file(
        '\n[[exclude]]\nbalancer = "non"\n[[published]]\nbalancer = "none"\nhit = 0.5\nhits = "high"\nsource = "x"\n'
    )
    mistakes = mistakes_of(path, fakes)
    assert [mistake.key for mistake in mistakes] == ["balancer", "hit", "hits"]
    assert "did you mean 'none'" in mistakes[0].message
    assert "did you mean 'hits'" in mistakes[1].message
    assert "is a number" in mistakes[2].message


def test_a_published_number_may_say_how_its_protocol_differs_in_words(fakes, suite_file):
    table = '\n[[published]]\nhits = 0.5\nsource = "Table 1"\nprotocol = {}\n'
    (numbers,) = bind_suite(suite_file(table.format('"best test epoch,\\n  200 epochs"')), fakes).published
    assert numbers.protocol == "best test epoch, 200 epochs"
    for nonsense in ("3", '""'):
        with pytest.raises(SuiteError, match="protocol"):
            bind_suite(suite_file(table.format(nonsense)), fakes)


def test_mistakes_of_many_tables_are_reported_together_in_the_order_of_the_file(fakes, suite_file):
    path = suite_file(
        '\n[[balancer]]\nuse = "smot"\n',
        replace={"seeds = [0, 1]": "seeds = []", 'metrics = ["hits"]': 'metrics = ["hit"]', '"halving"': '"halvin"'},
    )
    mistakes = mistakes_of(path, fakes)
    assert [mistake.table for mistake in mistakes] == [
        "metrics 'hit'",
        "[run]",
        "[[imbalancer]] 'halvin'",
        "[[balancer]] 'smot'",
    ]
    assert [mistake.line for mistake in mistakes] == sorted(mistake.line for mistake in mistakes)


def test_an_option_inside_a_wrapped_balancer_is_checked(fakes, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", hwo = "none" }\n')
    mistake = only(mistakes_of(path, fakes))
    assert mistake.key == "base.hwo"
    assert "did you mean 'how'" in mistake.message


def test_a_profile_override_that_changes_nothing_is_a_mistake(fakes, suite_file):
    path = suite_file('\n[profile.smoke]\n"classifier.*.epocs" = 1\n')
    mistake = only(mistakes_of(path, fakes))
    assert (mistake.table, mistake.key) == ("[profile.smoke]", "classifier.*.epocs")


def test_a_bad_value_in_a_profile_is_reported_where_the_profile_stands(fakes, suite_file):
    path = suite_file('\n[profile.smoke]\n"classifier.*.epochs" = 0\n')
    assert bind_suite(path, fakes).profile is None
    mistake = only(mistakes_of(path, fakes, "smoke"))
    assert (mistake.table, mistake.key) == ("[profile.smoke]", "classifier.*.epochs")
    assert path.read_text().splitlines()[mistake.line - 1].startswith('"classifier')


def test_an_unknown_profile_names_the_nearest(fakes, suite_file):
    path = suite_file('\n[profile.smoke]\n"classifier.*.epochs" = 1\n')
    assert "did you mean 'smoke'" in only(mistakes_of(path, fakes, "smok")).message


def test_a_component_of_two_distributions_must_be_qualified(fakes, suite_file):
    class Second:
        @staticmethod
        def balancebench_metrics():
            return [registered.component for registered in fakes.all("metric") if registered.component.name == "hits"]

    from balancebench import hookimpl

    Second.balancebench_metrics = staticmethod(hookimpl(Second.balancebench_metrics))
    fakes.add_plugin(Second, "somebody-else", "metrics")
    mistake = only(mistakes_of(suite_file(), fakes))
    assert "balancebench-fakes and somebody-else" in mistake.message
    assert "'somebody-else:hits'" in mistake.message
    assert bind_suite(suite_file(replace={'["hits"]': '["balancebench-fakes:hits"]'}), fakes).metrics[0].label == "hits"


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        (b"schema = 1\nname = = 2\n", "not valid TOML", 2),
        (b"schema = 1\n\xff\xfe", "not UTF-8", 2),
    ],
)
def test_a_file_that_is_no_toml_or_not_utf8_is_said_so(fakes, tmp_path, content, message, line):
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    mistake = only(mistakes_of(path, fakes))
    assert message in mistake.message
    assert mistake.line == line


def test_a_directory_and_a_missing_file_are_said_so(fakes, suite_file, tmp_path):
    suite_file(name="quickstart.toml")
    assert "directory" in only(mistakes_of(tmp_path, fakes)).message
    assert "did you mean 'quickstart.toml'" in only(mistakes_of(tmp_path / "quickstrt.toml", fakes)).message


def test_a_sweep_value_that_is_wrong_is_reported_at_the_sweep(fakes, suite_file):
    path = suite_file('\n[[imbalancer]]\nuse = "halving"\nlabel = "swept"\nsweep = { smallest = [1, 0] }\n')
    mistake = only(mistakes_of(path, fakes))
    assert mistake.key == "sweep.smallest"
    assert path.read_text().splitlines()[mistake.line - 1].startswith("sweep")


@pytest.mark.parametrize(
    ("file_name", "hint"),
    [
        ("quikstart.toml", " (did you mean 'quickstart.toml'?)"),
        ("digits.toml", " (did you mean 'suites/digits.toml'?)"),
        ("unlike.toml", ""),
        ("projects.toml", ""),
    ],
)
def test_a_missing_suite_file_names_one_of_nearly_its_name(fakes, tmp_path, file_name, hint):
    (tmp_path / "suites").mkdir()
    for name in ("quickstart.toml", "suites/digits.toml", "pyproject.toml"):
        (tmp_path / name).touch()

    assert only(mistakes_of(tmp_path / file_name, fakes)).message == f"there is no such file{hint}"


def test_paths_below_the_variable_lie_where_data_lies(fakes, suite_file, tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCEBENCH_DATA", str(tmp_path / "data"))
    table = '[[dataset]]\nuse = "image_folder"\nroot = "$BALANCEBENCH_DATA/photos"\n'
    path = suite_file(replace={'[[dataset]]\nuse = "tiny"\n': table})
    assert f"there is no folder {tmp_path / 'data' / 'photos'}" in only(mistakes_of(path, fakes)).message
