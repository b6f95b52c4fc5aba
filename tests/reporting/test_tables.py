"""Tables 1 and 2: the published numbers, means over seeds, and what may not stand together."""

import csv
import io
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import DETECTION

from cebench.errors import InputError
from cebench.reporting.formats import to_csv, to_html, to_json, to_latex, to_markdown
from cebench.reporting.published import load_published
from cebench.reporting.records import Record
from cebench.reporting.tables import build_tables

PSNR = replace(
    DETECTION,
    table="1",
    row="context-gan",
    column="psnr",
    protocol="inpainting",
    metric="psnr_per_image_mean_db",
    value=18.0,
    unit="db",
)
TIME = replace(
    DETECTION,
    column="pretraining_time",
    protocol="pretraining-time",
    metric="pretraining_seconds",
    value=5400.0,
    unit="s",
    higher_is_better=False,
)


def found(*records: Record) -> list[tuple[Path, Record]]:
    return [(Path(f"run{place}/record.json"), record) for place, record in enumerate(records)]


def markdown_row(label: str, *records: Record) -> list[str]:
    """The cells of the only line of the Markdown tables that starts with `label`."""
    text = to_markdown(build_tables(found(*records)))
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# The tables as they stand in the paper, in percent and decibels.
TABLE_1 = {
    "nn-hog": (19.92, 6.92, 12.79),
    "nn-features": (15.10, 4.30, 14.70),
    "context-gan": (9.37, 1.96, 18.58),
}
TABLE_2 = {
    "imagenet": (78.2, 56.8, 48.0),
    "random": (53.3, 43.4, 19.8),
    "autoencoder": (53.8, 41.9, 25.2),
    "egomotion": (52.9, 41.8, None),
    "motion": (58.7, 47.4, None),
    "relative-context": (55.3, 46.6, None),
    "context": (56.5, 44.5, 30.0),
}
PRETRAINING_TIMES = {
    "imagenet": "3 days",
    "random": "<1 minute",
    "autoencoder": "14 hours",
    "egomotion": "10 hours",
    "motion": "1 week",
    "relative-context": "4 weeks",
    "context": "14 hours",
}


def test_published_numbers_are_those_of_the_paper() -> None:
    expected = {}
    for row, (l1, l2, psnr) in TABLE_1.items():
        expected["1", row, "mean_l1"] = l1 / 100
        expected["1", row, "mean_l2"] = l2 / 100
        expected["1", row, "psnr"] = psnr
    for row, values in TABLE_2.items():
        columns = ("classification", "detection", "segmentation")
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                expected["2", row, column] = value / 100
    numbers = load_published().numbers
    quality = [number for number in numbers if number.column != "pretraining_time"]
    assert {(n.table, n.row, n.column): n.value for n in quality} == pytest.approx(expected)
    times = {n.row: n.printed for n in numbers if n.column == "pretraining_time"}
    assert times == PRETRAINING_TIMES


def test_published_values_agree_with_their_printed_text() -> None:
    units = {"minute": 60, "hours": 3600, "days": 86400, "week": 604800, "weeks": 604800}
    for number in load_published().numbers:
        text = number.printed
        if text.endswith("%"):
            assert number.value == pytest.approx(float(text[:-1]) / 100)
        elif text.endswith(" dB"):
            assert number.value == float(text[:-3])
        else:
            amount, unit = text.removeprefix("<").split()
            assert number.value == float(amount) * units[unit]


def test_each_published_number_has_a_row_a_column_and_a_source() -> None:
    published = load_published()
    for number in published.numbers:
        layout = published.layouts[number.table]
        assert layout.source
        assert number.row in [row.id for row in layout.rows]
        (column,) = [column for column in layout.columns if column.id == number.column]
        assert column.aggregation


