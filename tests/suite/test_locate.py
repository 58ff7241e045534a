"""Line numbers of keys, checked against the parsed document of the same text."""

import tomli

from balancebench.suite.locate import line_numbers

TEXT = '''\
name = "a"  # [not.a.table]
text = """
[[balancer]]
fake = 1
"""
metrics = [
  "x", # ] not the end
  { use = "f1", average = "macro" },
]

[run]
seeds = [0,
         1]
"quoted.key" = 3
dotted.inner = 4

[[balancer]]
use = "one"

[balancer.options]
deep = true

[[balancer]]
use = "two"
base = { use = "three", nested = { key = 1 } }
'''


def test_keys_are_found_on_the_line_they_stand_on():
    lines = line_numbers(TEXT)
    rows = TEXT.splitlines()
    for path, starts in {
        ("name",): "name",
        ("metrics",): "metrics",
        ("run",): "[run]",
        ("run", "seeds"): "seeds",
        ("run", "quoted.key"): '"quoted.key"',
        ("run", "dotted", "inner"): "dotted.inner",
        ("balancer", 0): "[[balancer]]",
        ("balancer", 0, "use"): 'use = "one"',
        ("balancer", 0, "options", "deep"): "deep",
        ("balancer", 1, "use"): 'use = "two"',
        ("balancer", 1, "base"): "base",
        ("balancer", 1, "base", "nested"): "base",
    }.items():
        assert rows[lines[path] - 1].startswith(starts), path


def test_text_inside_strings_is_no_table():
    tables = [path for path in line_numbers(TEXT) if path[0] == "fake" or path == ("balancer", 2)]
    assert tables == []
    assert len(tomli.loads(TEXT)["balancer"]) == 2
