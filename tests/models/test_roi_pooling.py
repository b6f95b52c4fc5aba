import math

import pytest
import torch
import torchvision.ops

from cebench.models.roi_pooling import roi_pool


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_rois(count: int, images: int, size: float) -> torch.Tensor:
    corners = torch.rand(count, 2, generator=seeded(1)) * size * 0.8
    sides = torch.rand(count, 2, generator=seeded(2)) * size * 0.6
    index = torch.randint(0, images, (count, 1), generator=seeded(3)).float()
    return torch.cat([index, corners, corners + sides], dim=1)


def pool_by_loops(
    features: torch.Tensor, roi: list[float], scale: float, side: int
) -> torch.Tensor:
    """Fast R-CNN's roi_pooling_layer for one region, bin by bin."""
    image, *corners = roi
    x1, y1, x2, y2 = (math.floor(c * scale + 0.5) for c in corners)
    _, channels, height, width = features.shape
    bin_height, bin_width = max(y2 - y1 + 1, 1) / side, max(x2 - x1 + 1, 1) / side
    pooled = torch.zeros(channels, side, side)
    for row in range(side):
        top = min(max(math.floor(row * bin_height) + y1, 0), height)
        bottom = min(max(math.ceil((row + 1) * bin_height) + y1, 0), height)
        for column in range(side):
            left = min(max(math.floor(column * bin_width) + x1, 0), width)
            right = min(max(math.ceil((column + 1) * bin_width) + x1, 0), width)
            if bottom > top and right > left:
                window = features[int(image), :, top:bottom, left:right]
                pooled[:, row, column] = window.amax(dim=(1, 2))
    return pooled


def test_pooling_is_the_originals_bin_by_bin() -> None:
    features = torch.randn(2, 3, 9, 11, generator=seeded())
    rois = random_rois(12, images=2, size=170)  # some reach beyond the 144 x 176 image
    expected = torch.stack([pool_by_loops(features, roi.tolist(), 1 / 16, 3) for roi in rois])
    torch.testing.assert_close(roi_pool(features, rois, 1 / 16, 3), expected, rtol=0, atol=0)


def test_a_corner_halfway_between_pixels_rounds_away_from_zero() -> None:
    # 8 / 16 = 0.5 rounds to 1 and 24 / 16 = 1.5 to 2: columns 1 and 2 of row 0.
    features = torch.arange(4.0).view(1, 1, 1, 4)
    rois = torch.tensor([[0.0, 8, 0, 24, 0]])
    assert roi_pool(features, rois, 1 / 16, 1).item() == 2
    rois = torch.tensor([[0.0, 7, 0, 23, 0]])
    assert roi_pool(features, rois, 1 / 16, 1).item() == 1


def test_gradient_is_torchvisions_and_the_same_in_every_run() -> None:
    features = torch.randn(2, 4, 9, 11, generator=seeded(), requires_grad=True)
    rois = random_rois(40, images=2, size=170)
    weights = torch.randn(40, 4, 6, 6, generator=seeded(5))
    gradients = []
    for pooled in (
        roi_pool(features, rois, 1 / 16, 6),
        roi_pool(features, rois, 1 / 16, 6),
        torchvision.ops.roi_pool(features, rois, 6, 1 / 16),
    ):
        gradients += torch.autograd.grad((pooled * weights).sum(), features)
    assert torch.equal(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-6, atol=1e-6)


def test_gradient_of_a_real_batch_has_the_same_bits_without_the_switch() -> None:
    """128 regions on two conv5 maps of 600 x 800 images, on two threads, where order could vary."""
    threads, switch = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    features = torch.randn(2, 256, 37, 49, generator=seeded(), requires_grad=True)
    pooled = roi_pool(features, random_rois(128, images=2, size=600), 1 / 16, 6)
    weights = torch.randn(pooled.shape, generator=seeded(5))
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    try:
        first, *others = (
            torch.autograd.grad(pooled, features, weights, retain_graph=True)[0] for _ in range(6)
        )
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(switch)
    assert all(torch.equal(first, other) for other in others)


def test_a_region_outside_the_map_is_zero_and_passes_nothing_on() -> None:
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    pooled = roi_pool(features, torch.tensor([[0.0, 200, 200, 240, 240]]), 1 / 16, 2)
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert not pooled.any()
    assert not gradient.any()


def test_no_regions_give_no_output() -> None:
    features = torch.ones(1, 2, 4, 4, requires_grad=True)
    pooled = roi_pool(features, torch.zeros(0, 5), 1 / 16, 6)
    assert pooled.shape == (0, 2, 6, 6)
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert not gradient.any()


@pytest.mark.parametrize("side", [1, 6])
def test_one_pixel_regions_fill_every_bin(side: int) -> None:
    features = torch.arange(16.0).view(1, 1, 4, 4)
    pooled = roi_pool(features, torch.tensor([[0.0, 32, 16, 32, 16]]), 1 / 16, side)
    assert pooled.unique().tolist() == [6]  # row 1, column 2
