import pytest

from cebench.errors import CebenchError
from cebench.reporting.published import load_published
from cebench.reporting.quoted import load_quoted, parse_quoted, quoted_page

QUOTED = load_quoted()

SMALL = """
checked = true
columns = [{ id = "detection", label = "Detection", group = "voc" }]
rows = [
  { id = "motion", label = "Motion", source = "Wang 2015" },
  { id = "motion-rescaled", label = "Motion, rescaled", source = "Wang 2015" },
  { id = "motionless", label = "Other", source = "Nobody" },
]
numbers = [
  { row = "motion", column = "detection", percent = 47.4, quoted_by = ["b", "a"] },
  { row = "motion-rescaled", column = "detection", percent = 47.0, quoted_by = ["a"] },
  { row = "motion-rescaled", column = "detection", percent = 47.2, quoted_by = ["b"] },
]
conflicts = [{ row = "motion-rescaled", column = "detection", note = "47.0 and 47.2" }]
groups.voc = { title = "VOC", metric = "mAP" }
sources = { a = "First", b = "Second" }
"""


def test_rows_and_variants_by_hand() -> None:
    quoted = parse_quoted(SMALL)
    assert quoted.variants("motion") == ["motion", "motion-rescaled"]
    assert [n.percent for n in quoted.find(["motion-rescaled"], "detection")] == [47.0, 47.2]
    page = quoted_page(quoted)
    assert "| Motion, rescaled | 47.0 [1], 47.2 [2] |" in page
    assert "| Motion | 47.4 [1, 2] |" in page
    assert "| Other" not in page
    assert "warning" not in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('conflicts = [{ row = "motion-rescaled"', 'conflicts = [{ row = "motion"', "no conflict"),
        ('quoted_by = ["a"]', 'quoted_by = ["c"]', "no such source: c"),
        ('{ row = "motion", column', '{ row = "moton", column', "moton detection: no such row"),
        ('group = "voc"', 'group = "coco"', "no such group: coco"),
        ("percent = 47.4", "percent = 474", "less than 100"),
        ('quoted_by = ["a"]', "quoted_by = []", "at least 1 item"),
    ],
)
def test_a_damaged_file_is_one_line(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(CebenchError, match=message):
        parse_quoted(SMALL.replace(old, new))


def test_numbers_that_differ_from_the_paper_are_stated_as_conflicts() -> None:
    stated = {(conflict.row, conflict.column) for conflict in QUOTED.conflicts}
    for published in load_published().numbers:
        for quoted in QUOTED.find([published.row], published.column):
            if abs(quoted.percent / 100 - published.value) > 5e-4:
                assert (published.row, published.column) in stated


def test_some_numbers_of_the_file() -> None:
    def percents(row: str, column: str) -> list[float]:
        return [number.percent for number in QUOTED.find([row], column)]

    assert percents("context", "segmentation") == [29.7]
    assert percents("imagenet", "classification") == [78.3, 79.9]
    assert percents("colour", "linear-places_conv4") == [30.3]
    assert percents("resnet50-random", "shots_64") == [21.32]
    assert not QUOTED.checked
