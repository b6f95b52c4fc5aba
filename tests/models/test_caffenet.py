import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cebench.models.backbones import CAFFENET_WITHOUT_GROUPS, build_backbone
from cebench.models.caffenet import (
    IMAGENET_MEAN_RGB,
    TRUNK_TENSORS,
    CaffeNetTrunk,
    LocalResponseNorm,
    gaussian_filler,
    preprocess,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def trunk() -> CaffeNetTrunk:
    return CaffeNetTrunk(generator=seeded())


def test_layer_table_is_that_of_the_reference_net(trunk: CaffeNetTrunk) -> None:
    # Weight shapes of bvlc_reference_caffenet.caffemodel: out, in / groups, height, width.
    assert {name: tuple(tensor.shape) for name, tensor in trunk.state_dict().items()} == {
        "conv1.weight": (96, 3, 11, 11),
        "conv1.bias": (96,),
        "conv2.weight": (256, 48, 5, 5),
        "conv2.bias": (256,),
        "conv3.weight": (384, 256, 3, 3),
        "conv3.bias": (384,),
        "conv4.weight": (384, 192, 3, 3),
        "conv4.bias": (384,),
        "conv5.weight": (256, 192, 3, 3),
        "conv5.bias": (256,),
    }
    assert tuple(trunk.state_dict()) == TRUNK_TENSORS
    # 34,944 + 307,456 + 885,120 + 663,936 + 442,624
    assert sum(p.numel() for p in trunk.parameters()) == 2_334_080


def test_without_groups_every_filter_sees_all_channels() -> None:
    shapes = {n: tuple(t.shape) for n, t in CaffeNetTrunk(groups=False).state_dict().items()}
    assert {shapes[f"conv{n}.weight"] for n in (2, 4, 5)} == {
        (256, 96, 5, 5),
        (384, 384, 3, 3),
        (256, 384, 3, 3),
    }
    assert build_backbone(CAFFENET_WITHOUT_GROUPS).features == 9216
    grouped, full = CaffeNetTrunk(), CaffeNetTrunk(groups=False)
    with torch.no_grad():
        full.load_state_dict(
            {
                name: _without_groups(value, shapes[name])
                for name, value in grouped.state_dict().items()
            }
        )
        images = torch.randn(1, 3, 115, 115, generator=seeded()) * 50
        torch.testing.assert_close(full(images), grouped(images))


def _without_groups(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A grouped layer's weights as the block diagonal of one without groups."""
    if tuple(value.shape) == shape:
        return value
    whole, (rows, columns) = torch.zeros(shape), (shape[0] // 2, shape[1] // 2)
    whole[:rows, :columns], whole[rows:, columns:] = value[:rows], value[rows:]
    return whole


def test_sizes_of_every_layer_at_227(trunk: CaffeNetTrunk) -> None:
    sizes = {}
    for name, layer in trunk.named_children():
        layer.register_forward_hook(
            lambda _layer, _input, output, name=name: sizes.update({name: tuple(output.shape[1:])})
        )
    trunk(torch.zeros(1, 3, 227, 227))
    assert sizes == {
        "conv1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "norm1": (96, 27, 27),
        "conv2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "norm2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
    }


def test_paddings_change_sizes_and_not_parameters(trunk: CaffeNetTrunk) -> None:
    detector = CaffeNetTrunk(conv1_padding=5, pool_padding=1, generator=seeded())
    images = torch.zeros(1, 3, 600, 800)
    # 600: conv1 150, pool1 ceil(149 / 2) + 1 = 76, pool2 ceil(75 / 2) + 1 = 39; 800: 200, 101, 51.
    assert detector.feature_maps(images)[16].shape == (1, 256, 39, 51)
    # 600: conv1 148, pool1 ceil(145 / 2) + 1 = 74, pool2 ceil(71 / 2) + 1 = 37; 800: 198, 99, 49.
    assert trunk.feature_maps(images)[16].shape == (1, 256, 37, 49)
    for name, tensor in trunk.state_dict().items():
        torch.testing.assert_close(detector.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("padding", [0, 1])
def test_ceil_mode_is_caffes_pooled_size(padding: int) -> None:
    pool = nn.MaxPool2d(3, 2, padding=padding, ceil_mode=True)
    for size in range(3, 80):
        pooled = math.ceil((size + 2 * padding - 3) / 2) + 1
        if padding and (pooled - 1) * 2 >= size + padding:
            pooled -= 1
        assert pool(torch.zeros(1, 1, size, size)).shape[-1] == pooled


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_local_response_norm_and_its_gradient_equal_torchs(
    memory_format: torch.memory_format,
) -> None:
    features = 40 * torch.randn(2, 9, 5, 4, generator=seeded())
    outputs, gradients = [], []
    for norm in (LocalResponseNorm(), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)):
        x = features.to(memory_format=memory_format).requires_grad_()
        y = norm(x)
        (gradient,) = torch.autograd.grad((y * features.roll(1)).sum(), x)
        outputs.append(y)
        gradients.append(gradient)
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_local_response_norm_of_a_hand_solved_pixel() -> None:
    # One pixel with channels 100, 200, 0, 300: channel 0 sees 0..2, so its sum of squares is
    # 50,000 and its divisor (1 + 1e-4 / 5 * 50,000) ** 0.75 = 2 ** 0.75; channel 3 sees 1..3,
    # 130,000: 3.6 ** 0.75.
    pixel = torch.tensor([100.0, 200.0, 0.0, 300.0]).view(1, 4, 1, 1)
    normed = LocalResponseNorm()(pixel).flatten()
    assert normed[0].item() == pytest.approx(100 / 2**0.75)
    assert normed[3].item() == pytest.approx(300 / 3.6**0.75)


def test_pools_before_normalising_with_relus_between(trunk: CaffeNetTrunk) -> None:
    # The same net written out with torch's own layers.
    images = 50 * torch.randn(1, 3, 99, 115, generator=seeded(1))
    x = F.max_pool2d(F.conv2d(images, trunk.conv1.weight, trunk.conv1.bias, 4).relu(), 3, 2)
    x = F.local_response_norm(x, 5, 1e-4, 0.75, 1.0)
    x = F.conv2d(x, trunk.conv2.weight, trunk.conv2.bias, padding=2, groups=2).relu()
    x = F.local_response_norm(F.max_pool2d(x, 3, 2, ceil_mode=True), 5, 1e-4, 0.75, 1.0)
    x = F.conv2d(x, trunk.conv3.weight, trunk.conv3.bias, padding=1).relu()
    x = F.conv2d(x, trunk.conv4.weight, trunk.conv4.bias, padding=1, groups=2).relu()
    x = F.conv2d(x, trunk.conv5.weight, trunk.conv5.bias, padding=1, groups=2).relu()
    torch.testing.assert_close(trunk.feature_maps(images)[16], x)
    torch.testing.assert_close(trunk(images), F.max_pool2d(x, 3, 2, ceil_mode=True))


def test_fillers_have_the_reference_nets_statistics(trunk: CaffeNetTrunk) -> None:
    for number, bias in enumerate((0, 1, 0, 1, 1), start=1):
        layer = trunk.get_submodule(f"conv{number}")
        assert isinstance(layer, nn.Conv2d)
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert abs(layer.weight.mean().item()) < 2e-4
        assert layer.bias is not None
        assert layer.bias.unique().tolist() == [bias]


def test_random_initialisation_is_a_function_of_the_seed(trunk: CaffeNetTrunk) -> None:
    torch.manual_seed(99)  # the global generator has no say
    again, other = CaffeNetTrunk(generator=seeded()), CaffeNetTrunk(generator=seeded(1))
    assert all(map(torch.equal, trunk.parameters(), again.parameters()))
    assert not torch.equal(trunk.conv3.weight, other.conv3.weight)


def test_gaussian_filler_fills_a_layer_without_bias() -> None:
    layer = nn.Linear(200, 200, bias=False)
    gaussian_filler(layer, 0.5, 1, seeded())
    assert layer.weight.std().item() == pytest.approx(0.5, rel=0.02)


def test_gradient_reaches_every_parameter(trunk: CaffeNetTrunk) -> None:
    trunk.zero_grad()
    trunk(50 * torch.randn(2, 3, 99, 99, generator=seeded())).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trunk.parameters())


def test_preprocess_sends_the_mean_pixel_to_zero_and_keeps_its_input() -> None:
    images = torch.tensor(IMAGENET_MEAN_RGB).view(1, 3, 1, 1).expand(2, 3, 4, 5).clone()
    assert not preprocess(images).any()
    assert images.any()


def test_preprocess_of_bytes_is_rgb_minus_the_mean() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    result = preprocess(red, mean=(100, 50, 25))
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [155, -50, -25]
