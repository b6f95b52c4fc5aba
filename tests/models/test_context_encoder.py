import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cebench.models.caffenet import TRUNK_TENSORS, PoolFreeTrunk
from cebench.models.context_encoder import (
    BilinearResize,
    ChannelWiseFullyConnected,
    ContextEncoder,
    UpConvolution,
    visible_mean_colour,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> ContextEncoder:
    return ContextEncoder(generator=seeded()).eval()


def test_channel_wise_layer_is_one_full_layer_per_map() -> None:
    layer = ChannelWiseFullyConnected(3, 4, seeded())
    nn.init.normal_(layer.bias, generator=seeded(1))
    features = torch.randn(2, 3, 2, 2, generator=seeded(2))
    output = layer(features).flatten(2)
    for n in range(2):
        for c in range(3):
            for o in range(4):
                total = layer.bias[c, o].item()
                for i in range(4):
                    total += layer.weight[c, o, i].item() * features[n, c, i // 2, i % 2].item()
                assert output[n, c, o].item() == pytest.approx(total, abs=1e-6)


def test_channel_wise_layer_is_the_authors_grouped_convolution() -> None:
    layer = ChannelWiseFullyConnected(256, 36, seeded())
    nn.init.normal_(layer.bias, generator=seeded(1))
    features = torch.randn(2, 256, 6, 6, generator=seeded(2))
    weight = layer.weight.reshape(9216, 1, 6, 6)
    expected = F.conv2d(features, weight, layer.bias.flatten(), groups=256).view(2, 256, 6, 6)
    torch.testing.assert_close(layer(features), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("from_side", "to_side"), [(161, 227), (5, 13), (13, 5), (1, 4), (7, 7)])
def test_resize_equals_torchs_bilinear_interpolation(from_side: int, to_side: int) -> None:
    maps = torch.randn(2, 3, from_side, from_side, generator=seeded())
    # In float64, because torch's float32 positions are themselves off by 4e-5 of a step.
    size = (to_side, to_side)
    expected = F.interpolate(maps.double(), size=size, mode="bilinear", align_corners=False)
    resized = BilinearResize(from_side, to_side)(maps)
    torch.testing.assert_close(resized, expected.float(), rtol=1e-5, atol=1e-6)


def test_parameter_count_is_the_one_worked_out_by_hand(model: ContextEncoder) -> None:
    # encoder                             2,334,080
    # channel-wise 256 * (36 * 36 + 36)     340,992
    # mixing       256 * (256 + 1)           65,792
    # up-convs     128 * (256 * 25 + 1)     819,328  (bias per output channel)
    #               64 * (128 * 25) + 64    204,864
    #               64 * ( 64 * 25) + 64    102,464
    #               32 * ( 64 * 25) + 32     51,232
    #                3 * ( 32 * 25) + 3       2,403
    assert sum(p.numel() for p in model.parameters()) == 3_921_155


def test_sizes_of_the_decoder_are_those_of_figure_9b(model: ContextEncoder) -> None:
    sizes = []
    for layer in (*model.up_convolutions, model.resize):
        layer.register_forward_hook(lambda _l, _i, output: sizes.append(tuple(output.shape[1:])))
    features = model.encode(torch.zeros(1, 3, 227, 227))
    assert features.shape == (1, 256, 6, 6)
    assert model.predict(features, torch.zeros(1, 3, 1, 1)).shape == (1, 3, 227, 227)
    assert sizes == [
        (128, 11, 11),
        (64, 21, 21),
        (64, 41, 41),
        (32, 81, 81),
        (3, 161, 161),
        (3, 227, 227),
    ]


def test_prediction_is_signed_and_of_order_one_at_the_start(model: ContextEncoder) -> None:
    images = 60 * torch.randn(2, 3, 227, 227, generator=seeded(3))
    with torch.no_grad():
        prediction = model(images)
    assert prediction.min() < -0.1
    assert prediction.max() > 0.1
    assert prediction.std() < 3


def test_dropout_acts_on_the_channel_wise_layer_only(model: ContextEncoder) -> None:
    assert [name for name, m in model.named_modules() if isinstance(m, nn.Dropout)] == ["dropout"]
    mixed_inputs = []
    handle = model.mixing.register_forward_pre_hook(lambda _m, args: mixed_inputs.append(args[0]))
    features = torch.ones(1, 256, 6, 6)
    model.decode(features)
    model.dropout.train()
    model.decode(features)
    model.dropout.eval()
    handle.remove()
    whole, dropped = mixed_inputs
    torch.testing.assert_close(dropped[dropped != 0], 2 * whole[dropped != 0])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_gradient_reaches_every_parameter(model: ContextEncoder) -> None:
    images = 60 * torch.randn(1, 3, 227, 227, generator=seeded(4))
    model(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_random_initialisation_is_a_function_of_the_seed(model: ContextEncoder) -> None:
    torch.manual_seed(99)  # the global generator has no say
    again = ContextEncoder(generator=seeded())
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    other = ContextEncoder(generator=seeded(1))
    same = list(map(torch.equal, model.parameters(), other.parameters()))
    assert same.count(False) == 5 + 1 + 1 + 5  # every weight tensor, no bias


def test_decoder_weights_have_the_documented_variance(model: ContextEncoder) -> None:
    # gain / fan-in, where a stride-2 up-convolution has a fan-in of channels * 25 / 4.
    assert model.channel_wise_fc.weight.var().item() == pytest.approx(2 / 36, rel=0.02)
    assert model.mixing.weight.var().item() == pytest.approx(1 / 256, rel=0.02)
    gains_and_channels = [(1, 256), (2, 128), (2, 64), (2, 64), (0.02, 32)]
    for layer, (gain, channels) in zip(model.up_convolutions, gains_and_channels, strict=True):
        expected = gain / (channels * 25 / 4)
        assert layer.weight.var().item() == pytest.approx(expected, rel=0.05)


def test_wider_mixing_keeps_the_size() -> None:
    wide = ContextEncoder(mixing_kernel=3, generator=seeded())
    assert wide.mixing(torch.zeros(1, 256, 6, 6)).shape == (1, 256, 6, 6)


def test_state_holds_parameters_only_and_the_encoder_under_the_file_formats_names(
    model: ContextEncoder,
) -> None:
    names = list(model.state_dict())
    assert names == [name for name, _ in model.named_parameters()]
    assert tuple(model.encoder.state_dict()) == TRUNK_TENSORS


def test_an_untrained_model_predicts_nearly_grey_from_living_features(
    model: ContextEncoder,
) -> None:
    """A loud first prediction would make Adam silence the encoder (all of pool5 ended at 0)."""
    images = 60 * torch.randn(4, 3, 227, 227, generator=seeded(4))
    with torch.no_grad():
        features = model.encode(images)
        prediction = model.decode(features)
    assert prediction.std() < 0.5
    assert (features.amax(0) > 0).float().mean() > 0.7
    assert features.std(0).mean() / features.mean() > 0.1


def test_the_encoder_can_start_from_the_reference_fillers() -> None:
    encoder = ContextEncoder(encoder_init="caffenet", generator=seeded()).encoder
    assert encoder.conv3.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert encoder.conv2.bias.unique().tolist() == [1.0]


def test_pool_free_trunk_has_a_strided_convolution_for_each_pooling() -> None:
    # conv1 to conv5 2,334,080; 96 * (96 * 9 + 1) + 2 * 256 * (256 * 9 + 1) more
    trunk = PoolFreeTrunk(seeded())
    assert sum(p.numel() for p in trunk.parameters()) == 2_334_080 + 83_040 + 1_180_160
    sizes = []
    for pool in (trunk.pool1, trunk.pool2, trunk.pool5):
        pool.register_forward_hook(lambda _l, _i, output: sizes.append(tuple(output.shape[1:])))
    features = trunk(60 * torch.randn(1, 3, 227, 227, generator=seeded(1)))
    assert sizes == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]
    assert features.min() >= 0
    assert not any(isinstance(module, nn.MaxPool2d) for module in trunk.modules())


def test_pool_free_encoder_starts_alive_and_learns_everywhere() -> None:
    model = ContextEncoder(generator=seeded(), pooling="none").eval()
    images = 60 * torch.randn(2, 3, 227, 227, generator=seeded(4))
    features = model.encode(images)
    assert (features.amax(0) > 0).float().mean() > 0.5
    prediction = model.decode(features)
    assert prediction.std() < 1
    prediction.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_up_convolutions_of_kernel_3_have_the_same_sizes() -> None:
    model = ContextEncoder(generator=seeded(), up_kernel=3).eval()
    sizes = []
    for layer in model.up_convolutions:
        layer.register_forward_hook(lambda _l, _i, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 227, 227)).shape == (1, 3, 227, 227)
    assert sizes == [11, 21, 41, 81, 161]
    # 9 of 25 kernel positions: 9 * (32,768 + 8,192 + 4,096 + 2,048 + 96) + 291 biases
    assert sum(p.numel() for p in model.up_convolutions.parameters()) == 425_091


def test_at_115_px_the_maps_are_3_5_9_17_33_and_the_prediction_115() -> None:
    # channel-wise 256 * (81 + 9), mixing 65,792, up-convolutions
    # 128 * (256 * 25 + 1), 64 * (128 * 25 + 1), 64 * (64 * 25 + 1), 3 * (64 * 25 + 1)
    model = ContextEncoder(generator=seeded(), side=115).eval()
    sizes = []
    for layer in (model.encoder, *model.up_convolutions):
        layer.register_forward_hook(lambda _l, _i, output: sizes.append(output.shape[-1]))
    assert model(torch.zeros(1, 3, 115, 115)).shape == (1, 3, 115, 115)
    assert sizes == [3, 5, 9, 17, 33]
    decoder = sum(p.numel() for p in model.parameters()) - 2_334_080
    assert decoder == 23_040 + 65_792 + 819_328 + 204_864 + 102_464 + 4_803
    assert model.predict(model.encode(torch.zeros(1, 3, 115, 115)), torch.zeros(1)).shape[-1] == 33


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [1, 6])
def test_an_up_convolution_as_a_convolution_is_the_transposed_one(kernel: int, side: int) -> None:
    layer = UpConvolution(4, 6, kernel).double()
    maps = torch.randn(2, 4, side, side, generator=seeded(1), dtype=torch.double)
    torch.testing.assert_close(layer.as_convolution(maps), layer(maps))


