"""Slips that a reader of the file forgives, and that would run as something else: each is one message that mends it."""

import pytest

from balancebench.errors import SuiteError
from balancebench.registry import load_registry
from balancebench.suite.bind import bind_suite
from balancebench.suite.remarks import ranking_advice

SUITE = """
schema = 1
name = "slips"
metrics = ["accuracy"]

[run]
seeds = [0]

[[dataset]]
use = "digits"

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 20

[[balancer]]
use = "smote"
neighbours = 3

[[classifier]]
use = "small_cnn"
steps = 200

[profile.smoke]
"classifier.*.width" = 8
"""


@pytest.fixture
def mistakes(tmp_path):
    """The mistakes of the suite with some text replaced, each as a person reads it."""

    def read(*replacements, extra=""):
        text = SUITE + extra
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "slips.toml"
        path.write_text(text)
        try:
            bind_suite(path, load_registry())
        except SuiteError as error:
            return [str(mistake) for mistake in error.mistakes]
        return []

    return read


def only(mistakes):
    (mistake,) = mistakes
    return mistake


@pytest.mark.parametrize("value", ["true", '"3"', "3.0"])
def test_a_value_of_another_type_is_not_taken_for_the_number_it_resembles(mistakes, value):
    shown = value.replace('"', "'")
    message = only(mistakes(("neighbours = 3", f"neighbours = {value}")))
    assert f"neighbours: input should be a whole number, got {shown}" in message


def test_a_whole_number_may_stand_for_a_number(mistakes):
    assert mistakes(("imbalance_ratio = 20", "imbalance_ratio = 20.0")) == []
    assert mistakes(("steps = 200", "steps = 200\nlearning_rate = 1")) == []


def test_text_is_no_seed_and_true_no_number_of_threads(mistakes):
    assert len(mistakes(("seeds = [0]", 'seeds = ["0"]\nthreads = true'))) == 2


def test_one_pair_of_brackets_on_an_axis_is_told_to_have_two(mistakes):
    assert "write [[balancer]], with two brackets" in only(mistakes(("[[balancer]]", "[balancer]")))


def test_an_axis_with_both_kinds_of_brackets_is_told_so_in_words_of_the_file(mistakes):
    message = only(mistakes(("[[balancer]]", '[[balancer]]\nuse = "none"\n\n[balancer]')))
    assert message.startswith("line 19")
    assert "[balancer] stands here and [[balancer]] elsewhere" in message


def test_excludes_that_leave_no_cell_are_refused(mistakes):
    assert "no cell of the suite is left" in only(mistakes(extra='\n[[exclude]]\nclassifier = "small_cnn"\n'))
    assert not mistakes(extra='\n[[exclude]]\nclassifier = "small_cnn"\n\n[[include]]\nbalancer = "smote"\n')


def test_a_published_percentage_is_told_to_be_a_share(mistakes):
    published = '\n[[published]]\nsource = "Table 1"\naccuracy = {}\n'
    assert "accuracy runs from 0 to 1: write 0.686 for 68.6 %" in only(mistakes(extra=published.format(68.6)))
    assert mistakes(extra=published.format(0.686)) == []


def test_more_epochs_than_anybody_means_are_refused(mistakes):
    assert "less than or equal to 1000000" in only(mistakes(("steps = 200", "epochs = 10_000_000")))
    assert "integers have 64 bits" in only(mistakes(("steps = 200", f"epochs = 1{29 * '0'}")))


def test_best_validation_without_validation_images_says_how_to_have_some(mistakes):
    slip = ("seeds = [0]", 'seeds = [0]\nreport = ["best_validation"]')
    assert "digits brings none: add validation = { fraction = 0.1 } to [run]" in only(mistakes(slip))
    assert mistakes(slip, ("[run]", "[run]\nvalidation = { fraction = 0.2 }")) == []


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("balancebench:smote", "(did you mean 'balancebench-resampling:smote'?)"),
        ("long_tail", "it is of the kind imbalancer, named in [[imbalancer]]"),
        ("accuracy", "it is of the kind metric, named in metrics"),
    ],
)
def test_a_component_looked_for_in_the_wrong_place_is_recognised(mistakes, use, words):
    assert words in only(mistakes(('use = "smote"\nneighbours = 3', f'use = "{use}"')))


def test_what_follows_from_an_unknown_component_is_no_second_mistake(mistakes):
    assert "unknown classifier 'small_cn'" in only(mistakes(('"small_cnn"\nsteps = 200', '"small_cn"')))


def test_a_metric_asked_for_in_two_ways_gets_two_headings(tmp_path):
    path = tmp_path / "suite.toml"
    two = 'metrics = ["accuracy", { use = "shot_accuracy", group = "few" }, { use = "shot_accuracy", group = "many" }]'
    path.write_text(SUITE.replace('metrics = ["accuracy"]', two))
    labels = [metric.label for metric in bind_suite(path, load_registry()).metrics]
    assert labels == ["accuracy", "shot_accuracy(group=few)", "shot_accuracy(group=many)"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", None),
        ("duration_seconds", "a cost: is that meant?"),
        ("class_counts", "ranks no row"),
        ("confusion_matrix", "no row is ranked"),
    ],
)
def test_a_first_metric_that_ranks_by_cost_or_not_at_all_is_questioned(tmp_path, metric, words):
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('metrics = ["accuracy"]', f'metrics = ["{metric}"]'))
    advice = ranking_advice(bind_suite(path, load_registry()))
    assert advice is None if words is None else words in advice


@pytest.mark.parametrize(
    ("classifier", "words"),
    [
        ('use = "timm_model"\nname = "resnet19"', "timm has no model 'resnet19' (did you mean 'resnet18'?)"),
        ('use = "torchvision_model"\nname = "resnet19"', "torchvision has no classification model 'resnet19'"),
        ('use = "torchvision_model"\nname = "resnet18"\nweights = "V3"', "torchvision's resnet18 has no weights 'V3'"),
    ],
)
def test_validate_knows_the_models_of_the_libraries_and_so_does_the_start_of_a_run(call, tmp_path, classifier, words):
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('use = "small_cnn"\nsteps = 200', classifier).partition("[profile")[0])
    for command in ("validate", "run"):
        code, _, err = call(command, path)
        assert code == 2
        assert words in err
    assert not list((tmp_path / "balancebench-store").glob("steps/*"))


def test_pretrained_weights_that_cannot_be_had_end_a_run_before_its_first_step(call, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    path = tmp_path / "suite.toml"
    network = 'use = "timm_model"\nname = "resnet18.a1_in1k"\npretrained = true'
    path.write_text(SUITE.replace('use = "small_cnn"\nsteps = 200', network).partition("[profile")[0])
    code, _, err = call("run", path)
    assert code == 2
    assert "nothing was run: 1 component is not ready" in err
    assert "timm's weights of resnet18.a1_in1k" in err
