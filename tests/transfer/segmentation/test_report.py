import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from rescoring import assert_rescored
from segmentation_scenes import CPU, IDENTITY, PIXELS, ThinFCN, recipe

from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VocYear
from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.palette import voc_palette
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.fcn import FCN
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import Outcome, RunContext
from cebench.transfer.segmentation import pictures
from cebench.transfer.segmentation.pictures import legend, save_confusion
from cebench.transfer.segmentation.prediction import Predictor
from cebench.transfer.segmentation.task import measure
from cebench.weights.files import random_weights


def test_scores_of_a_padded_image_are_cut_to_it() -> None:
    image = RaggedImages.from_arrays([np.full((40, 64, 3), 200, np.uint8)]).image(0)
    network = FCN(21, 32, "he", torch.Generator().manual_seed(0)).eval()
    torch.nn.init.normal_(network.head.score_fr.weight, std=0.01)
    padded, plain = (
        Predictor(network, PIXELS, CPU, size_multiple=m).scores(image, (40, 64)) for m in (96, 1)
    )
    assert padded.shape == plain.shape
    # Conv layers see zeros behind the border of a map and biases behind that of an image.
    torch.testing.assert_close(padded[:, :8, :8], plain[:, :8, :8], rtol=0.05, atol=0.05)


def test_predictions_have_the_size_of_the_truth_whatever_the_network_sees() -> None:
    image = RaggedImages.from_arrays([np.full((40, 64, 3), 200, np.uint8)]).image(0)
    labels = Predictor(ThinFCN().eval(), PIXELS, CPU).labels(image, (75, 120))
    assert labels.shape == (75, 120)


def run_measure(devkit: Path, run: Path) -> Outcome:
    chosen = recipe(steps=1, accumulate=2, short_side=32)
    with RunDirectory(run, IDENTITY) as directory:
        run_context = RunContext(
            run=directory, weights=random_weights(0), data=devkit, seed=0, device=CPU
        )
        return measure(chosen, run_context)


@pytest.mark.slow
def test_the_stored_predictions_score_as_recorded(devkit: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = run_measure(devkit, run)
    assert_rescored(outcome, images=len(outcome.scored_from.ids))
    assert [m.metric for m in outcome.measurements] == [
        "mean_iou",
        "pixel_accuracy",
        "mean_accuracy",
        "frequency_weighted_iou",
    ]
    assert {(m.column, m.count, m.unit) for m in outcome.measurements} == {
        ("segmentation", 1, "fraction")
    }
    files = sorted((run / "predictions").iterdir())
    assert [file.name for file in files] == ["2008_000003.png"]
    with Image.open(files[0]) as stored:
        assert stored.getpalette() == voc_palette().ravel().tolist()
    truth = VocYear(devkit, 2012).segmentation("2008_000003")
    scores = segmentation_scores(confusion_matrix(truth, read_label_image(files[0]), 21))
    for measurement in outcome.measurements:
        assert measurement.value == getattr(scores, measurement.metric)
    with (run / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows][:2] == ["background", "aeroplane"]
    assert float(rows[12]["iou"]) == scores.iou[12]
    assert (run / "samples" / "segmentation.png").is_file()
    assert (run / "curves.png").is_file()
    assert (run / "confusion.png").is_file()


def test_the_legend_has_a_swatch_of_every_class_of_either_image() -> None:
    truth, guess = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:5], guess[:, :3] = 15, 255
    swatches = legend(truth, guess)[6::18, 5]
    assert swatches.tolist() == voc_palette()[[0, 15, 255]].tolist()


def test_the_legend_names_the_share_of_the_truth_first(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(draw: ImageDraw.ImageDraw, place: object, text: str, **style: object) -> None:
        written.append(text)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    truth, guess = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:5], guess[:2] = 15, 15
    legend(truth, guess)
    assert [text.split() for text in written] == [
        ["background"],
        ["50", "80", "%"],
        ["person"],
        ["50", "20", "%"],
    ]


def test_percentages_stand_on_their_colours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(pictures, "save_figure", lambda figure, path: figures.append(figure))
    confusion = np.zeros((21, 21), np.int64)
    confusion[0, 0], confusion[0, 3], confusion[5, 2] = 30, 10, 7
    save_confusion(confusion, tmp_path / "confusion.png", "val")
    (axes,) = figures[0].axes
    # Column (predicted) to the right, row (true) downwards.
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "75", (3, 0): "25", (2, 5): "100"}
    colours = np.asarray(axes.images[0].get_array())
    assert {(x, y): f"{100 * colours[y, x]:.0f}" for x, y in numbers} == numbers
