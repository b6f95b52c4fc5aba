"""Where the bars of a column lie, and what the classes of several runs average to."""

from pathlib import Path

import pytest
from samples import DETECTION, changed, found

from cebench.errors import InputError
from cebench.metrics.image_intervals import METHOD
from cebench.reporting.page.classes import class_tables
from cebench.reporting.page.tables import Bar, table_view
from cebench.reporting.records import Interval, Record
from cebench.reporting.tables import build_tables


def bars_of(*records: Record) -> dict[str, Bar | None]:
    """Row -> its bar in the column of detection."""
    (table,) = build_tables(found(*records))
    return {row.id: row.cells[2].bar for row in table_view(table).rows if not row.source}


def test_bars_lie_on_the_axis_of_what_was_measured() -> None:
    # The axis runs from 0.40 to 0.48; the paper has 0.445 and 0.434.
    interval = Interval(low=0.42, high=0.48, level=0.95, method=METHOD)
    bars = bars_of(changed(interval=interval), changed(row="random", value=0.40))
    assert bars["context"] == Bar(25.0, 100.0, 50.0, 56.25, "95 % interval 42.0 to 48.0")
    assert bars["random"] == Bar(None, None, 0.0, 42.5, "no interval")
    assert bars["motion"] is None


def test_a_published_number_outside_the_axis_has_no_mark() -> None:
    bars = bars_of(changed(value=0.2), changed(row="random", value=0.1))
    assert [bar.published for bar in bars.values() if bar] == [None, None]


def test_a_single_value_has_no_axis() -> None:
    assert bars_of(DETECTION)["context"] is None


def test_a_class_has_the_mean_of_the_runs_that_have_it(tmp_path: Path) -> None:
    runs = []
    for seed, lines in enumerate(("cat,0.4\ndog,nan", "cat,0.6\ndog,0.5")):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "per_class.csv").write_text(f"class,ap_voc07_11pt\n{lines}\n", encoding="utf-8")
        runs.append((folder / "record.json", changed(seed=seed)))
    (table,) = class_tables(build_tables(runs))
    assert (table.classes, table.runs) == (["cat", "dog"], {"context": 2})
    assert table.rows["context"] == pytest.approx([50.0, 50.0])


@pytest.mark.parametrize(
    "content", [b"class,ap_voc07_11pt\ncat,\xff\n", b"class,ap_voc07_11pt\ncat,much\n", b'a\0b\n"']
)
def test_damaged_scores_of_classes_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "per_class.csv").write_bytes(content)
    tables = build_tables([(tmp_path / "record.json", DETECTION)])
    if content.startswith(b"a"):
        assert class_tables(tables) == []
        return
    with pytest.raises(InputError, match=r"per_class\.csv: damaged: expected numbers in ap_"):
        class_tables(tables)
