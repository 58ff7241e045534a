"""Whatever a suite file holds, it is a suite or is refused with the lines of its mistakes; never a traceback."""

import json
import random

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancebench.errors import SuiteError
from balancebench.plan import expand
from balancebench.suite.bind import bind_suite

WIDE = """
[[balancer]]
use = "misbehaving"
sweep = { seconds = [1, 2] }

[[exclude]]
balancer = "misbehaving"

[[published]]
balancer = "none"
hits = 0.5
source = "Table 1"

[profile.smoke]
"run.seeds" = [0]
"classifier.*.epochs" = 1
"balancer.misbehaving.seconds" = 3
"""
BRACKETS = "[" * 500
MANY = f"{{ seconds = {list(range(200))}, how = {[str(number) for number in range(200)]} }}\n"
KEY_OF_3000 = ".".join(["a"] * 3000)


def lines_of_mistakes(path, fakes):
    """Return the mistakes' lines, () where the file is a suite under each of its profiles."""
    try:
        profiles = [None, *tomli.loads(expand(bind_suite(path, fakes)).suite.path.read_text()).get("profile", {})]
        for profile in profiles:
            expand(bind_suite(path, fakes, profile))
    except SuiteError as error:
        str(error).encode()
        return tuple(mistake.line for mistake in error.mistakes)
    return ()


@pytest.mark.parametrize(
    ("replace", "extra", "said"),
    [
        ({}, f"\n[[balancer]]\nuse = 'misbehaving'\nhow = {BRACKETS}1{BRACKETS.replace('[', ']')}\n", "deeper than 32"),
        ({}, f"\n{KEY_OF_3000} = 1\n", "deeper than 32"),
        ({}, f"\n[{KEY_OF_3000}]\n", "deeper than 32"),
        ({}, f"\n[[balancer]]\nuse = 'misbehaving'\nseconds = {'1' * 5000}\n", "too many digits"),
        ({}, f"\n[[balancer]]\nuse = 'misbehaving'\nseconds = 0x{'f' * 5000}\n", "64 bits"),
        ({"seeds = [0, 1]": f"seeds = [{2**64}]"}, "", "64 bits"),
        ({"\n[run]\nseeds = [0, 1]\n": "\nrun = 3\n"}, '\n[profile.a]\n"run.seeds" = [0]\n', "RunTable"),
        ({}, '\n[[balancer]]\nuse = "misbehaving"\nsweep = 1\n[profile.a]\n"balancer.*.how" = "none"\n', "dictionary"),
        ({'metrics = ["hits"]': 'metrics = ["hits"]\nexclude = 5'}, "", "exclude: "),
        ({'metrics = ["hits"]': 'metrics = ["hits"]\ninclude = true'}, "", "include: "),
        ({'metrics = ["hits"]': 'metrics = ["hits"]\npublished = 5'}, "", "published: "),
        ({}, "\n[[balancer]]\nuse = 'demanding'\nweights = '~nosuchuser/x'\n", "path cannot be used"),
        ({}, f"\n[[balancer]]\nuse = 'demanding'\nweights = '{'x' * 5000}'\n", "path cannot be used"),
        ({}, "\n[[balancer]]\nuse = 'misbehaving'\nhow = 2020-01-01\n", "a date is no value"),
        ({}, "\n[[balancer]]\nuse = 'misbehaving'\nsweep = " + MANY, "40000 entries"),
        ({}, '\n[profile."../../x"]\n"run.seeds" = [0]\n', "pattern"),
        ({'name = "fakes"': f'name = "{"x" * 300}"'}, "", "at most 100"),
        ({}, '\n[[balancer]]\nuse = "misbehaving"\nlabel = "a\\u001b[31mb"\n', "U+001B"),
        ({}, '\n[[balancer]]\nuse = "misbehaving"\nlabel = "a\\nb"\n', "U+000A"),
        ({'name = "fakes"': 'name = "fakes"\ntitle = "\\u202Eelt"'}, "", "U+202E"),
    ],
)  # fmt: skip
def test_what_no_suite_can_hold_is_refused_with_its_line(fakes, suite_file, replace, extra, said):
    path = suite_file(extra, replace=replace)
    with pytest.raises(SuiteError) as refused:
        bind_suite(path, fakes)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 3000
    assert all(mistake.line is not None for mistake in refused.value.mistakes)