def test_headline_metrics_are_the_protocols_own() -> None:
    layouts = load_published().layouts
    headlines = {
        c.id: c.metric
        for layout in layouts.values()
        if layout.source
        for c in layout.columns
        if not c.id.startswith("classification_")
    }
    assert headlines == {
        "mean_l1": "mean_l1",
        "mean_l2": "mean_l2",
        "psnr": "psnr_per_image_mean_db",
        "ssim": "ssim",
        "pretraining_time": "pretraining_seconds",
        "classification": "mean_ap_sklearn",
        "detection": "mean_ap_voc07_11pt",
        "segmentation": "mean_iou",
    }


def test_three_seeds_give_mean_and_sample_deviation() -> None:
    # The mean is 0.43; squared deviations 9e-4 + 1e-4 + 4e-4 over n - 1 = 2: 7e-4, its root 0.0265.
    values = (0.40, 0.44, 0.45)
    records = [replace(DETECTION, seed=seed, value=value) for seed, value in enumerate(values)]
    (table,) = build_tables(found(*records))
    (cell,) = table.cells[table.cells["n"] > 0].to_dict("records")
    assert cell["mean"] == pytest.approx(statistics.mean(values))
    assert cell["sd"] == pytest.approx(statistics.stdev(values))
    assert cell["seeds"] == [0, 1, 2]
    assert "43.0 ± 2.6 (n=3)" in markdown_row("Ours", *records)


def test_one_seed_has_no_deviation() -> None:
    row = markdown_row("Ours (context)", DETECTION)
    detection = row[7:10]
    assert detection == ["44.0 (n=1)", "44.5", "\N{MINUS SIGN}0.5"]


def test_cell_without_record_is_a_dash() -> None:
    assert markdown_row("Wang", DETECTION) == [
        *("Wang et al. [39] (motion)", "motion", "—", "1 week", "—", "58.7", "—"),
        *("—", "47.4", "—", "—", "—", "—"),
    ]


def test_vanishing_difference_has_no_minus_sign() -> None:
    assert markdown_row("Ours", replace(DETECTION, value=0.44499))[9] == "+0.0"


def test_decibels_are_not_multiplied() -> None:
    row = markdown_row("Our Reconstruction", PSNR)
    assert row[-3:] == ["18.00 (n=1)", "18.58", "\N{MINUS SIGN}0.58"]
    assert row[1:4] == ["—", "9.37", "—"]


def test_time_is_printed_in_a_readable_unit() -> None:
    records = [replace(TIME, seed=seed, value=value) for seed, value in enumerate((3600, 7200))]
    assert markdown_row("Ours", *records)[2:4] == ["1.5 ± 0.7 h (n=2)", "14 hours"]


def test_rows_follow_the_paper_and_unlisted_rows_come_last() -> None:
    records = [replace(DETECTION, row=row) for row in ("zebra", "context", "my|method")]
    (table,) = build_tables(found(*records))
    rows = list(dict.fromkeys(table.cells["row"]))
    assert rows == [*TABLE_2, "my|method", "zebra"]
    assert r"| my\|method " in to_markdown([table])


def test_listed_extra_row_appears_only_with_a_record() -> None:
    assert "L2 only" not in to_markdown(build_tables(found(PSNR)))
    assert "L2 only" in to_markdown(build_tables(found(PSNR, replace(PSNR, row="context"))))


def test_only_tables_with_records_are_built_in_the_papers_order() -> None:
    assert [table.layout.id for table in build_tables(found(DETECTION))] == ["2"]
    assert [table.layout.id for table in build_tables(found(DETECTION, PSNR))] == ["1", "2"]


def test_identical_duplicates_count_once() -> None:
    copy = replace(DETECTION, started="2026-02-02T00:00:00Z", seconds=9.0)
    (table,) = build_tables(found(DETECTION, copy))
    assert table.cells["n"].sum() == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("value", {"value": 0.5}),
        ("weights_sha256", {"weights_sha256": "d" * 64}),
        ("threads", {"threads": 8}),
        ("tier", {"tier": "paper"}),
    ],
)
def test_two_different_records_of_one_seed_are_refused(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"run0.*run1.*seed 0 differ in {field}"):
        build_tables(found(DETECTION, replace(DETECTION, **change)))


