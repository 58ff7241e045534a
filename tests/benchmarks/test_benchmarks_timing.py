"""Turns, medians and ratios, and the tables and files that they are written to."""

import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import all as all_benchmarks
from benchmarks.all import BEGIN, CPU, CUDA, END, write_tables
from benchmarks.report import Report, Table, figure, finish, rates_table
from benchmarks.timing import Contestant, Timed, quartiles, ratios, take_turns


def test_contestants_take_turns_and_every_other_round_goes_backwards():
    order = []
    contestants = [Contestant(name, lambda name=name: order.append(name), 1) for name in "ab"]
    timed = take_turns(contestants, rounds=2, warm_up=1)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert [(row.name, len(row.seconds)) for row in timed] == [("a", 2), ("b", 2)]


def test_a_contestant_may_bring_its_own_clock():
    timed = take_turns([Contestant("own", lambda: 0.5, 10)], rounds=3)
    assert timed[0].rates == (20, 20, 20)


def test_ratios_are_taken_round_by_round():
    plain = Timed("plain", 10, (1.0, 2.0, 4.0))
    ours = Timed("ours", 10, (0.5, 0.5, 1.0))
    assert ratios(ours, plain) == (2, 4, 4)
    table, figures = rates_table("title", "images/s", [plain, ours], ["plain"])
    assert table.rows == (
        ("plain", "5.00", "3.75 to 7.50", "1"),
        ("ours", "20.0", "15.0 to 20.0", "4.00 (3.00 to 4.00)"),
    )
    assert figures["title"]["ours"]["ratio_to"] == {"plain": [2, 4, 4]}


def test_half_of_the_values_lie_between_the_quartiles():
    assert quartiles([1, 2, 3, 4, 5]) == (2, 4)
    assert quartiles([7]) == (7, 7)


@pytest.mark.parametrize(("value", "shown"), [(3.071, "3.07"), (52.44, "52.4"), (1820.4, "1,820"), (0, "0.00")])
def test_figures_show_the_digits_that_count(value, shown):
    assert figure(value) == shown


MACHINE = {"kind": "cpu-2-cores", "processor": "P", "cores": 2, "load_average": 0.1, "python": "3", "versions": {}}


def test_what_json_prints_becomes_the_table_between_the_markers(tmp_path, capsys):
    machine = {**MACHINE, "versions": {"torch": "2.8"}}
    table = Table("a title", ("", "images/s"), (("plain", "12"),), "a note")
    finish(Report("small_cnn", machine, {"rounds": 3}, (table,)), as_json=True)
    results = tmp_path / "results"
    results.mkdir()
    (results / "cpu-2-cores.json").write_text(json.dumps({"small_cnn": json.loads(capsys.readouterr().out)}))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_tables(readme, results)
    text = readme.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "## cpu-2-cores" in text
    assert "| plain | 12 |" in text
    write_tables(readme, results)
    assert readme.read_text() == text


def test_the_readme_has_the_markers_and_names_every_benchmark():
    from benchmarks.all import README

    text = README.read_text(encoding="utf-8")
    assert 0 <= text.index(BEGIN) < text.index(END)
    assert [name for name in {**CPU, **CUDA} if f"`{name}`" not in text] == []


def test_a_benchmark_that_fails_leaves_the_others_figures_and_is_named_at_the_end(monkeypatch, tmp_path):
    def run(command, **_settings):
        name = command[2].removeprefix("benchmarks.")
        report = {"benchmark": name, "machine": {}, "settings": {}, "tables": [], "figures": {}}
        return SimpleNamespace(returncode=int(name == "resnet18"), stdout=json.dumps(report))

    monkeypatch.setattr(all_benchmarks.subprocess, "run", run)
    monkeypatch.setattr(all_benchmarks, "describe_machine", lambda _device: {"kind": "mine"})
    monkeypatch.setattr(all_benchmarks, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(all_benchmarks, "write_tables", lambda _readme, _results: None)
    monkeypatch.setattr(sys, "argv", ["all", "--only", "resnet18", "small_cnn"])
    with pytest.raises(SystemExit, match=r"failed.*: resnet18$"):
        all_benchmarks.main()
    assert list(json.loads((tmp_path / "results/mine.json").read_text(encoding="utf-8"))) == ["small_cnn"]
