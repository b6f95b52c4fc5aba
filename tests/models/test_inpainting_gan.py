import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.inpainting_gan import (
    FILL,
    Discriminator,
    InpaintingGenerator,
    MapToPoint,
    PointToMap,
    central_square,
)

# kernel, stride, padding, channels in and out, side of the output, normalised, activation:
# the tables of pathak22/context-encoder, train.lua.
ENCODER_128 = [
    (4, 2, 1, 3, 64, 64, False, "LeakyReLU 0.2"),
    (4, 2, 1, 64, 64, 32, True, "LeakyReLU 0.2"),
    (4, 2, 1, 64, 128, 16, True, "LeakyReLU 0.2"),
    (4, 2, 1, 128, 256, 8, True, "LeakyReLU 0.2"),
    (4, 2, 1, 256, 512, 4, True, "LeakyReLU 0.2"),
    (4, 1, 0, 512, 4000, 1, True, "LeakyReLU 0.2"),
]
DECODER_64 = [
    (4, 1, 0, 4000, 512, 4, True, "ReLU"),
    (4, 2, 1, 512, 256, 8, True, "ReLU"),
    (4, 2, 1, 256, 128, 16, True, "ReLU"),
    (4, 2, 1, 128, 64, 32, True, "ReLU"),
    (4, 2, 1, 64, 3, 64, False, "Tanh"),
]
DISCRIMINATOR_64 = [
    (4, 2, 1, 3, 64, 32, False, "LeakyReLU 0.2"),
    (4, 2, 1, 64, 128, 16, True, "LeakyReLU 0.2"),
    (4, 2, 1, 128, 256, 8, True, "LeakyReLU 0.2"),
    (4, 2, 1, 256, 512, 4, True, "LeakyReLU 0.2"),
    (4, 1, 0, 512, 1, 1, False, ""),
]
# train_random.lua at 128 px: one stage more in decoder and discriminator.
DECODER_128 = [
    *DECODER_64[:4],
    (4, 2, 1, 64, 64, 64, True, "ReLU"),
    (4, 2, 1, 64, 3, 128, False, "Tanh"),
]
DISCRIMINATOR_128 = [
    (4, 2, 1, 3, 64, 64, False, "LeakyReLU 0.2"),
    (4, 2, 1, 64, 64, 32, True, "LeakyReLU 0.2"),
    *DISCRIMINATOR_64[1:],
]
# At 64 px the encoder loses its second stage.
ENCODER_64 = [(*ENCODER_128[0][:5], 32, False, "LeakyReLU 0.2"), *ENCODER_128[2:]]

Row = tuple[int, int, int, int, int, int, bool, str]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer_table(layers: nn.Module, images: Tensor) -> tuple[list[Row], Tensor]:
    """The rows of a sequence of layers, sides measured, and what comes out."""
    rows: list[Row] = []
    x = images
    for layer in layers.children():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.bias is None
            shape = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
            rows.append((*shape, layer.in_channels, layer.out_channels, x.shape[-1], False, ""))
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.eps, layer.momentum) == (1e-5, 0.1)
            rows[-1] = (*rows[-1][:6], True, "")
        else:
            slope = f" {layer.negative_slope}" if isinstance(layer, nn.LeakyReLU) else ""
            rows[-1] = (*rows[-1][:7], type(layer).__name__ + slope)
    return rows, x


