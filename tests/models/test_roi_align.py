import torch
import torchvision

from cebench.models.roi_align import bin_weights, roi_align


def random_rois(count: int, images: int, size: int) -> torch.Tensor:
    """Half-open; some reach out of the image, some are smaller than a feature pixel."""
    generator = torch.Generator().manual_seed(1)
    corners = size * (1.3 * torch.rand(count, 2, generator=generator) - 0.15)
    sides = size * 0.6 * torch.rand(count, 2, generator=generator)
    index = torch.arange(count)[:, None] % images
    return torch.cat([index, corners, corners + sides], dim=1)


def test_values_and_gradient_are_those_of_torchvision() -> None:
    generator = torch.Generator().manual_seed(0)
    rois = random_rois(80, images=2, size=300)
    gradient = torch.randn(80, 5, 7, 7, generator=generator)
    found = []
    for align in (
        lambda maps: roi_align(maps, rois, 1 / 16, 7),
        lambda maps: torchvision.ops.roi_align(maps, rois, 7, 1 / 16, 2, aligned=True),
    ):
        maps = torch.randn(2, 5, 19, 23, generator=torch.Generator().manual_seed(2))
        pooled = align(maps.requires_grad_())
        pooled.backward(gradient)
        found.append((pooled.detach(), maps.grad))
    (ours, our_gradient), (theirs, their_gradient) = found
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-5)


def test_one_bin_by_hand() -> None:
    # Half-open 0 .. 64 at a scale of 1/16 is -0.5 .. 3.5: samples at 0.5 and 2.5, between pixels
    # 0 and 1 and between 2 and 3. So the four pixels count a quarter each.
    weights = bin_weights(torch.tensor([[0.0, 64.0]]), 1 / 16, 1, 6)
    assert weights.tolist() == [[[0.25, 0.25, 0.25, 0.25, 0, 0]]]
    ramp = torch.arange(6.0).expand(1, 1, 6, 6)
    assert roi_align(ramp, torch.tensor([[0.0, 0, 0, 64, 64]]), 1 / 16, 1).item() == 1.5


def test_no_region_gives_no_values_and_no_gradient() -> None:
    maps = torch.randn(1, 2, 4, 4, requires_grad=True)
    pooled = roi_align(maps, torch.zeros(0, 5), 1 / 16, 7)
    assert pooled.shape == (0, 2, 7, 7)
    pooled.sum().backward()
    assert maps.grad is not None
    assert not maps.grad.any()
