"""The published numbers and the layout of the tables."""

import pytest

from cebench.reporting.published import load_published

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


def test_options_that_may_differ_per_row_are_options_of_the_columns_recipe() -> None:
    from cebench.transfer.first_checks import recipe_class

    for column in load_published().layouts["2"].columns:
        task = column.id.partition("_")[0]
        for option in column.may_differ_per_row:
            assert option in recipe_class(task).model_fields
    named = {c.id: c.may_differ_per_row for c in load_published().layouts["2"].columns}
    assert named["classification"] == ("random_from",)
    assert named["detection"] == ("random_from", "train_conv1")
    assert named["segmentation"] == ("random_from",)
