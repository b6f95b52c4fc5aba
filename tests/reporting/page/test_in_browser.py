"""The page in headless Chromium: read, sorted and switched, with an empty console."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import CHROMEDRIVER, CHROMIUM, Browser, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="no chromium with chromedriver"),
]

TABLE = "document.getElementById('table-2')"
ROWS = (
    f"return [...{TABLE}.tBodies[0].rows].filter(r => r.offsetHeight)"
    ".map(r => r.cells[0].innerText)"
)


@pytest.fixture
def browser(tmp_path: Path, runs: Path, page_of: Callable[[Path], str]) -> Iterator[Browser]:
    page = tmp_path / "page.html"
    page.write_text(page_of(runs), encoding="utf-8")
    with chromium(tmp_path / "profile") as opened:
        opened.open(page)
        yield opened
        assert opened.console() == []


def click(browser: Browser, selector: str) -> None:
    browser.run("document.querySelector(arguments[0]).click()", selector)


def sort_by(browser: Browser, place: int) -> list[str]:
    """The first words of the rows after a click on the heading in that place."""
    click(browser, f"#table-2 thead tr:last-child th:nth-child({place}) button")
    return [str(text).split()[0] for text in browser.run(ROWS)]


def test_the_tables_are_read_and_sorted(browser: Browser) -> None:
    captions = browser.run("return [...document.querySelectorAll('caption')].map(c => c.innerText)")
    assert "Table 2. Transfer of pretrained features to PASCAL VOC" in captions
    before = [str(text).split()[0] for text in browser.run(ROWS)]
    assert before == ["ImageNet", "Random", "Autoencoder", "Agrawal", "Wang", "Doersch", "Ours"]
    # Method, supervision, time (2 columns), classification: rows without a number come last.
    assert sort_by(browser, 5)[:2] == ["Random", "Ours"]
    assert sort_by(browser, 5)[:2] == ["Ours", "Random"]
    sorted_by = browser.run(
        f"return [...{TABLE}.querySelectorAll('th[aria-sort]')].map(th => th.ariaSort)"
    )
    assert sorted_by.count("descending") == 1
    assert sorted_by.count("none") == len(sorted_by) - 1
    assert sort_by(browser, 1)[:2] == ["Agrawal", "Autoencoder"]


def test_a_heading_is_sorted_by_from_the_keyboard(browser: Browser) -> None:
    focused = browser.run(
        f"const b = {TABLE}.querySelector('button.sort'); b.focus();"
        "return document.activeElement === b && b.tabIndex === 0 && b.type === 'button'"
    )
    assert focused


def test_published_numbers_and_later_papers_are_switched(browser: Browser) -> None:
    assert len(browser.run(ROWS)) == 7
    click(browser, "[data-shows=quoted]")
    assert len(browser.run(ROWS)) > 20
    shown = f"return {TABLE}.querySelector('td.published').offsetWidth > 0"
    assert browser.run(shown)
    click(browser, "[data-shows=published]")
    assert not browser.run(shown)


def test_classes_of_two_rows_are_compared(browser: Browser) -> None:
    texts = browser.run(
        "const tool = document.querySelector('[data-classes=\"2-classification\"]');"
        "return [...tool.querySelectorAll('svg text')].map(t => t.textContent)"
    )
    assert texts == ["cat", "+10.0", "dog", "+0.0"]


def test_galleries_are_ordered_by_disagreement(browser: Browser) -> None:
    errors = browser.run(
        "const select = document.querySelector('.gallery-tool select');"
        "select.value = 'disagreement of context and random';"
        "select.dispatchEvent(new Event('change'));"
        "return [...document.querySelectorAll('.strip')].map(s => JSON.parse(s.dataset.errors))"
    )
    spread = [abs(of_image["random"] - of_image["context"]) for of_image in errors]
    assert len(spread) > 6
    assert spread == sorted(spread, reverse=True)


def test_every_picture_is_shown(browser: Browser) -> None:
    widths = browser.run("return [...document.images].map(i => i.naturalWidth)")
    assert len(widths) > 12
    assert set(widths) == {24}


def test_the_theme_is_switched(browser: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.run(ground)
    click(browser, "#theme")
    assert browser.run(ground) != before


def test_the_page_is_no_wider_than_a_phone(browser: Browser) -> None:
    browser.resize(390, 800)
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
