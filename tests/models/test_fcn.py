import math

import pytest
import torch
import torch.nn.functional as F

from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.fcn import FCN, segmentation_cross_entropy, upscore
from cebench.models.options import Stride


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> FCN:
    return FCN(generator=seeded())


def caffe_bilinear_upscore(scores: torch.Tensor, stride: int) -> torch.Tensor:
    """The original: a square kernel on the diagonal of a dense deconvolution."""
    classes, half = scores.shape[1], stride - 1
    ramp = 1 - (torch.arange(2 * stride - 1) - half).abs() / stride
    weight = torch.zeros(classes, classes, 2 * stride - 1, 2 * stride - 1)
    for c in range(classes):
        weight[c, c] = ramp[:, None] * ramp
    return F.conv_transpose2d(scores, weight, stride=stride)


def test_parameter_counts() -> None:
    # 2,334,080 + 4096 * 9217 + 4096 * 4097 + 21 * 4097, then 21 * 257 and 21 * 97
    expected = {32: 56_954_261, 16: 56_959_658, 8: 56_961_695}
    for stride, count in expected.items():
        with torch.device("meta"):
            assert sum(p.numel() for p in FCN(stride=stride).parameters()) == count


def test_fillers_of_the_head(model: FCN) -> None:
    for layer in (model.head.fc6, model.head.fc7):
        assert layer.weight.std().item() == pytest.approx(0.005, rel=0.01)
        assert layer.bias.unique().tolist() == [1]
    he = FCN(head_init="he", generator=seeded()).head
    assert he.fc6.weight.std().item() == pytest.approx((2 / 9216) ** 0.5, rel=0.01)
    assert he.fc7.weight.std().item() == pytest.approx((2 / 4096) ** 0.5, rel=0.01)
    assert not he.fc6.bias.any()


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_every_score_layer_starts_at_zero(stride: Stride) -> None:
    scored = {n: p for n, p in FCN(stride=stride).named_parameters() if "score_" in n}
    assert len(scored) == {32: 2, 16: 4, 8: 6}[stride]
    assert not any(p.any() for p in scored.values())


def test_standardised_units_have_mean_0_and_variance_1_over_the_maps() -> None:
    head = FCN(head_init="data", generator=seeded()).head
    maps = [1 + 0.1 * torch.rand(1, 256, 9, width, generator=seeded(width)) for width in (8, 11)]
    head.data_dependent_init(maps)
    with torch.no_grad():
        for layer in (head.fc6, head.fc7):
            units = torch.cat([layer(x)[0].flatten(1) for x in maps], dim=1)
            torch.testing.assert_close(units.mean(1), torch.zeros(4096), rtol=0, atol=2e-3)
            torch.testing.assert_close(units.std(1), torch.ones(4096), rtol=2e-3, atol=0)
            maps = [F.relu(layer(x)) for x in maps]


def test_upscore_is_the_originals_deconvolution_and_crop() -> None:
    scores = torch.randn(2, 3, 5, 4, generator=seeded())
    expected = caffe_bilinear_upscore(scores, 32)[:, :, 18 : 18 + 150, 18 : 18 + 120]
    found = upscore(scores, 32, 150, 120, offset=18)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_upscore_filter_around_its_centre() -> None:
    # One score at (1, 1): its filter is centred on output 32 + 31 = 63, that is 63 - 18 = 45 of
    # the crop, where it is 1; one pixel away 31/32 on each axis, 32 pixels away 0.
    scores = torch.zeros(1, 1, 3, 3)
    scores[0, 0, 1, 1] = 1
    maps = upscore(scores, 32, 100, 100, offset=18)[0, 0]
    assert maps[45, 45] == 1
    assert maps[44, 45] == 31 / 32
    assert maps[46, 44] == (31 / 32) ** 2
    assert maps[45, 45 + 31] == 1 / 32
    assert maps[45, 45 + 32] == 0
    assert maps[45 - 32, 45] == 0


