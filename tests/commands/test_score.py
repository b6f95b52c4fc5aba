import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scoring import mistake_of, scores_of

from cebench.commands.score import _show_published, score
from cebench.data.verify import OFFICIAL_COUNTS
from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOC_CLASSES, VocYear
from cebench.data.voc.palette import voc_palette
from cebench.data.voc.results import DetectionRows, write_detection_files, write_scores_csv

# `tiny_voc` (tests/conftest.py) has one dog in 000001 at the devkit's 11 21 30 40 and a difficult
# one in 000002, one person in 000002 at 5 6 5 6 and a difficult one in 000001.
IDS = ["000001", "000002", "000003"]
DOG, PERSON = VOC_CLASSES.index("dog"), VOC_CLASSES.index("person")


def _write_detections(folder: Path, **lines: str) -> Path:
    folder.mkdir()
    for name in VOC_CLASSES:
        (folder / f"comp4_det_test_{name}.txt").write_text(lines.get(name, ""))
    return folder


# Detection


def test_detection_of_tiny_devkit_solved_by_hand(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    # Dogs, ranked: a miss, the dog, the difficult dog (not counted): precision 1/2 at recall 1.
    # The person is one pixel, 5 6 5 6: found only if the ends are read as inclusive.
    folder = _write_detections(
        tmp_path / "found",
        dog="000001 0.8 11 21 30 40\n000003 0.9 1 1 50 50\n\n000002 0.7 60 40 64 48\n",
        person="000002 0.5 5 6 5 6\n",
        cat="000003 0.5 5 6 5 6\n",
    )
    found = scores_of(runner, "detection", "--detections", folder, "--data", tiny_voc)
    dog = {"ap_voc07_11pt": 0.5, "ap_area": 0.5, "objects": 1, "detections": 3}
    assert found["per_class"]["dog"] == dog
    assert found["per_class"]["person"]["ap_area"] == 1.0
    # No cat is there: no average precision, and not in the mean.
    cat = {"ap_voc07_11pt": None, "ap_area": None, "objects": 0, "detections": 1}
    assert found["per_class"]["cat"] == cat
    assert found["mean_ap_voc07_11pt"] == found["mean_ap_area"] == 0.75
    assert found["images"] == 3
    assert list(found["per_class"]) == list(VOC_CLASSES)


def test_the_overlap_that_is_asked_for_is_an_option(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    # The dog's 20 columns and 16 of its 20 rows: an overlap of 0.8.
    folder = _write_detections(tmp_path / "found", dog="000001 0.8 11 21 30 36\n")
    arguments = ("detection", "--detections", folder, "--data", tiny_voc, "--iou")
    for iou, expected in (("0.75", 1.0), ("0.8", 0.0)):
        found = scores_of(runner, *arguments, iou)
        assert found["per_class"]["dog"]["ap_area"] == expected
    for iou in ("1", "nan"):
        assert runner.invoke(score, [*map(str, arguments), iou]).exit_code == 2


def test_detection_files_may_be_compressed(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    folder = _write_detections(tmp_path / "found", dog="000001 0.8 11 21 30 40\n")
    for path in list(folder.iterdir()):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    found = scores_of(runner, "detection", "--detections", folder, "--data", tiny_voc)
    assert found["per_class"]["dog"]["ap_area"] == 1.0


def test_detection_of_a_list_file_reads_the_files_of_its_name(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    (tmp_path / "mine.txt").write_text("000002\n")
    rows = DetectionRows(
        np.array([0]), np.array([PERSON]), np.array([0.5]), np.array([[4.0, 5.0, 5.0, 6.0]])
    )
    write_detection_files(tmp_path / "found", "mine", ["000002"], rows)
    line = (tmp_path / "found" / "comp4_det_mine_person.txt").read_text()
    assert line == "000002 0.5 5.0 6.0 5.0 6.0\n"
    arguments = ("--data", tiny_voc, "--image-set", tmp_path / "mine.txt")
    found = scores_of(runner, "detection", "--detections", tmp_path / "found", *arguments)
    assert found["per_class"]["person"]["ap_voc07_11pt"] == 1.0
    assert found["images"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000001 0.5 1 2 3", "comp4_det_test_dog.txt:2: '000001 0.5 1 2 3' is not `id score"),
        ("000001 0.5 1 2 3 x", "comp4_det_test_dog.txt:2"),
        ("000001 nan 1 2 3 4", "comp4_det_test_dog.txt:2"),
        ("000009 0.5 1 2 3 4", "comp4_det_test_dog.txt:2: image 000009 is not in the image set"),
    ],
)
def test_bad_detection_line_is_named(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path, line: str, message: str
) -> None:
    folder = _write_detections(tmp_path / "found", dog=f"000001 1 1 2 3 4\n{line}\n")
    assert message in mistake_of(runner, "detection", "--detections", folder, "--data", tiny_voc)


def test_missing_detection_files_are_named(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    arguments = ("detection", "--data", tiny_voc, "--detections")
    assert "nowhere is no folder" in mistake_of(runner, *arguments, tmp_path / "nowhere")
    folder = _write_detections(tmp_path / "found")
    (folder / "comp3_det_test_cat.txt").write_text("")
    assert "keep one of them" in mistake_of(runner, *arguments, folder)
    (folder / "comp3_det_test_cat.txt").unlink()
    (folder / "comp4_det_test_cat.txt").unlink()
    assert "no file *_det_test_cat.txt" in mistake_of(runner, *arguments, folder)
    (folder / "comp4_det_test_cat.txt.gz").write_bytes(b"\x1f\x8b broken")
    assert "comp4_det_test_cat.txt.gz is no readable text" in mistake_of(runner, *arguments, folder)


# Segmentation


def _segmentation(tiny_voc: Path, predictions: Path) -> tuple[object, ...]:
    return (
        *("segmentation", "--predictions", predictions, "--data", tiny_voc),
        *("--year", 2007, "--image-set", "train"),
    )


def _write_labels(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette(voc_palette().tobytes())
    image.save(path)


@pytest.mark.parametrize("palette", [False, True])
def test_segmentation_of_tiny_devkit_solved_by_hand(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path, palette: bool
) -> None:
    # The dog fills 20 x 20 of 60 x 80 pixels within a void frame of 84; 4316 are background.
    # Predicted: half of the dog, and the void frame wrong, which does not count.
    labels = np.zeros((60, 80), dtype=np.uint8)
    labels[19:30, 9:31] = 12
    _write_labels(tmp_path / "found" / "000001.png", labels, palette)
    found = scores_of(runner, *_segmentation(tiny_voc, tmp_path / "found"))
    assert found["per_class"]["dog"] == {"iou": 0.5, "accuracy": 0.5, "pixels": 400}
    background = 4316 / (4316 + 200)
    assert found["per_class"]["background"]["iou"] == pytest.approx(background)
    assert found["per_class"]["cat"] == {"iou": None, "accuracy": None, "pixels": 0}
    assert found["mean_iou"] == pytest.approx((background + 0.5) / 2)
    assert found["pixel_accuracy"] == pytest.approx(4516 / 4716)
    assert found["mean_accuracy"] == 0.75
    assert found["frequency_weighted_iou"] == pytest.approx((4316 * background + 200) / 4716)
    assert found["images"] == 1
    assert list(found["per_class"]) == list(SEGMENTATION_CLASSES)


def test_bad_label_images_are_named(runner: CliRunner, tmp_path: Path, tiny_voc: Path) -> None:
    folder = tmp_path / "found"
    arguments = _segmentation(tiny_voc, folder)
    assert "found is no folder" in mistake_of(runner, *arguments)
    folder.mkdir()
    assert "000001.png does not exist" in mistake_of(runner, *arguments)
    _write_labels(folder / "000001.png", np.zeros((60, 81), np.uint8))
    assert "000001.png has (60, 81) pixels" in mistake_of(runner, *arguments)
    _write_labels(folder / "000001.png", np.full((60, 80), 21, np.uint8))
    assert "000001.png: predicted label 21, expected 0..20" in mistake_of(runner, *arguments)
    behind_void = np.zeros((60, 80), np.uint8)
    behind_void[19, 9] = 99
    _write_labels(folder / "000001.png", behind_void)
    assert "000001.png: predicted label 99, expected 0..20" in mistake_of(runner, *arguments)
    _write_labels(folder / "000001.png", np.full((60, 80, 3), (9, 8, 7), np.uint8))
    assert "000001.png: the colour (9, 8, 7) is none of VOC's" in mistake_of(runner, *arguments)
    (folder / "000001.png").write_bytes(b"no image")
    assert "000001.png is not an image" in mistake_of(runner, *arguments)


# Classification


def _classification(tiny_voc: Path, path: Path) -> tuple[object, ...]:
    return "classification", "--scores", path, "--data", tiny_voc


def test_classification_of_tiny_devkit_solved_by_hand(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    # Dog: 000002 is ignored; 000003 ranks above 000001: precision 1/2 at recall 1.
    # Person: 000001 is ignored, 000002 ties with 000003 and therefore ranks below it.
    scores = np.zeros((3, 20))
    scores[:, DOG] = [0.1, 9.0, 0.2]
    write_scores_csv(tmp_path / "scores.csv", IDS, scores)
    found = scores_of(runner, *_classification(tiny_voc, tmp_path / "scores.csv"))
    for name in ("dog", "person"):
        row = found["per_class"][name]
        assert (row["positives"], row["images"]) == (1, 2)
        assert row["ap_sklearn"] == row["ap_voc07_11pt"] == row["ap_area"] == 0.5
    assert found["per_class"]["cat"]["ap_sklearn"] is None
    assert found["per_class"]["cat"]["ap_sklearn_ci95"] == [None, None]
    for mean in ("mean_ap_sklearn", "mean_ap_voc07_11pt", "mean_ap_area"):
        assert found[mean] == 0.5
        assert found[f"{mean}_ci95"] == [None, None]  # of three images
    assert found["images"] == 3


def test_classification_table_shows_means_without_an_interval_of_three_images(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    scores = np.zeros((3, 20))
    scores[:, DOG] = [0.1, 9.0, 0.2]
    write_scores_csv(tmp_path / "scores.csv", IDS, scores)
    arguments = [*map(str, _classification(tiny_voc, tmp_path / "scores.csv"))]
    result = runner.invoke(score, arguments, catch_exceptions=False)
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["dog"] == ["50.0", "50.0", "50.0", "1", "2"]
    assert rows["mean_ap_sklearn"] == ["%", "50.0"]


def test_scores_so_small_that_the_penalty_of_ties_reorders_them_are_said(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    # Dog: 000001 ranks above 000003, until it is lowered by 1e-5.
    scores = np.zeros((3, 20))
    scores[:, DOG], scores[:, PERSON] = [3, 0, 1], [0, 3, 1]
    arguments = [*map(str, _classification(tiny_voc, tmp_path / "scores.csv")), "--json"]
    for factor, dog in ((1.0, 1.0), (1e-6, 0.5)):
        write_scores_csv(tmp_path / "scores.csv", IDS, scores * factor)
        result = runner.invoke(score, arguments, catch_exceptions=False)
        assert json.loads(result.stdout)["per_class"]["dog"]["ap_sklearn"] == dog
        assert ("warning" in result.stderr) == (factor < 1)
    assert result.stderr == (
        "warning: 1e-5 less for positives puts 2 of 2 behind negatives of lower scores: "
        "mean_ap_sklearn 50.0 % instead of 100.0 %; give logits, or multiply the scores\n"
    )
    # Ties alone, which are what the penalty is for, are no news.
    write_scores_csv(tmp_path / "scores.csv", IDS, np.zeros((3, 20)))
    assert runner.invoke(score, arguments).stderr == ""


def test_order_of_csv_rows_and_columns_does_not_matter(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 20))
    write_scores_csv(tmp_path / "a.csv", IDS, scores)
    write_scores_csv(tmp_path / "b.csv", IDS[::-1], scores[::-1, ::-1], VOC_CLASSES[::-1])
    first, second = (
        scores_of(runner, *_classification(tiny_voc, tmp_path / name))
        for name in ("a.csv", "b.csv")
    )
    assert first == second


def test_bad_score_tables_are_named(runner: CliRunner, tmp_path: Path, tiny_voc: Path) -> None:
    path = tmp_path / "scores.csv"
    arguments = _classification(tiny_voc, path)
    assert "scores.csv does not exist" in mistake_of(runner, *arguments)
    write_scores_csv(path, IDS, np.zeros((3, 20)))
    good = path.read_text()
    for text, message in [
        (good.replace("dog", "hound"), "scores.csv has no column dog"),
        (
            "".join(f"{line},{'dog' if n == 0 else 1}\n" for n, line in enumerate(good.split())),
            "scores.csv has more than one column dog; keep one of them",
        ),
        (good.replace("000003", "000002"), "scores.csv:4: image 000002 is there twice"),
        (good.replace("000003", "000007"), "scores.csv:4: image 000007 is not in the set"),
        (good.rpartition("000003")[0], "no line for 1 of the set's 3 images, first 000003"),
        (good.replace("000002,0.0", "000002,nan"), "scores.csv:3, column aeroplane: 'nan'"),
        (good.replace("000002,0.0", "000002,high"), "scores.csv:3, column aeroplane: 'high'"),
        (good.replace("000002,0.0", "000002"), "scores.csv:3: 20 fields, expected 21"),
        ("", "scores.csv has no column image"),
    ]:
        path.write_text(text)
        assert message in mistake_of(runner, *arguments)


# Tables


def test_table_prints_percent_with_one_decimal(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    folder = _write_detections(
        tmp_path / "found", dog="000001 0.8 11 21 30 40\n000003 0.9 1 1 50 50\n"
    )
    arguments = ["detection", "--detections", str(folder), "--data", str(tiny_voc)]
    result = runner.invoke(score, arguments, catch_exceptions=False)
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["dog"] == ["50.0", "50.0", "1", "2"]
    assert rows["cat"] == ["-", "-", "0", "0"]
    assert rows["mean_ap_voc07_11pt"] == ["%", "25.0"]
    assert rows["images"] == ["3"]


def test_the_paper_stands_beneath_a_score_of_its_own_images_alone(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _write_detections(tmp_path / "found", dog="000001 0.8 11 21 30 40\n")
    arguments = ["detection", "--detections", str(found), "--data", str(tiny_voc)]
    assert "published" not in runner.invoke(score, arguments).stdout
    monkeypatch.setitem(OFFICIAL_COUNTS["VOC2007"], "Main/test", 3)
    assert "published, paper, Table 2" in runner.invoke(score, arguments).stdout
    assert "published" not in runner.invoke(score, [*arguments, "--iou", "0.6"]).stdout


@pytest.mark.parametrize(
    ("year", "image_set", "printed"),
    [(2012, "seg11valid", True), (2012, "val", False), (2011, "val", False)],
)
def test_segmentations_of_val_are_not_those_of_the_paper(
    year: int, image_set: str, printed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The 48.0 % of Table 2 is of seg11valid: val has images that SBD's train set has too."""
    images = OFFICIAL_COUNTS[f"VOC{year}"][f"Segmentation/{image_set}"]
    _show_published("segmentation", year, f"Segmentation/{image_set}", images)
    assert ("published, paper, Table 2" in capsys.readouterr().out) == printed


@pytest.mark.shared_data
def test_perfect_detections_of_real_images_score_one(
    runner: CliRunner, tmp_path: Path, shared_data: Path
) -> None:
    voc = VocYear(shared_data / "VOCdevkit", 2007)
    ids = voc.ids("val")[:40]
    (tmp_path / "few.txt").write_text("\n".join(ids))
    annotations = [voc.annotation(image_id) for image_id in ids]
    counts = [len(a.labels) for a in annotations]
    rows = DetectionRows(
        np.repeat(np.arange(len(ids)), counts),
        np.concatenate([a.labels for a in annotations]),
        np.linspace(1, 0.1, sum(counts)),
        np.concatenate([a.boxes for a in annotations]),
    )
    write_detection_files(tmp_path / "found", "few", ids, rows)
    arguments = ("--data", shared_data, "--image-set", tmp_path / "few.txt")
    found = scores_of(runner, "detection", "--detections", tmp_path / "found", *arguments)
    assert found["mean_ap_voc07_11pt"] == 1.0
    assert math.isclose(found["mean_ap_area"], 1.0)
