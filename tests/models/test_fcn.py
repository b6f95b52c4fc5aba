import math

import pytest
import torch
import torch.nn.functional as F

from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.fcn import FCN32s, segmentation_cross_entropy, upscore


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> FCN32s:
    return FCN32s(generator=seeded())


def caffe_bilinear_upscore(scores: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The original: a 63 x 63 kernel on the diagonal of a dense deconvolution, then the crop."""
    classes = scores.shape[1]
    ramp = 1 - (torch.arange(63) - 31).abs() / 32
    weight = torch.zeros(classes, classes, 63, 63)
    for c in range(classes):
        weight[c, c] = ramp[:, None] * ramp
    full = F.conv_transpose2d(scores, weight, stride=32)
    return full[:, :, 18 : 18 + height, 18 : 18 + width]


def test_parameter_count(model: FCN32s) -> None:
    # 2,334,080 + 4096 * 9217 + 4096 * 4097 + 21 * 4097
    assert sum(p.numel() for p in model.parameters()) == 56_954_261


def test_fillers_of_the_head(model: FCN32s) -> None:
    for layer in (model.fc6, model.fc7):
        assert layer.weight.std().item() == pytest.approx(0.005, rel=0.01)
        assert layer.bias.unique().tolist() == [1]
    assert not model.score_fr.weight.any()
    assert not model.score_fr.bias.any()


def test_upscore_is_the_originals_deconvolution_and_crop() -> None:
    scores = torch.randn(2, 3, 5, 4, generator=seeded())
    expected = caffe_bilinear_upscore(scores, 150, 120)
    torch.testing.assert_close(upscore(scores, 150, 120), expected, rtol=1e-5, atol=1e-5)


def test_upscore_filter_around_its_centre() -> None:
    # One score at (1, 1): its filter is centred on output 32 + 31 = 63, that is 63 - 18 = 45 of
    # the crop, where it is 1; one pixel away 31/32 on each axis, 32 pixels away 0.
    scores = torch.zeros(1, 1, 3, 3)
    scores[0, 0, 1, 1] = 1
    maps = upscore(scores, 100, 100)[0, 0]
    assert maps[45, 45] == 1
    assert maps[44, 45] == 31 / 32
    assert maps[46, 44] == (31 / 32) ** 2
    assert maps[45, 45 + 31] == 1 / 32
    assert maps[45, 45 + 32] == 0
    assert maps[45 - 32, 45] == 0


def test_constant_scores_stay_constant() -> None:
    # Every pixel inside lies between two scores whose weights sum to 1.
    maps = upscore(torch.full((1, 1, 6, 6), 3.0), 130, 130)
    torch.testing.assert_close(maps[..., 13:, 13:], torch.full((1, 1, 117, 117), 3.0))


def test_scores_cover_an_image_of_any_size() -> None:
    # The last deconvolved pixel, 32 * (n - 1) + 62, must reach the crop's last, 18 + size - 1.
    trunk = CaffeNetTrunk(conv1_padding=100).to("meta")
    for size in range(16, 560):
        # fc6 takes off five rows; a height of 227 is any height.
        rows = trunk(torch.empty(1, 3, size, 227, device="meta")).shape[-2] - 5
        assert 32 * (rows - 1) + 62 >= 18 + size - 1


@pytest.mark.parametrize(("height", "width"), [(97, 130), (65, 64)])
def test_prediction_has_the_size_of_the_image(model: FCN32s, height: int, width: int) -> None:
    with torch.no_grad():
        scores = model(torch.zeros(1, 3, height, width))
    assert scores.shape == (1, 21, height, width)
    assert not scores.any()


@pytest.mark.parametrize(("height", "width"), [(500, 375), (333, 500), (375, 500)])
def test_prediction_of_a_real_image_size(height: int, width: int) -> None:
    with torch.device("meta"):
        model = FCN32s()
        assert model(torch.empty(1, 3, height, width)).shape == (1, 21, height, width)


def test_gradient_reaches_every_parameter(model: FCN32s) -> None:
    torch.nn.init.normal_(model.score_fr.weight, std=0.01, generator=seeded(1))
    images = 50 * torch.randn(1, 3, 65, 64, generator=seeded(2))
    labels = torch.randint(0, 21, (1, 65, 64), generator=seeded(3))
    segmentation_cross_entropy(model(images), labels).backward()
    torch.nn.init.zeros_(model.score_fr.weight)
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_loss_starts_at_the_logarithm_of_the_number_of_classes() -> None:
    labels = torch.randint(0, 21, (1, 8, 9), generator=seeded()).to(torch.uint8)
    loss = segmentation_cross_entropy(torch.zeros(1, 21, 8, 9), labels)
    assert loss.item() == pytest.approx(math.log(21))


def test_loss_is_torchs_over_maps_and_void_pixels_do_not_count() -> None:
    scores = torch.randn(2, 5, 6, 7, generator=seeded())
    labels = torch.randint(0, 5, (2, 6, 7), generator=seeded(1))
    labels[0, :4] = 255
    expected = F.cross_entropy(scores, labels, ignore_index=255)
    torch.testing.assert_close(segmentation_cross_entropy(scores, labels), expected)


def test_loss_of_an_image_of_void_is_zero_with_zero_gradient() -> None:
    scores = torch.randn(1, 5, 2, 2, generator=seeded(), requires_grad=True)
    loss = segmentation_cross_entropy(scores, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()
