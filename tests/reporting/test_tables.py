"""The order of rows and columns, and what stands in a cell as text."""

import pytest
from samples import DETECTION, changed, found

from cebench.metrics.image_intervals import METHOD
from cebench.reporting.formats import to_markdown
from cebench.reporting.records import Interval, Record
from cebench.reporting.tables import build_tables

PSNR = changed(
    table="1",
    row="context-gan",
    column="psnr",
    protocol="inpainting",
    metric="psnr_per_image_mean_db",
    value=18.0,
    unit="db",
)
TIME = changed(
    task="pretraining",
    column="pretraining_time",
    protocol="pretraining-time",
    metric="pretraining_seconds",
    value=5400.0,
    unit="s",
    higher_is_better=False,
    recipe=DETECTION.weights.recipe,
)
ROWS = [
    *("imagenet", "random", "autoencoder", "egomotion", "motion", "relative-context", "context"),
]


def markdown_row(label: str, *records: Record) -> list[str]:
    """The cells of the only line of the Markdown tables that starts with `label`."""
    text = to_markdown(build_tables(found(*records)))
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def runs(*values: tuple[int, int, float]) -> list[Record]:
    """Detection records of (pretraining seed, seed, value)."""
    return [changed(weights={"seed": p}, seed=s, value=value) for p, s, value in values]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([(0, 0, 0.44)], "44.0, 1x1"),
        ([(0, 0, 0.40), (0, 1, 0.44), (0, 2, 0.45)], "43.0 ± 2.6, 1x3"),
        ([(0, 0, 0.40), (1, 0, 0.44), (2, 0, 0.45)], "43.0 ± 2.6, 3x1"),
        # See test_cells: sqrt(1.9e-3) = 0.0436.
        ([(0, 0, 0.40), (0, 1, 0.42), (5, 0, 0.46), (5, 1, 0.48)], "44.0 ± 4.4, 2x2"),
        ([(0, 0, 0.40), (1, 0, 0.46), (1, 1, 0.46)], "43.0 ± 4.2, 2x1-2"),
    ],
)
def test_a_cell_says_how_often_it_was_replicated(
    values: list[tuple[int, int, float]], text: str
) -> None:
    assert markdown_row("Ours", *runs(*values))[7] == text


def test_a_time_alone_makes_a_table_unless_the_weights_are_measured_in_another() -> None:
    low_shot = changed(table="low-shot", column="shots_4", metric="mean_ap_area", draws=5)
    assert [table.layout.id for table in build_tables(found(TIME))] == ["2"]
    assert [table.layout.id for table in build_tables(found(TIME, low_shot))] == ["low-shot"]
    both = build_tables(found(TIME, low_shot, DETECTION))
    assert [table.layout.id for table in both] == ["2", "low-shot"]


def test_draws_stand_in_the_cell() -> None:
    low_shot = changed(table="low-shot", column="shots_4", metric="mean_ap_area", draws=5)
    assert markdown_row("context", low_shot)[3] == "44.0, 1x1, 5 draws"


def test_measured_published_and_difference_stand_beside_each_other() -> None:
    assert markdown_row("Ours (context)", DETECTION)[7:10] == [
        "44.0, 1x1",
        "44.5 (other tier)",
        "\N{MINUS SIGN}0.5",
    ]


def test_cell_without_record_is_a_dash() -> None:
    assert markdown_row("Wang", DETECTION) == [
        *("Wang et al. [39] (motion)", "motion", "—", "1 week", "—", "58.7", "—"),
        *("—", "47.4", "—", "—", "—", "—"),
    ]


def test_vanishing_difference_has_no_minus_sign() -> None:
    assert markdown_row("Ours", changed(value=0.44499))[9] == "+0.0"


def test_another_architecture_has_no_published_number_beside_it() -> None:
    resnet = changed(row="imagenet", weights={"architecture": "torchvision/resnet50"})
    assert markdown_row("imagenet (torchvision/resnet50)", resnet)[7:10] == ["44.0, 1x1", "—", "—"]
    assert markdown_row("ImageNet", resnet)[7:10] == ["—", "56.8", "—"]


def test_decibels_are_not_multiplied() -> None:
    row = markdown_row("Our Reconstruction", PSNR)
    assert row[-3:] == ["18.00, 1x1", "18.58 (other tier)", "\N{MINUS SIGN}0.58"]
    assert row[1:4] == ["—", "9.37", "—"]


def test_a_published_number_of_more_images_is_not_judged() -> None:
    interval = Interval(low=0.40, high=0.50, level=0.95, method=METHOD)
    cells = {"interval": interval, "tier": "paper", "weights": {"tier": "paper"}}
    assert markdown_row("Ours (context)", changed(**cells))[8] == "44.5 (other images)"
    assert markdown_row("Ours (context)", changed(count=4952, **cells))[8] == "44.5 (inside)"


def test_a_fill_that_draws_nothing_is_one_number_however_often_it_was_computed() -> None:
    baseline = changed(PSNR, row="nn-hog", of_weights=False, value=12.0)
    again, other = changed(baseline, seed=1), changed(baseline, seed=2, value=13.0)
    assert markdown_row("NN-inpainting (HOG", baseline, again)[-3] == "12.00, n=1"
    assert markdown_row("NN-inpainting (HOG", baseline, again, other)[-3] == "12.50 ± 0.71, n=2"


def test_baselines_and_times_count_runs() -> None:
    baseline = changed(PSNR, row="nn-hog", of_weights=False, value=12.0)
    again = changed(baseline, seed=1, value=13.0)
    assert markdown_row("NN-inpainting (HOG", baseline, again)[-3] == "12.50 ± 0.71, n=2"
    times = [
        changed(TIME, weights={"seed": seed}, seed=seed, value=value)
        for seed, value in enumerate((3600.0, 7200.0))
    ]
    assert markdown_row("Ours", *times)[2:4] == ["1.5 ± 0.7 h, n=2", "14 hours"]


def test_rows_follow_the_paper_and_unlisted_rows_come_last() -> None:
    records = [changed(row=row) for row in ("zebra", "context", "my|method")]
    (table,) = build_tables(found(*records))
    assert list(dict.fromkeys(table.cells["row"])) == [*ROWS, "my|method", "zebra"]
    assert r"| my\|method " in to_markdown([table])


def test_listed_extra_row_appears_only_with_a_record() -> None:
    assert "L2 only" not in to_markdown(build_tables(found(PSNR)))
    assert "L2 only" in to_markdown(build_tables(found(PSNR, changed(PSNR, row="context"))))


def test_only_tables_with_records_are_built_in_the_papers_order() -> None:
    assert [table.layout.id for table in build_tables(found(DETECTION))] == ["2"]
    assert [table.layout.id for table in build_tables(found(DETECTION, PSNR))] == ["1", "2"]
    assert build_tables(found(changed(measurements=()))) == []


def test_the_order_of_reading_does_not_show() -> None:
    records = [*runs((0, 0, 0.4), (0, 1, 0.5), (1, 0, 0.6)), changed(row="random"), TIME, PSNR]
    assert to_markdown(build_tables(found(*records))) == to_markdown(
        build_tables(found(*reversed(records)))
    )