@pytest.mark.parametrize("row", ["context", "random"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("tier", {"tier": "smoke"}),
        ("protocol", {"protocol": "voc2012-detection"}),
        ("protocol_version", {"protocol_version": 2}),
        ("data_fingerprint", {"data_fingerprint": "d" * 64}),
        ("recipe_sha256", {"recipe_sha256": "d" * 64}),
    ],
)
def test_mixtures_within_a_column_are_refused(row: str, field: str, change: dict[str, Any]) -> None:
    other = replace(DETECTION, row=row, seed=1, **change)
    with pytest.raises(InputError, match=rf"run0/.*run1/.*mixes two values of {field}:"):
        build_tables(found(DETECTION, other))


def test_tiers_never_mix_in_a_table_even_across_columns() -> None:
    other = replace(DETECTION, column="segmentation", metric="mean_iou", tier="smoke")
    with pytest.raises(InputError, match=r"table 2 mixes two values of tier: 'short' and 'smoke'"):
        build_tables(found(DETECTION, other))


def test_columns_may_differ_in_protocol_data_and_recipe() -> None:
    other = replace(
        DETECTION,
        column="segmentation",
        metric="mean_iou",
        protocol="voc2012-segmentation",
        data_fingerprint="d" * 64,
        recipe_sha256="e" * 64,
    )
    assert len(build_tables(found(DETECTION, other))) == 1


def test_two_metrics_in_a_cell_are_refused() -> None:
    other = replace(DETECTION, seed=1, metric="mean_ap_area")
    with pytest.raises(InputError, match=r"mixes two values of metric: 'mean_ap_voc07_11pt'"):
        build_tables(found(DETECTION, other))


def test_two_units_of_one_metric_are_refused() -> None:
    area = replace(DETECTION, metric="mean_ap_area")
    records = [DETECTION, replace(DETECTION, seed=1), area, replace(area, seed=1, unit="db")]
    with pytest.raises(InputError, match=r"mean_ap_area mixes two values of unit"):
        build_tables(found(*records))


def test_headline_in_another_unit_is_refused() -> None:
    with pytest.raises(InputError, match=r"run0/record.json: unit .*'db', expected 'fraction'"):
        build_tables(found(replace(DETECTION, unit="db")))


@pytest.mark.parametrize("change", [{"table": "3"}, {"column": "psnr"}])
def test_unknown_table_or_column_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"run0/record.json: table .* has no column"):
        build_tables(found(replace(DETECTION, **change)))


def test_methods_may_differ_in_recipe_of_their_pretraining() -> None:
    other = replace(TIME, row="autoencoder", recipe_sha256="d" * 64, data_fingerprint="e" * 64)
    assert len(build_tables(found(TIME, other))) == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [("recipe_sha256", {"recipe_sha256": "d" * 64}), ("device", {"device": "x"})],
)
def test_one_time_has_one_recipe_and_machine(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"row context.*mixes two values of {field}"):
        build_tables(found(TIME, replace(TIME, seed=1, **change)))


def test_smoke_table_says_that_it_is_no_reproduction() -> None:
    text = to_markdown(build_tables(found(replace(DETECTION, tier="smoke"))))
    assert "This is a smoke run" in text
    assert "no reproduction" in text


def test_notes_say_protocol_data_seeds_and_hardware() -> None:
    text = to_markdown(build_tables(found(DETECTION, replace(DETECTION, seed=4))))
    assert "protocol voc2007-detection version 1" in text
    assert "data VOC2007 (fingerprint cccccccccccc)" in text
    assert "seeds 0, 4" in text
    assert "an imaginary CPU, 2 threads" in text


def test_csv_carries_every_metric_unscaled() -> None:
    area = replace(DETECTION, metric="mean_ap_area", value=0.123456789012)
    lines = list(csv.DictReader(io.StringIO(to_csv(build_tables(found(DETECTION, area, PSNR))))))
    (line,) = [line for line in lines if line["metric"] == "mean_ap_area"]
    assert (line["table"], line["mean"], line["headline"]) == ("2", "0.123456789012", "False")
    (empty,) = [
        line for line in lines if (line["row"], line["column"]) == ("motion", "classification")
    ]
    assert (empty["n"], empty["mean"], empty["published"]) == ("0", "", "0.587")


