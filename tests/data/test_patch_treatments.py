import numpy as np
import pytest
import torch
from torch import Tensor

from cebench.data.patch_treatments import (
    drop_colours,
    project_out_green_magenta,
    reduce_and_enlarge,
    sample_reduced_sides,
    subtract_mean,
    unit_contrast,
)


@pytest.fixture
def patches() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(5, 3, 96, 96, generator=generator) * 255


def test_reduced_patches_are_torchs_own_resizes(patches: Tensor) -> None:
    sides = torch.tensor([10, 31, 64, 95, 96])
    reduced = reduce_and_enlarge(patches, sides)
    for patch, side, ours in zip(patches, sides.tolist(), reduced, strict=True):
        small = torch.nn.functional.interpolate(patch[None], (side, side), mode="bilinear")
        expected = torch.nn.functional.interpolate(small, (96, 96), mode="bilinear")[0]
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(reduced[4], patches[4])


def test_a_third_is_reduced_to_a_uniform_number_of_pixels() -> None:
    sides = sample_reduced_sides(np.random.default_rng(0), 20_000, 96, 0.33)
    reduced = sides[sides < 96]
    assert len(reduced) / 20_000 == pytest.approx(0.33, abs=0.015)
    assert reduced.min() in (10, 11, 12)
    assert reduced.max() == 94
    # floor(sqrt(u)) of a uniform u loses half a pixel of the side: (s + 1/2)^2 is u on average.
    assert ((reduced + 0.5) ** 2).mean() == pytest.approx((95**2 + 10**2) / 2, rel=0.03)


def test_one_channel_stays_and_two_become_noise(patches: Tensor) -> None:
    noise = torch.full_like(patches, 0.25)
    dropped = drop_colours(patches, torch.tensor([0, 1, 2, 0, 1]), noise)
    assert torch.equal(dropped[1, 0], noise[1, 0])
    assert torch.equal(dropped[1, 2], noise[1, 2])
    torch.testing.assert_close(dropped[1, 1], patches[1, 1] - patches[1, 1].mean())
    assert torch.equal(dropped[2, :2], noise[2, :2])


def test_projection_leaves_nothing_between_green_and_magenta(patches: Tensor) -> None:
    """Grey stays; green (0, 6, 0) becomes (2, 2, 2): (0, 6, 0) - 12/6 (-1, 2, -1)."""
    flat = torch.tensor([[7.0, 7, 7], [0, 6, 0]])[:, :, None, None].expand(2, 3, 2, 2).clone()
    flat[:, :, 0] = 0  # Half of the patch is black, so that the mean is half the colour.
    projected = project_out_green_magenta(flat)
    torch.testing.assert_close(projected[0, :, 1, 0], torch.tensor([3.5, 3.5, 3.5]))
    torch.testing.assert_close(projected[1, :, 1, 0], torch.tensor([1.0, 1, 1]))
    along = torch.einsum(
        "mchw,c->mhw", project_out_green_magenta(patches), torch.tensor([-1.0, 2, -1])
    )
    assert along.abs().max() < 1e-3


def test_contrast_is_fifty_except_of_flat_patches(patches: Tensor) -> None:
    normalised = unit_contrast(subtract_mean(patches))
    torch.testing.assert_close(normalised.square().mean((1, 2, 3)), torch.full((5,), 2500.0))
    assert not unit_contrast(torch.zeros(1, 3, 8, 8)).any()