def test_the_visible_mean_colour_is_that_of_the_visible_pixels() -> None:
    """Channel values 10 in 3 visible pixels and 30 in one, twice as many missing: 15 on average."""
    context = torch.tensor([10.0, 10, 10, 30, 0, 0, 0, 0]).view(1, 1, 2, 4).expand(1, 3, 2, 4)
    holes = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]).bool().view(1, 1, 2, 4)
    colour = visible_mean_colour(context, holes, mean=(100, 120, 140))
    expected = (torch.tensor([115.0, 135, 155]) / 127.5 - 1).view(1, 3, 1, 1)
    torch.testing.assert_close(colour, expected)
    whole = visible_mean_colour(context, None, mean=(100, 120, 140))
    torch.testing.assert_close(whole, expected - 7.5 / 127.5)


def test_a_residual_is_added_to_the_mean_colour_of_each_image() -> None:
    model = ContextEncoder(generator=seeded(), side=115, residual="mean-colour").eval()
    nn.init.zeros_(model.up_convolutions[-1].weight)
    context = torch.full((2, 3, 115, 115), 20.0)
    context[1] = -50
    holes = torch.zeros(2, 1, 115, 115, dtype=torch.bool)
    holes[:, :, 40:80, 40:80] = True
    context.masked_fill_(holes, 0)
    with torch.no_grad():
        prediction = model(context, holes)
    colours = visible_mean_colour(context, holes)
    assert colours[0, 0, 0, 0].item() == pytest.approx((20 + 122.67892) / 127.5 - 1)
    torch.testing.assert_close(prediction, colours.expand_as(prediction))
