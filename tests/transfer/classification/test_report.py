from pathlib import Path

import numpy as np
import pytest

from cebench.data.store.ragged import RaggedImages
from cebench.training.run_directory import RunDirectory
from cebench.transfer.classification import report
from cebench.transfer.labelled_images import LabelledImages


def test_a_wrong_picture_stands_under_its_own_title(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image lacks the left class, two the right one: the right half begins at column 5."""
    sheets = []
    monkeypatch.setattr(report, "save_contact_sheet", lambda *given, **_: sheets.append(given))
    images = RaggedImages.from_arrays([np.zeros((8, 8, 3), np.uint8)] * 2)
    labels = np.ones((2, 20), np.int8)
    labels[0, 0] = labels[:, 1] = -1
    test = LabelledImages(["a", "b"], images, labels)
    report.plot_mistakes(test, np.zeros((2, 20)), tmp_path / "mistakes.png")
    ((titles, (row,), _),) = sheets
    said = [cell.lines[0] if cell.lines else "" for cell in row]
    assert dict(zip(titles[4:], said[4:], strict=False)) == {
        "mistake 1": "bicycle? +0.0",
        "mistake 2": "bicycle? +0.0",
    }
    assert said[:4] == ["aeroplane? +0.0", "", "", ""]


def test_the_line_of_chance_counts_no_image_that_a_class_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four images aeroplane has one, lacks one and is difficult in two: half of what counts."""
    drawn = []
    monkeypatch.setattr(report, "plot_precision_recall", lambda *given: drawn.append(given))
    monkeypatch.setattr(report, "plot_curves", lambda *_, **__: None)
    monkeypatch.setattr(report, "plot_mistakes", lambda *_: None)
    monkeypatch.setattr(report, "write_per_class", lambda *_: None)
    labels = np.full((4, 20), -1, np.int8)
    labels[:, 0] = 1, 0, 0, -1
    labels[:, 1] = 0
    images = RaggedImages.from_arrays([np.zeros((8, 8, 3), np.uint8)] * 4)
    with RunDirectory(tmp_path / "run", {"run": {}, "recipe": {}}) as run:
        report.write_report(
            run, LabelledImages([*"abcd"], images, labels), np.zeros((1, 4, 20)), {}
        )
    ((_, _, _, chance),) = drawn
    assert chance["aeroplane"] == 0.5
    assert chance["bicycle"] == chance["bird"] == 0
