"""Pictures on disk: drawn once, the same bytes every time, shown by the leaderboard, checked where committed."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.files import check_leaderboards, write_leaderboard, write_records
from balancebench.leaderboard.picture_manifest import KINDS, Picture, read_manifest
from balancebench.leaderboard.results_in_store import collect
from balancebench.pictures.confusion import DARK_FROM, shares_of
from balancebench.pictures.drawing import PictureOrder, file_stems
from balancebench.pictures.style import TEXT, heat_colour
from balancebench.pictures.svg import compact_svg

ROOT = Path(__file__).parents[2]


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = ((part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4) for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_text_reads_on_light_and_dark_pages(page):
    assert contrast(TEXT, page) >= 4


@pytest.mark.parametrize("share", [0.001, 0.1, 0.4, 0.5, 0.51, 0.7, 1.0])
def test_numbers_read_on_every_colour_of_a_confusion_matrix(share):
    ground = "#{:02x}{:02x}{:02x}".format(*heat_colour(share))
    assert contrast("#ffffff" if share > DARK_FROM else "#1b1f24", ground) >= 3


def test_pictures_of_every_kind_are_drawn_and_the_manifest_describes_them(drawn):
    pictures = read_manifest(drawn.folder).pictures
    assert [entry.kind for entry in pictures] == ["scores", "classes", "epochs", "confusion", "samples"]
    files = contents(drawn.folder)
    assert set(files) == {"pictures.json", *(entry.file for entry in pictures)}
    for entry in pictures:
        assert hashlib.sha256(files[entry.file]).hexdigest() == entry.sha256
        assert entry.alt
        assert entry.caption
        assert "tiny / halving" in entry.title
        assert "seed" in entry.title


def test_the_same_store_gives_the_same_bytes_elsewhere_and_again(drawn):
    before = contents(drawn.folder)
    gallery, titles = drawn.draw(which="all")
    assert gallery.drawn == len(titles) == 5
    assert contents(drawn.folder) == before


def test_what_did_not_change_is_not_drawn_again(drawn, no_drawing):
    gallery, titles = drawn.draw()  # nothing can be imported that draws
    assert (gallery.drawn, gallery.problems, titles) == (0, (), [])
    (path,) = (drawn.folder / "pictures").glob("scores*.svg")
    path.unlink()
    gallery, titles = drawn.draw()
    assert len(gallery.problems) == len(titles) == 1
    assert "altair" in gallery.problems[0]


def test_a_picture_that_was_altered_is_drawn_again(drawn):
    (path,) = (drawn.folder / "pictures").glob("scores*.svg")
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    _, titles = drawn.draw()
    assert [title.partition(":")[0] for title in titles] == ["hits (%) of each balancer"]
    assert path.read_bytes() == content


def test_pictures_are_not_drawn_while_another_process_draws_them(drawn):
    pictures_path = str((drawn.folder / "pictures").resolve())
    lock = drawn.store.lock(f"pictures-{hashlib.sha256(pictures_path.encode()).hexdigest()[:32]}")
    try:
        gallery, titles = drawn.draw(which="all")
    finally:
        lock.release()
    assert titles == []
    assert "another process" in gallery.problems[0]
    assert gallery.pictures == read_manifest(drawn.folder).pictures


def test_labels_and_class_names_are_escaped(drawn):
    for path in (drawn.folder / "pictures").glob("*.svg"):
        root = ElementTree.fromstring(path.read_bytes())  # refuses what is not escaped
        texts = "".join(root.itertext())
        if path.name.startswith(("classes", "confusion", "scores", "epochs")):
            assert "two more <&> of dark" in texts
    markdown = write_leaderboard(drawn.folder, drawn.board).read_text(encoding="utf-8")
    assert "<&>" not in markdown


def test_the_leaderboard_shows_each_picture_once_with_its_alt_text(drawn):
    pictures = read_manifest(drawn.folder).pictures
    markdown = write_leaderboard(drawn.folder, drawn.board).read_text(encoding="utf-8")
    shown = re.findall(r"!\[(.+)\]\((pictures/.+)\)", markdown)
    assert sorted(file for _, file in shown) == sorted(f"pictures/{entry.file}" for entry in pictures)
    assert all(alt for alt, _ in shown)
    assert "### Pictures" in markdown.partition("## tiny / halving / means")[2]


def test_without_test_epochs_the_training_loss_is_shown_and_said_to_be_that(run_suite):
    run = run_suite()
    gallery, _ = run.draw()
    (entry,) = [entry for entry in gallery.pictures if entry.kind == "epochs"]
    assert entry.title == "Training loss by epoch: tiny / halving / means, seeds 0, 1"


def test_rows_that_failed_are_left_out_and_the_caption_says_so(run_suite):
    run = run_suite('\n[[balancer]]\nuse = "misbehaving"\n')
    gallery, _ = run.draw()
    assert gallery.problems == ()
    captions = {entry.kind: entry.caption for entry in gallery.pictures}
    for kind in ("classes", "epochs", "confusion"):
        assert "Left out because not done: misbehaving (seeds 0, 1)." in captions[kind]
    assert "misbehaving" in captions["scores"]


def test_a_picture_whose_data_is_damaged_is_a_problem_that_names_the_file_and_others_are_drawn(drawn):
    path = drawn.path(drawn.plan.cells[0], "train", "logits_last.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    (drawn.folder / "pictures" / "confusion-tiny-halving-means.svg").unlink()
    gallery, _ = drawn.draw()
    (problem,) = gallery.problems
    assert "Confusion matrices" in problem
    assert str(path) in problem
    assert [entry.kind for entry in gallery.pictures] == ["scores", "classes", "epochs", "samples"]


def test_pictures_that_no_longer_hold_go_and_other_peoples_files_stay(drawn):
    pictures = drawn.folder / "pictures"
    (pictures / "mine.svg").write_text("mine", encoding="utf-8")
    record = next(
        drawn.path(cell, "synthesise", "record.json") for cell in drawn.plan.cells if "synthesise" in cell.steps
    )
    record.write_text(record.read_text(encoding="utf-8").replace('"done"', '"failed"'), encoding="utf-8")
    gallery, _ = drawn.draw(which="none")
    assert [entry.kind for entry in gallery.pictures] == ["scores", "classes", "epochs", "confusion"]
    assert not list(pictures.glob("samples*"))
    assert (pictures / "mine.svg").exists()


def test_no_pictures_keeps_those_that_still_hold_and_drops_the_others(drawn):
    (path,) = (drawn.folder / "pictures").glob("scores*.svg")
    path.write_bytes(b"other")
    gallery, titles = drawn.draw(which="none")
    assert titles == []
    assert [entry.kind for entry in gallery.pictures] == ["classes", "epochs", "confusion", "samples"]
    assert not path.exists()


def test_pictures_of_other_results_are_not_shown(drawn):
    board = drawn.board
    smaller = replace(board, tables=tuple(replace(table, rows=table.rows[:1]) for table in board.tables))
    assert "pictures/" in write_leaderboard(drawn.folder, board).read_text(encoding="utf-8")
    assert "pictures/" not in write_leaderboard(drawn.folder, smaller).read_text(encoding="utf-8")


@pytest.fixture
def committed(drawn, tmp_path):
    folder = tmp_path / "leaderboard"
    shutil.copytree(drawn.folder, folder / "fakes")
    write_records(folder, drawn.plan.suite, collect(drawn.plan, drawn.store))
    return folder


def test_committed_pictures_pass_the_check(committed):
    assert check_leaderboards(committed) == ["fakes"]
    assert "(pictures/scores-" in (committed / "fakes" / "leaderboard.md").read_text(encoding="utf-8")


def edit_manifest(pictures_folder):
    path = pictures_folder / "pictures.json"
    path.write_text(path.read_text(encoding="utf-8").replace("seeds 0, 1", "seeds 0, 7", 1), encoding="utf-8")


def foreign_manifest(pictures_folder):
    path = pictures_folder / "pictures.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "results_sha256": "0" * 64}, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda pictures_folder: next(pictures_folder.glob("scores*")).write_bytes(b"x"),
            r"scores.* is not the picture that pictures.json",
        ),
        (lambda pictures_folder: next(pictures_folder.glob("epochs*")).unlink(), r"epochs.* is missing"),
        (
            lambda pictures_folder: (pictures_folder / "stray.png").write_bytes(b"x"),
            r"stray\.png is no picture of this leaderboard",
        ),
        (lambda pictures_folder: (pictures_folder / "pictures.json").unlink(), r"has no pictures\.json"),
        (lambda pictures_folder: (pictures_folder / "pictures.json").write_text("{}"), r"no manifest of pictures"),
        (edit_manifest, r"pictures\.json was edited by hand"),
        (foreign_manifest, r"is of other results"),
    ],
)
def test_the_check_names_what_is_wrong_with_committed_pictures(committed, harm, message):
    harm(committed / "fakes" / "pictures")
    with pytest.raises(LeaderboardError, match=message):
        check_leaderboards(committed)


def test_a_manifest_cannot_name_files_elsewhere(committed):
    path = committed / "fakes" / "pictures" / "pictures.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["pictures"][0]["file"] = "../../README.svg"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(LeaderboardError, match="no manifest of pictures"):
        check_leaderboards(committed)


def test_file_names_are_plain_and_all_different():
    def order(balancer):
        return PictureOrder(
            picture=Picture(
                kind="samples", dataset="a/../b", imbalancer="Long Tail", balancer=balancer, title="", alt=""
            ),
            source=None,
            draw=lambda: None,
        )

    stems = file_stems([order("x (beta=0.9)"), order("x <beta=0.9>"), order("x" * 300), order("y" + "x" * 300)])
    assert stems[:2] == ["samples-a-b-long-tail-x-beta-0-9", "samples-a-b-long-tail-x-beta-0-9-2"]
    assert len(set(stems)) == 4
    assert all(re.fullmatch(r"[a-z0-9_-]{1,110}", stem) for stem in stems)


def test_svg_is_made_smaller_without_losing_what_is_seen():
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10"><g fill="none">'
        '<g class="x" role="y"><path aria-hidden="true" d="M0,0h1" /><path d="M0.123456,1.98h1e-9" stroke="red" '
        'opacity="1"/><text fill="#123">a &lt;&amp;&gt; b</text></g>'
        '<path d="M1,1" fill="red" display="none"/></g></svg>'
    )
    root = ElementTree.fromstring(compact_svg(text, "what <it> is"))
    (group,) = root.find("{*}g")
    assert [element.tag.partition("}")[2] for element in group] == ["path", "text"]
    assert group[0].attrib == {"d": "M0.1,2h0", "stroke": "red"}
    assert group[1].text == "a <&> b"
    assert root.findtext("{*}desc") == "what <it> is"


def test_what_elements_of_a_group_share_is_said_once_and_inherited():
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg"><g fill="none"><g transform="translate(1,1)">'
        '<text transform="translate(10,2.04)" fill="#123" font-size="8px">a</text>'
        '<text transform="translate(10,3) rotate(-45)" fill="#456" font-size="8px">b</text>'
        '<text transform="translate(0,0)" fill="#123" font-size="8px">c</text></g></g></svg>'
    )
    root = ElementTree.fromstring(compact_svg(text, ""))
    group = root[1][0]
    assert group.attrib == {"transform": "translate(1,1)", "font-size": "8px", "fill": "#123"}
    assert [element.attrib for element in group] == [
        {"x": "10", "y": "2"},
        {"transform": "translate(10,3) rotate(-45)", "fill": "#456"},
        {},
    ]


def test_many_classes_are_drawn_as_steps_and_pixels(finished, monkeypatch):
    monkeypatch.setattr("balancebench.pictures.classes.LABELLED_CLASSES", 2)
    monkeypatch.setattr("balancebench.pictures.confusion.COUNTED_CLASSES", 2)
    gallery, _ = finished.draw()
    assert gallery.problems == ()
    files = {entry.kind: entry.file for entry in gallery.pictures}
    assert files["confusion"].endswith(".png")
    assert "most images first" in (finished.folder / "pictures" / files["classes"]).read_text(encoding="utf-8")


def test_heat_maps_show_shares_of_each_true_class(finished):
    assert shares_of(np.array([[3, 1], [0, 0]]), 1).tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert shares_of(np.eye(4, dtype=np.int64), 2).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_page_on_pictures_names_every_kind():
    page = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE) == list(KINDS)


def test_help_and_list_import_nothing_that_draws():
    code = (
        "import sys\nfrom balancebench.cli.main import app\n"
        "for arguments in (['--help'], ['list'], ['plot', '--help'], ['plan', 'suites/quickstart.toml']):\n"
        "    try:\n        app(arguments)\n    except SystemExit:\n        pass\n"
        "print('drawing:', sorted({'altair', 'vl_convert', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "drawing: []"
