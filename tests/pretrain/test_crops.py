"""Where crops lie and which are mirrored: distributions, on images that say where they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cebench.data.hole_masks import RandomBlocks
from cebench.data.store.ragged import RaggedImages
from cebench.pretrain.crops import Crops, HoleBatches, byte_scale, save_samples

SIDE, HEIGHT, WIDTH = 20, 30, 40


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """(4000, 3) top row, left column and whether mirrored, of crops of 1,000 steps."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    crops = Crops(RaggedImages.from_arrays([image] * 4), SIDE, 0, 7, torch.device("cpu"))
    batches = torch.cat([crops.batch(step, 4) for step in range(1000)]).numpy()
    left, right = batches[:, 1, 0, 0].astype(int), batches[:, 1, 0, -1].astype(int)
    assert (abs(right - left) == SIDE - 1).all()
    return np.stack([batches[:, 0, 0, 0], np.minimum(left, right), left > right], axis=1)


def test_predictions_beyond_the_range_are_black_and_white() -> None:
    predictions = torch.tensor([-1.2, -1.0, 0.0, 1.0, 1.2])
    assert byte_scale(predictions).tolist() == [0, 0, 128, 255, 255]


def test_half_of_the_crops_are_mirrored(places: np.ndarray) -> None:
    """4,000 coins: 0.5 +- 4 standard deviations of 0.0079."""
    assert places[:, 2].mean() == pytest.approx(0.5, abs=0.032)


@pytest.mark.parametrize(("axis", "length"), [(0, HEIGHT), (1, WIDTH)])
def test_offsets_are_uniform_over_every_place_where_a_crop_fits(axis: int, length: int) -> None:
    """Chi-square against equal counts: its mean is one less than the places, +- 5 deviations."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    crops = Crops(RaggedImages.from_arrays([image] * 4), SIDE, 0, 8, torch.device("cpu"))
    batches = torch.cat([crops.batch(step, 4) for step in range(1000)]).numpy()
    counts = np.bincount(batches[:, axis].min((1, 2)), minlength=length - SIDE + 1)
    assert len(counts) == length - SIDE + 1
    expected = len(batches) / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


def test_mirror_row_and_column_do_not_depend_on_each_other(places: np.ndarray) -> None:
    correlations = np.corrcoef(places.T)[np.triu_indices(3, 1)]
    assert abs(correlations).max() < 0.07


def test_every_image_is_seen_once_an_epoch_and_held_out_ones_never() -> None:
    images = [np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in range(10)]
    crops = Crops(RaggedImages.from_arrays(images), SIDE, 2, 0, torch.device("cpu"))
    seen = torch.cat([crops.batch(step, 4)[:, 0, 0, 0] for step in range(4)]).tolist()
    held_out = crops.samples()[:, 0, 0, 0].tolist()
    assert len(held_out) == 2
    for epoch in (seen[:8], seen[8:]):
        assert sorted([*epoch, *held_out]) == list(range(10))


def test_a_crop_is_taken_at_each_size_of_its_image_equally_often() -> None:
    """Two images in three sizes, coded as 10 * image + size."""
    images = [
        np.full((SIDE + size, SIDE + size, 3), 10 * image + size, np.uint8)
        for size in range(3)
        for image in range(3)
    ]
    crops = Crops(RaggedImages.from_arrays(images), SIDE, 1, 0, torch.device("cpu"), sizes=3)
    (held_out,) = crops.samples()[:, 0, 0, 0].tolist()
    assert held_out % 10 == 0
    seen = torch.cat([crops.batch(step, 4)[:, 0, 0, 0] for step in range(300)]).numpy()
    codes, counts = np.unique(seen, return_counts=True)
    assert len(codes) == 6
    assert held_out not in codes // 10 * 10
    assert abs(counts - 200).max() < 60
    again = crops.batch(7, 4)
    assert torch.equal(again, crops.batch(7, 4))


def test_holes_of_several_steps_made_at_once_are_those_of_each_step() -> None:
    one, many = (HoleBatches(RandomBlocks(40), 7, 3, torch.device("cpu")) for _ in range(2))
    many.together = 4
    for step in (5, 0, 3, 4, 9):
        holes = one.batch(step)
        assert holes.shape == (3, 1, 40, 40)
        assert torch.equal(many.batch(step), holes)
    assert not torch.equal(one.batch(0), one.batch(1))


def test_pictures_of_a_smoke_run_say_so(tmp_path: Path) -> None:
    columns = {"truth": torch.full((2, 3, 150, 150), 90, dtype=torch.uint8)}
    pictures = {}
    for step, tier in ((7, "smoke"), (8, "short")):
        save_samples(tmp_path, step, columns, tier)
        with Image.open(tmp_path / "samples" / f"step-{step:06d}.png") as picture:
            pictures[tier] = np.asarray(picture)
    (height, width, _), (taller, *_) = pictures["short"].shape, pictures["smoke"].shape
    assert taller == height + 20
    np.testing.assert_array_equal(pictures["smoke"][:height, :width], pictures["short"])


@pytest.mark.parametrize(("asked", "held_out"), [(200, 36), (36, 36), (35, 35), (0, 0)])
def test_at_most_half_of_the_images_are_held_out(
    asked: int, held_out: int, caplog: pytest.LogCaptureFixture
) -> None:
    images = [np.full((SIDE, SIDE, 3), shade, np.uint8) for shade in range(72)]
    caplog.set_level("INFO", "cebench")
    crops = Crops(RaggedImages.from_arrays(images), SIDE, asked, 0, torch.device("cpu"))
    assert (len(crops.held_out), len(crops.training)) == (held_out, 72 - held_out)
    said = "36 of 72 images are held out, not held_out_images=200"
    assert (said in caplog.text) == (asked == 200)
