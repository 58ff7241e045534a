"""Samples and heat-maps beside a leaderboard: carried by its page, opened when asked for, named where too many."""

import base64
import hashlib
import json

import pytest

from balancebench.leaderboard.files import check_leaderboards, write_records
from balancebench.leaderboard.page import embedded_pictures
from balancebench.leaderboard.page.embedded_pictures import pictures_beside
from balancebench.leaderboard.picture_manifest import Manifest, PictureEntry, manifest_text, results_digest
from balancebench.pictures.raster import blank, png_bytes

PNG = png_bytes(blank(40, 30))


@pytest.fixture
def folder(tmp_path, measured):
    """A leaderboard with samples of smote on one data set, and heat-maps of one task on the other."""
    root = tmp_path / "leaderboard"
    pictures = root / "hand_made" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "samples.png").write_bytes(PNG)
    entry = PictureEntry(
        kind="samples",
        dataset="digits",
        imbalancer="long_tail",
        balancer="smote",
        title="Real and made images",
        alt="Some images",
        caption="Kept ones on the left.",
        file="samples.png",
        sha256=hashlib.sha256(PNG).hexdigest(),
        source_sha256="0" * 64,
    )
    manifest = Manifest(results_sha256=results_digest(measured.board), pictures=(entry,))
    (pictures / "pictures.json").write_text(manifest_text(manifest), encoding="utf-8")
    explanations = root / "hand_made" / "explanations"
    explanations.mkdir()
    (explanations / "letters-long_tail-small_cnn-grad_cam.png").write_bytes(PNG)
    (explanations / "of-another-suite.png").write_bytes(PNG)
    write_records(root, measured.suite, measured.cells, outcomes=measured.outcomes)
    return root / "hand_made"


def page_of(folder):
    return (folder / "leaderboard.html").read_text(encoding="utf-8")


def test_a_row_opens_its_samples_and_the_heat_maps_of_its_task(browse, folder, parts):
    html = page_of(folder)
    digits, letters = parts(html).tables.values()
    rows = {row["name"]: row["id"] for row in digits["rows"]}
    page = browse(html, hash_=f"row={rows['smote']}")
    page.locator("#detail .pictures summary").click()
    image = page.locator("#detail img")
    image.wait_for()
    assert image.get_attribute("src") == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert image.get_attribute("alt") == "Some images"
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    page.locator("#frame button", has_text="trader").click()
    assert page.locator("#detail .pictures").count() == 0
    page.select_option("#task", letters["id"])
    folded = page.locator("#detail .pictures summary")
    folded.wait_for()
    assert folded.all_inner_texts() == ["What the networks look at: grad cam"]


def test_the_check_finds_a_page_whose_pictures_are_others(folder):
    assert check_leaderboards(folder.parent) == ["hand_made"]
    (folder / "explanations" / "letters-long_tail-small_cnn-grad_cam.png").write_bytes(PNG + b"more")
    with pytest.raises(Exception, match=r"leaderboard\.html is stale"):
        check_leaderboards(folder.parent)


def test_pictures_beyond_what_a_page_carries_are_named_with_their_files(browse, folder, measured, parts, monkeypatch):
    monkeypatch.setattr(embedded_pictures, "MOST_BYTES", len(PNG) * 5 // 4)
    write_records(folder.parent, measured.suite, measured.cells, outcomes=measured.outcomes)
    page = parts(page_of(folder))
    assert list(json.loads(page.blocks["pictures"])) == ["pictures/samples.png"]
    letters = list(page.tables.values())[1]
    assert [picture["embedded"] for picture in letters["pictures"]] == [False]
    opened = browse(page_of(folder), hash_=f"task={letters['id']}&row={letters['rows'][0]['id']}")
    said = opened.locator("#detail .pictures").inner_text()
    assert "beside this page as explanations/letters-long_tail-small_cnn-grad_cam.png" in said


def test_a_leaderboard_without_pictures_has_no_block_of_them(measured, parts, tmp_path):
    assert "pictures" not in parts(measured.html).blocks
    assert pictures_beside(tmp_path, measured.board) == ()
