"""A site of committed leaderboards: an index of suites and methods, and a page each."""

import re

import pytest

from balancebench.leaderboard.files import write_records


@pytest.fixture
def committed(tmp_path, measured, small):
    write_records(tmp_path / "leaderboard", measured.suite, measured.cells, outcomes=measured.outcomes)
    other = small.suite.model_copy(update={"name": "other & more", "title": "Other <b>results</b>", "profile": "smoke"})
    write_records(tmp_path / "leaderboard", other, small.cells)
    return tmp_path / "leaderboard"


def test_site_writes_an_index_and_the_page_of_every_suite(call, committed, tmp_path):
    code, out, err = call("site", committed, "--output", "site")
    assert code == 0, err
    assert "2 suites" in out
    for name in ("hand_made", "other & more.smoke"):
        page = tmp_path / "site" / name / "index.html"
        assert page.read_bytes() == (committed / name / "leaderboard.html").read_bytes()
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Other &lt;b&gt;results&lt;/b&gt;" in index
    assert 'href="other%20%26%20more.smoke/index.html"' in index
    assert "Made under the profile smoke" in index


def test_the_index_names_each_method_across_suites_and_links_to_its_rows(call, committed, tmp_path, parts):
    call("site", committed, "--output", "site")
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    (smote,) = re.findall(r"<summary>smote .*?</details>", index, re.DOTALL)
    assert "3 tables" in smote
    assert "Chawla et al. 2002" in smote
    links = re.findall(r'href="([^"#]+)/index\.html#task=(\w+)&amp;row=(\w+)"', smote)
    assert len(links) == 3
    for name, task, row in links:
        page = parts((tmp_path / "site" / name.replace("%20", " ").replace("%26", "&") / "index.html").read_text())
        assert "smote" in [of["name"] for of in page.tables[task]["rows"] if of["id"] == row]


def test_the_index_has_neither_console_messages_nor_findings(call, committed, tmp_path, chromium):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    call("site", committed, "--output", "site")
    said = []
    for theme in ("light", "dark"):
        page = chromium.new_page(color_scheme=theme, viewport={"width": 390, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.goto((tmp_path / "site" / "index.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.locator("details").first.click()
        assert axe.run(page).response["violations"] == []
        page.close()
    assert said == []


def test_a_folder_without_records_is_refused_with_the_command_that_makes_some(call, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = call("site", "empty")
    assert (code, "balancebench leaderboard SUITE --records empty" in err) == (2, True)