@pytest.mark.parametrize(
    ("side", "region", "encoder", "decoder", "parameters"),
    [
        # Convolutions 3*64*16 + 64*64*16 + 64*128*16 + 128*256*16 + 256*512*16 + 512*4000*16, then
        # 4000*512*16 + 512*256*16 + 256*128*16 + 128*64*16 + 64*3*16, and two numbers for each of
        # the 4960 + 960 normalised channels.
        (128, "center", ENCODER_128, DECODER_64, 71_124_544),
        (128, "image", ENCODER_128, DECODER_128, 71_124_544 + 64 * 64 * 16 + 2 * 64),
        (64, "image", ENCODER_64, DECODER_64, 71_124_544 - 64 * 64 * 16 - 2 * 64),
    ],
)
def test_generator_has_the_layers_of_the_released_code(
    side: int, region: str, encoder: list[Row], decoder: list[Row], parameters: int
) -> None:
    generator = InpaintingGenerator(side, region)  # type: ignore[arg-type]
    assert sum(p.numel() for p in generator.parameters()) == parameters
    rows, features = layer_table(generator.encoder, torch.zeros(2, 3, side, side))
    assert rows == encoder
    assert layer_table(generator.decoder, features)[0] == decoder


@pytest.mark.parametrize(
    ("side", "layers", "parameters"),
    [
        # 3*64*16 + 64*128*16 + 128*256*16 + 256*512*16 + 512*16 + 2 * (128 + 256 + 512)
        (64, DISCRIMINATOR_64, 2_765_568),
        (128, DISCRIMINATOR_128, 2_765_568 + 64 * 64 * 16 + 2 * 64),
    ],
)
def test_discriminator_has_the_layers_of_the_released_code(
    side: int, layers: list[Row], parameters: int
) -> None:
    discriminator = Discriminator(side)
    images = torch.zeros(2, 3, side, side)
    assert sum(p.numel() for p in discriminator.parameters()) == parameters
    assert layer_table(discriminator.layers, images)[0] == layers
    assert discriminator(images).shape == (2,)


@pytest.mark.parametrize(
    ("layer", "convolution", "inputs"),
    [
        (MapToPoint(6, 10), F.conv2d, torch.randn(3, 6, 4, 4, generator=seeded())),
        (PointToMap(6, 10), F.conv_transpose2d, torch.randn(3, 6, 1, 1, generator=seeded())),
    ],
)
def test_bottleneck_products_are_the_convolutions(
    layer: nn.Module, convolution: object, inputs: Tensor
) -> None:
    inputs.requires_grad_(True)
    weight = layer.weight
    expected = convolution(inputs, weight)  # type: ignore[operator]
    outputs = layer(inputs)
    torch.testing.assert_close(outputs, expected)
    upstream = torch.randn(outputs.shape, generator=seeded(1))
    for ours, theirs in zip(
        torch.autograd.grad(outputs, (inputs, weight), upstream),
        torch.autograd.grad(expected, (inputs, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_encode_gives_the_activated_bottleneck_and_prediction_lies_in_the_pixel_range() -> None:
    generator = InpaintingGenerator(bottleneck=20, generator=seeded())
    images = torch.rand(4, 3, 128, 128, generator=seeded(1)) * 2 - 1
    features, prediction = generator.encode(images), generator(images)
    assert features.shape == (4, 20, 1, 1)
    before = torch.where(features < 0, 5 * features, features)  # LeakyReLU of 0.2 undone.
    torch.testing.assert_close(before.mean(0), torch.zeros(20, 1, 1), rtol=0, atol=1e-5)
    assert prediction.shape == (4, 3, 64, 64)
    assert prediction.abs().max() <= 1


def test_initial_weights_are_the_released_codes_and_belong_to_the_seed() -> None:
    first, second = (InpaintingGenerator(bottleneck=200, generator=seeded(3)) for _ in range(2))
    for name, layer in first.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.weight.mean().item() == pytest.approx(0, abs=0.002), name
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05), name
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02), name
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.5), name
            assert not layer.bias.any()
    for ours, twin in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, twin)


def test_fill_is_the_released_codes_constants() -> None:
    assert pytest.approx((-0.0824, -0.1843, -0.0353), abs=5e-5) == FILL


def test_central_square_is_rows_32_to_95_of_128() -> None:
    rows = torch.arange(128.0).expand(1, 1, 128, 128)
    assert central_square(rows, 64)[0, 0, 0].tolist() == list(range(32, 96))