def caffe_reference(model: FCN, images: torch.Tensor) -> torch.Tensor:
    """FCN-16s and 8s spelled out as in voc-fcn16s/net.py and voc-fcn8s/net.py, for CaffeNet."""
    trunk, head = model.trunk, model.head
    pool1 = trunk.pool1(F.relu(trunk.conv1(images)))
    pool2 = trunk.pool2(F.relu(trunk.conv2(trunk.norm1(pool1))))
    x = trunk.norm2(pool2)
    for layer in (trunk.conv3, trunk.conv4, trunk.conv5):
        x = F.relu(layer(x))
    scores = head.score_fr(F.relu(head.fc7(F.relu(head.fc6(trunk.pool5(x))))))
    factor = 32
    for score, pool, offset in ((head.score_pool2, pool2, 5), (head.score_pool1, pool1, 10)):
        if score is not None:
            scores = caffe_bilinear_upscore(scores, 2)
            height, width = scores.shape[-2:]
            scores = scores + score(pool)[..., offset : offset + height, offset : offset + width]
            factor //= 2
    height, width = images.shape[-2:]
    return caffe_bilinear_upscore(scores, factor)[..., 18 : 18 + height, 18 : 18 + width]


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_the_network_is_caffes_layer_by_layer(stride: Stride) -> None:
    model = FCN(5, stride, "he", seeded()).eval()
    for name, parameter in model.named_parameters():
        if "score_" in name:
            torch.nn.init.normal_(parameter, std=0.02, generator=seeded(len(name)))
    images = 60 * torch.randn(1, 3, 75, 110, generator=seeded(9))
    with torch.no_grad():
        found, expected = model(images), caffe_reference(model, images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def composed(layers: list[tuple[int, int, int]]) -> tuple[float, float]:
    """pycaffe's coord_map: value i of the last map looks at pixel scale * i + shift.

    layers: kernel, stride, padding each; a negative stride is a deconvolution's.
    """
    scale, shift = 1.0, 0.0
    for kernel, stride, padding in layers:
        centre = (kernel - 1) / 2 - padding
        if stride > 0:
            scale, shift = scale * stride, shift + scale * centre
        else:
            scale, shift = scale / -stride, shift - scale / -stride * centre
    return scale, shift


def test_crop_offsets_follow_from_kernels_strides_and_paddings() -> None:
    pool1 = [(11, 4, 100), (3, 2, 0)]
    pool2 = [*pool1, (5, 1, 2), (3, 2, 0)]
    score_fr = [*pool2, (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0), (6, 1, 0)]
    assert composed(pool1) == (8, -91)
    assert composed(pool2) == (16, -83)
    assert composed(score_fr) == (32, 13)
    twice = (3, -2, 0)
    # offset = (deep shift - skip shift) / scale, where both have one scale.
    for skip, deep, offset in ((pool2, [twice], 5), (pool1, [twice, twice], 10)):
        (scale, shift), (same, deep_shift) = composed(skip), composed([*score_fr, *deep])
        assert scale == same
        assert (deep_shift - shift) / scale == offset
    for layers in ([(63, -32, 0)], [twice, (31, -16, 0)], [twice, twice, (15, -8, 0)]):
        assert composed([*score_fr, *layers]) == (1, -18)
    # The kernel 4 of VGG's nets would set the two half a pixel apart.
    assert (composed([*score_fr, (4, -2, 0)])[1] - composed(pool2)[1]) / 16 == 4.5


def averaging(model: FCN) -> FCN:
    """Every layer passes on the mean of what it looks at, so that scores are positions."""
    for pool in ("pool1", "pool2", "pool5"):
        stride_two = torch.nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
        setattr(model.trunk, pool, stride_two)
    model.trunk.norm1 = model.trunk.norm2 = torch.nn.Identity()  # type: ignore[assignment]
    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        torch.nn.init.constant_(parameter, 1 / fan_in if name.endswith("weight") else 0)
    return model.eval()


def test_scores_are_enlarged_in_float32_within_autocast() -> None:
    scores = torch.randn(1, 2, 3, 3, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        found = upscore(scores.bfloat16(), 32, 40, 40, offset=18)
    assert torch.equal(found, upscore(scores.bfloat16().float(), 32, 40, 40, offset=18))


@pytest.mark.parametrize("branch", ["score_fr", "score_pool2", "score_pool1"])
def test_each_branch_alone_scores_a_pixel_by_what_lies_there(branch: str) -> None:
    # A ramp from left to right goes through the net: in the middle, out of the borders' reach, the
    # score of column x must be x.
    model = averaging(FCN(1, 8, generator=seeded()))
    for layer in ("score_fr", "score_pool2", "score_pool1"):
        if layer != branch:
            torch.nn.init.zeros_(getattr(model.head, layer).weight)
    ramp = torch.arange(1.0, 561.0).expand(1, 3, 560, 560)
    with torch.no_grad():
        scores = model(ramp)[0, 0]
    middle = slice(276, 284)
    torch.testing.assert_close(scores[middle, middle], ramp[0, 0, middle, middle])


def test_constant_scores_stay_constant() -> None:
    # Every pixel inside lies between two scores whose weights sum to 1.
    maps = upscore(torch.full((1, 1, 6, 6), 3.0), 32, 130, 130, offset=18)
    torch.testing.assert_close(maps[..., 13:, 13:], torch.full((1, 1, 117, 117), 3.0))


@pytest.mark.slow
def test_maps_cover_an_image_of_any_size() -> None:
    trunk = CaffeNetTrunk(conv1_padding=100).to("meta")
    for size in range(16, 560):
        with torch.no_grad():  # A height of 227 is any height.
            pool1, pool2 = trunk.pool1_and_pool2(torch.empty(1, 3, size, 227, device="meta"))
            rows = trunk.pool5(trunk.conv5_of(pool2)).shape[-2] - 5  # fc6 takes off five.
        # The last of 32 (n - 1) + 63 enlarged pixels must reach the crop's last.
        assert 32 * (rows - 1) + 63 >= 18 + size
        assert pool2.shape[-2] >= 5 + 2 * rows + 1
        assert pool1.shape[-2] >= 10 + 4 * rows + 3
        assert 16 * 2 * rows + 31 >= 18 + size
        assert 8 * (4 * rows + 2) + 15 >= 18 + size


@pytest.mark.parametrize(("height", "width"), [(97, 130), (65, 64)])
def test_prediction_has_the_size_of_the_image(model: FCN, height: int, width: int) -> None:
    with torch.no_grad():
        scores = model(torch.zeros(1, 3, height, width))
    assert scores.shape == (1, 21, height, width)
    assert not scores.any()


@pytest.mark.parametrize(("height", "width"), [(500, 375), (333, 500), (375, 500)])
def test_prediction_of_a_real_image_size(height: int, width: int) -> None:
    with torch.device("meta"):
        model = FCN()
        assert model(torch.empty(1, 3, height, width)).shape == (1, 21, height, width)


def test_gradient_reaches_every_parameter(model: FCN) -> None:
    torch.nn.init.normal_(model.head.score_fr.weight, std=0.01, generator=seeded(1))
    images = 50 * torch.randn(1, 3, 65, 64, generator=seeded(2))
    labels = torch.randint(0, 21, (1, 65, 64), generator=seeded(3))
    segmentation_cross_entropy(model(images), labels).backward()
    torch.nn.init.zeros_(model.head.score_fr.weight)
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_loss_starts_at_the_logarithm_of_the_number_of_classes() -> None:
    labels = torch.randint(0, 21, (1, 8, 9), generator=seeded()).to(torch.uint8)
    loss = segmentation_cross_entropy(torch.zeros(1, 21, 8, 9), labels)
    assert loss.item() == pytest.approx(math.log(21))


def test_loss_is_torchs_over_maps_and_void_pixels_do_not_count() -> None:
    scores = torch.randn(2, 5, 6, 7, generator=seeded())
    labels = torch.randint(0, 5, (2, 6, 7), generator=seeded(1))
    labels[0, :4] = 255
    each = [F.cross_entropy(scores[i : i + 1], labels[i : i + 1], ignore_index=255) for i in (0, 1)]
    expected = (each[0] + each[1]) / 2  # Of images, not of pixels: 14 of them are in the first.
    torch.testing.assert_close(segmentation_cross_entropy(scores, labels), expected)


def test_loss_of_an_image_of_void_is_zero_with_zero_gradient() -> None:
    scores = torch.randn(1, 5, 2, 2, generator=seeded(), requires_grad=True)
    loss = segmentation_cross_entropy(scores, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()
