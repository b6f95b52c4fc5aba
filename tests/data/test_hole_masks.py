from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from cebench.data.hole_kinds import BLOCK_SIDES
from cebench.data.hole_masks import (
    ATTEMPTS,
    NOISE_CELL,
    CentralHole,
    Holes,
    NoisePattern,
    RandomBlocks,
    RandomRegions,
    ScatteredPixels,
)
from cebench.data.voc.devkit import VocYear
from cebench.randomness import numpy_generator

SIZE = 64


def disc(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(x**2 + y**2 <= (side / 2) ** 2)


def letter() -> np.ndarray:
    """Asymmetric, so that every rotation and mirror image differs."""
    shape = np.zeros((40, 20), bool)
    shape[:, :6] = shape[34:, :] = shape[5:10, :14] = True
    return shape


REGIONS = RandomRegions.from_shapes(SIZE, [disc(30), letter(), np.ones((6, 60), bool)])
GROWING: dict[str, Holes] = {"block": RandomBlocks(SIZE), "region": REGIONS}
RANDOM: dict[str, Holes] = {
    **GROWING,
    "noise": NoisePattern(128),
    "pixels": ScatteredPixels(SIZE, 0.25),
}


def drawn(holes: Holes, count: int, seed: int = 0) -> Tensor:
    shape = (count, *holes.sample_shape)
    return torch.from_numpy(numpy_generator(seed, "holes").random(shape, dtype=np.float32))


def shares(masks: Tensor) -> Tensor:
    return masks.float().mean((1, 2))


def test_central_hole_of_the_released_code_hides_rows_36_to_91_of_128() -> None:
    holes = CentralHole(128, 56)
    (hole,) = holes(drawn(holes, 1))
    rows, columns = hole.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (36, 91, 36, 91)
    assert hole.sum() == 56 * 56


def test_central_hole_of_the_paris_images_starts_at_64_of_227() -> None:
    (hole,) = CentralHole(227, 99)(torch.zeros(1, 0))
    assert hole.any(0).nonzero().flatten().tolist() == list(range(64, 163))


@pytest.mark.parametrize("kind", GROWING)
def test_blocks_and_regions_hide_something_and_at_most_a_quarter(kind: str) -> None:
    masks = GROWING[kind](drawn(GROWING[kind], 500))
    assert masks.shape == (500, SIZE, SIZE)
    assert masks.dtype == torch.bool
    share = shares(masks)
    assert share.min() > 0
    assert share.max() <= 0.25
    assert 0.18 < share.mean() <= 0.25


@pytest.mark.parametrize("kind", RANDOM)
def test_a_mask_is_a_function_of_its_own_numbers_alone(kind: str) -> None:
    holes = RANDOM[kind]
    uniforms = drawn(holes, 12)
    together = holes(uniforms)
    alone = torch.cat([holes(row) for row in uniforms.split(1)])
    assert torch.equal(together, alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", RANDOM)
def test_what_a_gpu_does_gives_the_same_masks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU every mask takes part in every attempt, finished or not."""
    holes = RANDOM[kind]
    uniforms = drawn(holes, 12, seed=1)
    expected = holes(uniforms)

    def every(chosen: Tensor) -> Tensor:
        return torch.arange(len(chosen))

    monkeypatch.setattr("cebench.data.hole_masks._where", every)
    assert torch.equal(holes(uniforms), expected)


@pytest.mark.parametrize("kind", GROWING)
def test_random_holes_reach_every_part_of_the_image(kind: str) -> None:
    share = GROWING[kind](drawn(GROWING[kind], 2000, seed=1)).float().mean(0)
    assert share.min() > 0
    assert share[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].std() < 0.04


@pytest.mark.parametrize("overhang", [True, False])
def test_blocks_are_added_until_the_next_would_hide_over_a_quarter(overhang: bool) -> None:
    """The rule, block by block in plain Python."""
    low, high = 0.15, 0.4
    holes = RandomBlocks(SIZE, (low, high), overhang=overhang)
    uniforms = drawn(holes, 20, seed=2)
    for mask, numbers in zip(holes(uniforms), uniforms.tolist(), strict=True):
        expected = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        for side_number, *place in numbers:
            side = round((low + (high - low) * side_number) * SIZE)
            if overhang:
                y, x = (int(number * (SIZE + side - 1)) - side + 1 for number in place)
            else:
                y, x = (int(number * (SIZE - side + 1)) for number in place)
            larger = expected.clone()
            larger[max(y, 0) : y + side, max(x, 0) : x + side] = True
            if larger.sum() > SIZE * SIZE // 4:
                break
            expected = larger
        assert torch.equal(mask, expected)


def test_overhanging_blocks_hide_the_border_about_as_often_as_the_middle() -> None:
    """Within the image, where blocks lie inside it, a corner is missing a tenth as often."""
    corner, middle = np.s_[:3, :3], np.s_[28:36, 28:36]
    ratios = []
    for overhang in (True, False):
        holes = RandomBlocks(SIZE, overhang=overhang)
        share = holes(drawn(holes, 4000, seed=3)).float().mean(0)
        ratios.append((share[corner].mean() / share[middle].mean()).item())
    # A block that the border cuts hides less and fits more often: a fifth more.
    assert ratios[0] == pytest.approx(1.2, abs=0.1)
    assert ratios[1] < 0.1


def test_blocks_have_sides_from_a_tenth_to_a_third_of_the_image() -> None:
    """A mask whose second block is too large shows one block: its side is the formula's."""
    assert BLOCK_SIDES == (0.10, 0.33)
    for number, side in ((0.0, 20), (0.5, 43), (0.9999, 66)):
        uniforms = torch.full((1, ATTEMPTS, 3), 0.5)
        uniforms[:, :, 0] = number  # The same block, again and again.
        (mask,) = RandomBlocks(200)(uniforms)
        assert mask.sum() == side * side
        assert mask.any(0).sum() == side


@pytest.mark.parametrize("size", [115, 128, 227])
def test_nearly_every_noise_mask_hides_between_20_and_30_percent(size: int) -> None:
    holes = NoisePattern(size)
    share = shares(holes(drawn(holes, 300, seed=5)))
    assert ((share <= 0.2) | (share >= 0.3)).float().mean() <= 0.01


def test_a_silhouette_lands_where_opencv_would_warp_it() -> None:
    """One attempt, all others pushed out of the image: extent, turns, mirror, stretch, place."""
    size = 128
    regions = RandomRegions.from_shapes(size, [letter()])
    uniforms = torch.full((1, ATTEMPTS, 8), 0.999)  # The same small corner piece, again and again.
    uniforms[0, :, 1:3] = 0.999
    index, x, y, extent, mirror, stretch, first, second = 0.0, 0.4, 0.55, 0.8, 0.2, 0.9, 0.15, 0.3
    uniforms[0, 0] = torch.tensor([index, x, y, extent, mirror, stretch, first, second])
    (mask,) = regions(uniforms)

    def rotation(turns: float) -> np.ndarray:
        angle = 2 * np.pi * turns
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    scale = (0.15 + 0.35 * extent) * size / 128
    ratio = 2 ** (stretch - 0.5)
    linear = rotation(second) @ np.diag([-ratio * scale, scale / ratio]) @ rotation(first)
    # OpenCV counts from pixel centres: pixel i is at i + 0.5 here.
    middle = np.array([130, 130]) / 2 - 0.5
    shift = np.array([x, y]) * size - 0.5 - linear @ middle
    warped = cv2.warpAffine(
        regions.bank[0].numpy(),
        np.column_stack([linear, shift]),
        (size, size),
        flags=cv2.INTER_NEAREST,
    )
    corner = torch.zeros(size, size, dtype=torch.bool)
    corner[80:, 80:] = True
    differing = (mask.numpy() != warped.astype(bool))[~corner.numpy()]
    assert warped.sum() > 500
    assert differing.sum() < 0.01 * warped.sum()


def test_regions_are_rotated_so_a_bar_has_no_preferred_direction() -> None:
    bars = RandomRegions.from_shapes(SIZE, [np.ones((6, 60), bool)])
    masks = bars(drawn(bars, 300, seed=2))
    across = (masks[:, :, 1:] != masks[:, :, :-1]).float().mean().item()
    down = (masks[:, 1:] != masks[:, :-1]).float().mean().item()
    assert across == pytest.approx(down, rel=0.1)


def test_a_region_hides_a_pixel_even_if_every_silhouette_is_too_thin() -> None:
    hair = np.zeros((1000, 1000), bool)
    hair[0, 0] = hair[999, 999] = True
    thin = RandomRegions.from_shapes(16, [hair])
    masks = thin(drawn(thin, 50))
    assert (masks.sum((1, 2)) >= 1).all()


def test_noise_hides_between_a_fifth_and_three_tenths() -> None:
    share = shares(RANDOM["noise"](drawn(RANDOM["noise"], 200)))
    assert (share > 0.2).float().mean() > 0.99
    assert (share < 0.3).float().mean() > 0.99
    assert (share - 0.25).abs().max() < 0.06


def test_noise_without_an_acceptable_window_takes_the_nearest_share() -> None:
    holes = NoisePattern(128)
    uniforms = torch.ones(1, *holes.sample_shape) * 0.9  # Nothing falls below the threshold...
    uniforms[0, 5, 2:] = 0.1  # ... in one window everything does, 0.75 away against 0.25,
    uniforms[0, 7, 2 : 2 + 3 * 12] = 0.1  # ... and in one the three upper rows of nodes do.
    (mask,) = holes(uniforms)
    assert 0 < mask.float().mean() < 0.2
    assert mask[0].all()


def test_noise_is_catmull_rom_interpolation_of_its_nodes() -> None:
    """At a node the curve has the node's value; between, that of the textbook cubic."""
    holes = NoisePattern(128)
    weights = holes._interpolation(torch.tensor([0.0, 0.3]))
    assert weights.shape == (2, 128, 12)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 128))
    torch.testing.assert_close(weights[0, 0], torch.eye(12)[1])
    pixel = 40
    place = 0.3 + 1 + pixel / NOISE_CELL
    before = int(place)
    t = place - before
    expected = torch.zeros(12)
    expected[before - 1] = -0.5 * t**3 + t**2 - 0.5 * t
    expected[before] = 1.5 * t**3 - 2.5 * t**2 + 1
    expected[before + 1] = -1.5 * t**3 + 2 * t**2 + 0.5 * t
    expected[before + 2] = 0.5 * t**3 - 0.5 * t**2
    torch.testing.assert_close(weights[1, pixel], expected, atol=1e-5, rtol=0)
    # The four nodes of the last pixel all exist, even at the largest offset.
    largest = holes._interpolation(torch.tensor([0.9999]))
    assert largest[0, -1].sum().item() == pytest.approx(1)


def test_scattered_pixels_are_independent_of_their_neighbours() -> None:
    holes = ScatteredPixels(SIZE, 0.3)
    missing = holes(drawn(holes, 200)).double() - 0.3
    deviation = (0.3 * 0.7) / missing.numel() ** 0.5
    pairs: dict[str, Callable[[], Tensor]] = {
        "share": lambda: missing.mean() * 0.3**0.5,
        "across": lambda: (missing[:, :, 1:] * missing[:, :, :-1]).mean(),
        "down": lambda: (missing[:, 1:] * missing[:, :-1]).mean(),
        "next mask": lambda: (missing[1:] * missing[:-1]).mean(),
    }
    for name, correlation in pairs.items():
        assert abs(correlation().item()) < 4 * deviation, name


@pytest.mark.shared_data
def test_real_masks_give_regions_within_the_quarter(shared_data: Path) -> None:
    voc = VocYear(shared_data / "VOCdevkit", 2012)
    regions = RandomRegions.from_voc(227, voc, "train")
    assert len(regions.bank) > 300
    share = shares(regions(drawn(regions, 64)))
    assert share.min() > 0.05
    assert share.max() <= 0.25
