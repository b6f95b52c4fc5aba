"""What stands on the page, read back from its HTML."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from outcome_makers import CLASSES
from samples import DETECTION, changed

from cebench.errors import InputError
from cebench.reporting.page.pictures import PictureBudget
from cebench.reporting.page.render import to_html
from cebench.reporting.records import load_record, write_record

PageOf = Callable[[Path], str]
VOID = {"meta", "input", "img", "br", "line"}


class Elements(HTMLParser):
    """Tags with their attributes, and whether every element was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def sections(text: str) -> set[str]:
    return set(re.findall(r'<section id="([\w-]+)">', text))


def test_records_alone_give_tables_and_runs(tmp_path: Path, page_of: PageOf) -> None:
    write_record(tmp_path / "record.json", DETECTION)
    text = page_of(tmp_path)
    assert sections(text) == {"tables", "runs", "reading"}
    assert '<span class="value">44.0</span>' in text
    assert ">other tier</small>" in text
    assert "This page has none" in text


def test_run_directories_add_classes_curves_and_pictures(runs: Path, page_of: PageOf) -> None:
    text = page_of(runs)
    assert sections(text) == {
        *("tables", "runs", "reading", "classes"),
        *("precision-recall", "learning-curves", "pictures"),
    }
    assert re.search(r'<b class="letters" [^>]*>a</b>', text)
    assert '<details class="pairs">' in text
    assert '"rows": {"random": [30.0, 50.0, null], "context": [40.0, 50.0, null]}' in text


def test_classes_without_a_table_are_scored_from_the_outcome(runs: Path, page_of: PageOf) -> None:
    for path in runs.rglob("per_class.csv"):
        path.unlink()
    (data,) = re.findall(r'id="classes-2-classification">(.*?)</script>', page_of(runs))
    rows = json.loads(data)["rows"]
    (path,) = runs.glob("context-classification/record.json")
    (headline,) = load_record(path).measurements
    assert len(rows["context"]) == CLASSES
    assert sum(rows["context"]) / CLASSES == pytest.approx(100 * headline.value)


def test_a_page_without_a_run_says_so(runs: Path, page_of: PageOf) -> None:
    text = to_html([], [])
    assert Elements(text).open == []
    assert "No run is finished yet." in text
    assert "No run is finished yet." not in page_of(runs)


def test_every_element_is_closed_and_nothing_is_fetched(runs: Path, page_of: PageOf) -> None:
    text = page_of(runs)
    elements = Elements(text)
    assert elements.open == []
    sources = [
        str(a[name]) for _, a in elements.found for name in ("src", "href", "srcset") if name in a
    ]
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert "url(" not in text
    assert "@import" not in text
    assert str(runs) not in text


def test_pictures_have_alt_texts_and_tables_captions_and_scopes(
    runs: Path, page_of: PageOf
) -> None:
    elements = Elements(page_of(runs))
    assert all(image["alt"] for image in elements.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in elements.all("svg"))
    assert len(elements.all("caption")) == len(elements.all("table"))
    assert {heading.get("scope") for heading in elements.all("th")} == {"col", "row", "colgroup"}
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_text_of_records_is_escaped_everywhere(runs: Path, page_of: PageOf) -> None:
    evil = "</script><script>alert(1)</script>\"'"
    for path in runs.glob("context-*/record.json"):
        record = load_record(path)
        write_record(
            path, changed(record, row=evil, device=evil, data=replace(record.data, name=evil))
        )
    text = page_of(runs)
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "</script><script>" not in text
    assert Elements(text).open == []


def test_each_objective_of_one_method_has_its_own_sheet_and_gallery(
    ablations: Path, page_of: PageOf
) -> None:
    text = page_of(ablations)
    rows = ("context-gan", "context-gan-adversarial", "context-gan-l2")
    for row in rows:
        assert text.count(f"(inpainting, {row}, pretraining 0, seed 0)</figcaption>") == 1
        assert text.count(f"(pretraining, {row}, seed 0)</figcaption>") == 1
        assert f'alt="1: {row}, L1 in the hole' in text
    assert "inpainting, context-gan, pretraining 1" not in text.split('<section id="runs">')[0]
    assert "Rows not shown: baseline-5, baseline-6, baseline-7, baseline-8." in text


def test_smoke_pictures_say_that_nothing_was_trained(runs: Path, page_of: PageOf) -> None:
    text = page_of(runs)
    assert "untrained: 40 steps, then 30 of classification" in text


def test_curves_replace_the_picture_of_them(runs: Path, page_of: PageOf) -> None:
    assert "Precision over recall of every class" not in page_of(runs)
    for path in runs.glob("*-classification/record.json"):
        write_record(path, replace(load_record(path), outcome_sha256=None))
    text = page_of(runs)
    assert "Precision over recall of every class" in text
    assert "precision-recall" not in sections(text)


def test_the_same_records_give_the_same_bytes(runs: Path, page_of: PageOf) -> None:
    assert page_of(runs) == page_of(runs)


def test_quoted_rows_are_there_and_marked(tmp_path: Path, page_of: PageOf) -> None:
    write_record(tmp_path / "record.json", DETECTION)
    text = page_of(tmp_path)
    assert '<tr class="quoted">' in text
    quoted = text[text.index('<tr class="quoted">') :]
    numbers = [float(n) for n in re.findall(r'data-sort="([0-9.]+)"', quoted.split("</tr>")[0])]
    assert numbers
    assert max(numbers) < 1  # Fractions, as those of the rows above.
    cells = re.findall(r'class="published" data-sort="([0-9.]+)">([0-9.]+)', quoted)
    assert cells
    assert [100 * float(sort) for sort, _ in cells] == pytest.approx([float(p) for _, p in cells])
    assert "Noroozi, Favaro 2016" in text
    assert "compare with the paper before you print one" in text


def test_pictures_stay_within_their_budget_and_the_rest_is_named(runs: Path) -> None:
    path = next(runs.rglob("mistakes.png"))
    budget = PictureBudget(remaining=400)
    assert budget.embed(path, "first")
    while budget.embed(path, "one more"):
        pass
    assert 0 <= budget.remaining < 400
    assert budget.left_out == ["one more"]
    path.write_bytes(b"no picture")
    assert PictureBudget().embed(path, "a damaged one") is None


@pytest.mark.parametrize("width", [40, 4000])
def test_pictures_are_scaled_down_only(runs: Path, width: int) -> None:
    from PIL import Image

    path = runs / "wide.png"
    Image.new("RGB", (width, 100)).save(path)
    picture = PictureBudget().embed(path, "wide")
    assert picture
    assert (picture.width, picture.height) == ((40, 100) if width == 40 else (1600, 40))


@pytest.mark.parametrize("content", [b"row,image,mean_l1\na,b,\xff\n", b"row,image\na,b\n"])
def test_damaged_errors_of_images_are_named(
    ablations: Path, page_of: PageOf, content: bytes
) -> None:
    path = next(ablations.rglob("per_image.csv"))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"per_image\.csv: damaged: expected the columns row"):
        page_of(ablations)