def test_column_that_the_paper_lacks_is_in_csv_only() -> None:
    ssim = replace(PSNR, column="ssim", metric="ssim", unit="fraction", value=0.75)
    tables = build_tables(found(PSNR, ssim))
    assert "context-gan,ssim,ssim,True,fraction,True,1,[0],0.75" in to_csv(tables)
    assert "ssim" not in to_markdown(tables).lower()


def test_json_carries_every_metric_and_null_without_record() -> None:
    area = replace(DETECTION, metric="mean_ap_area", value=0.25)
    (table,) = json.loads(to_json(build_tables(found(DETECTION, area))))["tables"]
    cells = {(c["row"], c["column"], c["metric"]): c for c in table["cells"]}
    assert cells["context", "detection", "mean_ap_area"] == {
        **{"row": "context", "column": "detection", "metric": "mean_ap_area", "headline": False},
        **{"unit": "fraction", "higher_is_better": True, "n": 1, "seeds": [0], "mean": 0.25},
        **{"sd": None, "published": None, "printed": None, "difference": None},
    }
    assert cells["motion", "detection", "mean_ap_voc07_11pt"]["mean"] is None


def test_latex_is_booktabs_with_every_special_character_escaped() -> None:
    text = to_latex(build_tables(found(replace(DETECTION, row="my_method"), DETECTION)))
    assert all(rule in text for rule in (r"\toprule", r"\cmidrule(lr){3-4}", r"\bottomrule"))
    assert r"my\_method" in text
    assert r"Detection (\%)" in text
    assert "$<$1 minute" in text
    (line,) = [line for line in text.splitlines() if line.startswith("Ours")]
    assert line.endswith(r"44.0 (n=1) & 44.5 & $-$0.5 & --- & 30.0 & --- \\")
    assert line.count("&") == 12


def test_html_escapes_what_the_records_say() -> None:
    text = to_html(build_tables(found(replace(DETECTION, row="<script>"), DETECTION)))
    assert "<script>" not in text
    assert "<td>&lt;1 minute</td>" in text
    assert text.count("<tr>") == 1 + len(TABLE_2) + 1


def test_the_pretraining_time_is_that_of_the_weights_that_were_transferred() -> None:
    """Weights pretrained for inpainting alone leave no time in Table 2."""
    time = replace(
        DETECTION, column="pretraining_time", metric="pretraining_seconds", unit="s", value=60.0
    )
    other = replace(time, weights_sha256="for inpainting", recipe_sha256="other", value=9.0)
    (table,) = build_tables(found(DETECTION, time, other))
    assert [record.value for record in table.records if record.unit == "s"] == [60.0]
    (alone,) = build_tables(found(other))
    assert [record.value for record in alone.records] == [9.0]


def test_the_interval_over_images_stands_beneath_the_table() -> None:
    def number(metric: str, value: float, seed: int) -> Record:
        return replace(DETECTION, column="classification", metric=metric, value=value, seed=seed)

    records = [
        number(f"mean_ap_sklearn{end}", value + seed / 100, seed)
        for seed in (0, 1)
        for end, value in (("", 0.5), ("_ci95_low", 0.4), ("_ci95_high", 0.6))
    ]
    text = to_markdown(build_tables(found(*records)))
    note = "95 % interval over images (bootstrap, mean over seeds): context 40.5 to 60.5."
    assert f"- Classification, {note}" in text


def test_a_table_that_the_paper_lacks_has_only_measured_numbers() -> None:
    record = replace(DETECTION, table="linear", column="conv3", metric="mean_ap_area")
    tables = build_tables(found(record))
    text = to_markdown(tables)
    assert text.startswith("## Linear SVMs on frozen features")
    assert "44.0 (n=1)" in text
    assert "published" not in text
    assert "of the paper" not in to_latex(tables).partition(r"\end{tabular}")[0]
    assert tables[0].cells["published"].isna().all()