def test_a_mistake_is_said_of_the_line_on_which_the_value_stands(fakes, suite_file):
    path = suite_file(f"\n[[balancer]]\nuse = 'misbehaving'\nseconds = {2**64}\n")
    with pytest.raises(SuiteError) as refused:
        bind_suite(path, fakes)
    (mistake,) = refused.value.mistakes
    assert path.read_text().splitlines()[mistake.line - 1] == f"seconds = {2**64}"


def test_an_option_model_of_a_plugin_that_fails_is_a_mistake_of_its_table(fakes, suite_file, monkeypatch):
    def fail(_options):
        raise RuntimeError("what a plugin\x1b[2J says")

    component = fakes.find("dataset", "tiny").component
    monkeypatch.setattr(type(component), "identity", property(lambda _self: fail))
    with pytest.raises(SuiteError, match=r"tiny cannot take these options: RuntimeError: what a plugin\\x1b\[2J says"):
        bind_suite(suite_file(), fakes)


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.sampled_from([0, 1, -1, 2**63, 10**400, float("nan"), float("inf"), 1e308, -0.0]),
        st.text(max_size=8),
        st.sampled_from(
            ["none", "tiny", "halving", "means", "misbehaving", "hits", "", "*", "~x/y", "\x00", "\x1b[31m", "../../x"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["use", "label", "sweep", "subset", "base"]), st.text(max_size=4)),
                        inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


def toml(value):
    """Return a value as TOML, everything inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def places(value, at=()):
    """Yield the path of every value in a document."""
    yield at
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*at, key))


def replaced(value, at, new):
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(value[at[0]], at[1:], new)
    return copy


def mutated_document(text, chance, value):
    document = tomli.loads(text)
    at = chance.choice([at for at in places(document) if at])
    return "".join(f"{key} = {toml(inner)}\n" for key, inner in replaced(document, at, value).items())


def mutated_text(text, chance, value):
    begin = chance.randrange(len(text))
    end = min(len(text), begin + chance.choice([0, 1, 5, 40]))
    inserted = chance.choice(
        ["", toml(value), text[chance.randrange(len(text)) :][:30], "[[", '"""', "\x00", "\r", "="]
    )
    return text[:begin] + inserted + text[end:]


FUZZED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


def check_mutation(fakes, suite_file, mutate, seed, value):
    chance = random.Random(seed)
    text = suite_file(WIDE).read_text()
    for _ in range(chance.choice([1, 1, 2, 4])):
        try:
            text = mutate(text, chance, value)
        except (ValueError, IndexError):
            break  # it was no TOML any more
    path = suite_file(WIDE)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert None not in lines_of_mistakes(path, fakes)


@FUZZED
@given(st.integers(0, 2**32), VALUES)
def test_a_suite_with_any_value_anywhere_is_read_or_refused_with_lines(fakes, suite_file, seed, value):
    check_mutation(fakes, suite_file, mutated_document, seed, value)


@FUZZED
@given(st.integers(0, 2**32), VALUES)
def test_a_suite_with_its_text_cut_and_pasted_is_read_or_refused_with_lines(fakes, suite_file, seed, value):
    check_mutation(fakes, suite_file, mutated_text, seed, value)


@pytest.mark.slow
@settings(FUZZED, max_examples=5_000)
@given(st.integers(0, 2**32), VALUES, st.sampled_from([mutated_document, mutated_text]))
def test_thousands_of_mutated_suites_end_without_a_traceback(fakes, suite_file, seed, value, mutate):
    check_mutation(fakes, suite_file, mutate, seed, value)
