from pathlib import Path

import numpy as np
from PIL import Image

from cebench.plots.sheets import add_caption, best_median_worst, enlarged, save_sheet
from cebench.progress import untrained


def test_three_of_the_best_median_and_worst_come_once_each() -> None:
    values = np.array([0.1, np.nan, 0.9, 0.5, 0.8, 0.2, 0.4, 0.6, 0.3, 0.7])
    assert best_median_worst(values, 9) == [
        *[("best", 2), ("best", 4), ("best", 9)],
        *[("median", 7), ("median", 3), ("median", 6)],
        *[("worst", 8), ("worst", 5), ("worst", 0)],
    ]
    assert best_median_worst(values, 3) == [("best", 2), ("median", 3), ("worst", 0)]


def test_few_values_are_chosen_once_and_undefined_ones_not_at_all() -> None:
    assert best_median_worst(np.array([0.5]), 9) == [("best", 0)]
    assert best_median_worst(np.array([0.2, 0.7]), 9) == [("best", 1), ("worst", 0)]
    assert best_median_worst(np.array([0.4, 0.4, 0.4]), 9) == [
        *[("best", 0), ("median", 1), ("worst", 2)],
    ]
    assert best_median_worst(np.array([np.nan]), 9) == []


def test_columns_are_as_wide_as_their_titles(tmp_path: Path) -> None:
    tiny = [np.zeros((8, 8, 3), np.uint8)]
    save_sheet({"a title of many words": tiny, "another": tiny}, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 120
        grey = np.asarray(sheet.convert("L"))
    # Between the two titles runs a white gutter.
    ink = (grey[:20] < 128).any(axis=0)
    gaps = np.diff(np.flatnonzero(ink))
    assert gaps.max() >= 6


def test_small_images_are_enlarged_by_whole_factors() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(labels, 7, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(large, labels.repeat(4, 0).repeat(4, 1))
    assert enlarged(large, 7, Image.Resampling.NEAREST) is large


def test_a_caption_stands_beneath_and_changes_nothing_above(tmp_path: Path) -> None:
    path, pixels = tmp_path / "sheet.png", np.full((10, 12, 3), 90, np.uint8)
    Image.fromarray(pixels).save(path)
    add_caption(path, untrained(40, 30, "detection"))
    with Image.open(path) as sheet:
        found = np.asarray(sheet)
    np.testing.assert_array_equal(found[:10, :12], pixels)
    assert found.shape[0] == 30
    assert found.shape[1] > 150  # As wide as the text.
    ink = (found[10:] < 128).any(axis=(0, 2))
    assert ink.any()
    assert not ink[-6:].any()


def test_what_a_caption_says() -> None:
    assert untrained(40, 30, "detection") == "untrained: 40 steps, then 30 of detection"
    assert untrained(1) == "untrained: 1 step"
    assert untrained(None, None, "knn") == "untrained"
