"""Names and messages steer no terminal, no Markdown and no spreadsheet, and no picture ends a run."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebench import LabelledImages
from balancebench.cli.shared import console
from balancebench.errors import DataError, LeaderboardError
from balancebench.leaderboard.export import csv_text, spreadsheet_text
from balancebench.leaderboard.files import write_records
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.results import describe_suite
from balancebench.leaderboard.table import build_leaderboard
from balancebench.pictures.svg import svg_of
from balancebench.plain_text import hidden_character, shown_lines, visible
from balancebench.suite.bind import bind_suite

ESCAPE = "\x1b[2J"
HIDDEN = ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ud800", "\uffff", "\r", "\n"]


@pytest.mark.parametrize("character", HIDDEN)
def test_a_character_that_does_not_show_is_named_and_spelled_out(character):
    assert hidden_character(f"a{character}b") == f"U+{ord(character):04X}"
    assert visible(f"a{character}b") == f"a{ascii(character)[1:-1]}b"


@given(st.text())
def test_what_is_spelled_out_shows_and_other_text_stays_as_it_is(text):
    assert hidden_character(visible(text)) is None
    assert hidden_character(shown_lines(text), lines=True) is None
    if hidden_character(text) is None:
        assert visible(text) == text


@pytest.mark.parametrize("field", ["class_names", "superclass_K"])
def test_a_class_whose_name_holds_an_escape_is_refused_where_it_enters(field):
    names = {"class_names": ("cat", "dog"), "superclass_K": ("pets", "pets"), field: ("cat", f"do{ESCAPE}g")}
    with pytest.raises(DataError, match=r"'do\\\\x1b\[2Jg', which holds U\+001B.*another name"):
        LabelledImages(
            images_NCHW=np.zeros((2, 1, 4, 4), dtype=np.uint8), labels_N=np.arange(2, dtype=np.int64), **names
        )


def test_a_console_passes_no_escape_sequence_on_but_its_own(capsys):
    out = console()
    out.print(f"plain {ESCAPE}", markup=False)
    out.print(f"[bold]marked {ESCAPE}[/bold]\tand a tab")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert printed.count("\\x1b[2J") == 2


def test_an_error_message_of_a_plugin_reaches_neither_terminal_nor_record_with_its_escapes(harness, call, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\nhow = "steer"\n')
    code, out, err = call("run", path, "--jobs", "0", "--no-pictures")
    assert code == 1
    assert "\x1b" not in out + err
    assert "gone \\x1b[2J" in err
    tables = [file for file in Path("results/fakes").iterdir() if file.suffix != ".html"]
    assert tables
    assert not any(b"\x1b" in file.read_bytes() for file in tables)


def test_markup_in_a_title_is_printed_as_it_is(call, suite_file):
    path = suite_file(replace={'name = "fakes"': 'name = "fakes"\ntitle = "[/] of [bold]"'})
    code, out, err = call("plan", path)
    assert code == 0, err
    assert "[/] of [bold]: 4 cells" in out


def board_of(fakes, path, **header):
    suite = describe_suite(bind_suite(path, fakes)).model_copy(update=header)
    return build_leaderboard(suite, [])


@pytest.mark.parametrize("name", ["a`<img src=x>`.toml", "a\n<script>.toml", "a``b`.toml"])
def test_the_name_of_a_suite_file_brings_no_html_into_the_markdown(fakes, suite_file, name):
    text = markdown(board_of(fakes, suite_file(), file=name))
    (line,) = [line for line in text.splitlines() if "Run it again" in line]
    fence = line.split(": ", 1)[1].split("balancebench")[0].strip()
    assert line.endswith(fence)
    assert set(fence) == {"`"}
    assert fence not in line[line.index("balancebench") : -len(fence)].strip().strip("'").replace("``'", "")
    assert "<script>" not in text.replace(line, "")


@pytest.mark.parametrize("start", ["=", "\r=", "\n=", " =", "＝", "＋", "@", "\t-"])  # noqa: RUF001
def test_no_cell_of_the_csv_file_begins_like_a_formula(harness, call, suite_file, start, fakes):
    cell = spreadsheet_text(f"{start}1+1")
    row = io.StringIO()
    csv.writer(row).writerow([cell])
    (read,) = next(csv.reader(io.StringIO(row.getvalue())))
    assert read[0] in "'\\"
    assert "\n" not in read
    assert csv_text(board_of(fakes, suite_file()))


def test_the_renderer_of_pictures_survives_characters_that_no_xml_may_hold():
    altair = pytest.importorskip("altair")
    values = [{"class": f"a{character}b", "images": 1} for character in HIDDEN]
    chart = altair.Chart(altair.Data(values=values)).mark_bar().encode(x="class:N", y="images:Q")
    svg = svg_of(chart, f"alt {ESCAPE}").decode()
    assert "\\x1b" in svg
    assert "\x1b" not in svg


def test_the_tables_stand_before_a_picture_is_drawn_and_without_one(call, suite_file, monkeypatch):
    class Panic(BaseException):
        pass

    def fail(_chart, _alt):
        assert Path("results/fakes/leaderboard.csv").is_file()
        raise Panic("the renderer panicked")

    monkeypatch.setattr("balancebench.pictures.score_chart.svg_of", fail)
    code, _, err = call("run", suite_file(), "--jobs", "0")
    assert code == 0, err
    assert "not drawn: Panic: the renderer panicked" in err
    assert "![" in Path("results/fakes/leaderboard.md").read_text()  # those that could be drawn


def test_a_folder_of_pictures_that_cannot_be_written_is_a_warning(call, suite_file):
    Path("results/fakes").mkdir(parents=True)
    Path("results/fakes/pictures").write_text("a file where the folder should be")
    code, _, err = call("run", suite_file(), "--jobs", "0")
    assert code == 0, err
    assert "pictures cannot be written" in err
    assert Path("results/fakes/leaderboard.html").is_file()


@pytest.mark.parametrize("field", ["name", "profile"])
def test_records_of_a_suite_whose_name_leads_elsewhere_are_not_written(fakes, suite_file, tmp_path, field):
    header = describe_suite(bind_suite(suite_file(), fakes)).model_copy(update={field: "../../x"})
    (folder := tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(LeaderboardError, match="names no folder"):
        write_records(folder, header, [])
    assert not list(tmp_path.glob("x*"))


def test_a_working_folder_whose_name_is_no_utf8_works(suite_file, tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    code = "import sys\nsys.path.insert(0, sys.argv.pop(1))\nfrom balancebench.cli import main\nmain()\n"
    fakes = str(Path(__file__).parents[1] / "fake_plugins")
    ended = subprocess.run(
        [sys.executable, "-c", code, fakes, "run", str(suite_file()), "--jobs", "0", "--output", "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
