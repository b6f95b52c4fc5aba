from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.backbone import Backbone, count_features
from cebench.models.backbones import CAFFENET, CAFFENET_POOL_FREE, build_backbone, build_trunk
from cebench.models.caffenet import CaffeNetTrunk, PoolFreeTrunk
from cebench.models.torchvision_backbones import AdaptiveAveragePool, TorchvisionBackbone, _layers


@pytest.mark.parametrize(
    ("architecture", "side", "features", "layers", "fully_connected"),
    [
        (CAFFENET, 227, 9216, 6, ("fc6", "fc7")),
        ("torchvision/alexnet", 224, 9216, 6, ("classifier.1", "classifier.4")),
        ("torchvision/resnet18", 224, 512, 6, ()),
        ("torchvision/vgg11", 224, 25088, 6, ("classifier.0", "classifier.3")),
        ("torchvision/mobilenet_v3_small", 224, 1024, 6, ()),
    ],
)
def test_what_is_known_of_a_backbone(
    architecture: str, side: int, features: int, layers: int, fully_connected: tuple[str, ...]
) -> None:
    backbone = build_backbone(architecture)
    assert (backbone.side, backbone.features) == (side, features)
    assert len(backbone.layer_names) == layers
    assert backbone.layer_names[-1] == "pool5"
    assert backbone.fully_connected == fully_connected


def test_the_trunk_is_the_network_before_its_classifier() -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    backbone = build_backbone("torchvision/resnet18")
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    backbone.trunk.load_state_dict(state)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(network.fc(backbone.trunk.eval()(images)), network(images))


def test_googlenets_features_are_those_that_torchvisions_weights_make(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchvision gives GoogLeNet (and Inception) another normalisation with its weights."""
    kinds = torchvision.models.GoogLeNet_Weights
    state = torchvision.models.googlenet(init_weights=False).state_dict()
    monkeypatch.setattr(kinds, "get_state_dict", lambda *_, **__: state)
    network = torchvision.models.googlenet(weights=kinds.IMAGENET1K_V1).eval()
    backbone = build_backbone("torchvision/googlenet", side=64)
    backbone.trunk.load_state_dict({k: state[k] for k in backbone.trunk.state_dict()})
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network.fc(backbone.trunk(images)), network(images))


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 7), (13, 20), (4, 30), (1, 1)])
def test_the_pool_is_the_adaptive_one(height: int, width: int) -> None:
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    pooled = AdaptiveAveragePool(6)(maps)
    torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(maps, 6))
    assert (pooled is maps) == ((height, width) == (6, 6))


@pytest.mark.parametrize("side", [224, 256])
def test_alexnets_trunk_is_the_network_before_fc6_at_every_side(side: int) -> None:
    trunk = build_backbone("torchvision/alexnet", side=side).trunk
    whole = torchvision.models.alexnet()
    whole.load_state_dict(trunk.state_dict(), strict=False)
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole.avgpool(whole.features(image)).flatten(1)
        torch.testing.assert_close(trunk(image), expected)
    # On CUDA its gradient is not repeatable.
    assert not any(isinstance(module, nn.AdaptiveAvgPool2d) for module in trunk.modules())


def test_the_seed_decides_the_weights_and_leaves_torch_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_backbone(CAFFENET, seed).trunk.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first["conv3.weight"], again["conv3.weight"])
    assert not torch.equal(first["conv3.weight"], other["conv3.weight"])


def caffenet() -> tuple[Backbone, CaffeNetTrunk]:
    backbone = build_backbone(CAFFENET)
    assert isinstance(backbone.trunk, CaffeNetTrunk)
    return backbone, backbone.trunk.eval()


def test_layers_are_rectified_and_averaged_to_about_nine_thousand_numbers() -> None:
    backbone, trunk = caffenet()
    images = 50 * torch.randn(1, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = backbone.layer_values(images, backbone.layer_names)
        conv1 = F.relu(trunk.conv1(images))
        pool5 = trunk(images)
    sizes = {name: values.shape[1] for name, values in found.items()}
    assert sizes == {
        "conv1": 96 * 10**2, "conv2": 256 * 6**2, "conv3": 384 * 5**2, "conv4": 384 * 5**2,
        "conv5": 256 * 6**2, "pool5": 9216,
    }  # fmt: skip
    torch.testing.assert_close(found["conv1"], F.avg_pool2d(conv1, 19, 4).flatten(1))
    torch.testing.assert_close(found["pool5"], pool5.flatten(1))
    assert all((values >= 0).all() for values in found.values())
    assert not trunk.conv1._forward_hooks


@pytest.mark.slow
def test_layers_of_vgg_are_its_last_convolutions_before_each_pooling() -> None:
    """conv1_2, conv2_2, conv3_3, conv4_3 and conv5_3 of VGG16, as the paper numbers them."""
    layers = build_backbone("torchvision/vgg16").layers
    trunk = torchvision.models.vgg16().features
    assert list(layers) == [f"conv{n}" for n in range(1, 6)]
    places = [int(place.partition(".")[2]) for place in layers.values()]
    convolutions = [n for n, layer in enumerate(trunk) if isinstance(layer, nn.Conv2d)]
    assert [convolutions.index(place - 1) + 1 for place in places] == [2, 4, 7, 10, 13]
    assert all(isinstance(trunk[place], nn.ReLU) for place in places)


def test_stages_of_a_residual_network_are_conv1_to_conv5() -> None:
    backbone = build_backbone("torchvision/resnet18")
    with torch.no_grad():
        found = backbone.layer_values(torch.randn(1, 3, 224, 224), backbone.layer_names)
    expected = [64 * 12**2, 64 * 12**2, 128 * 8**2, 256 * 6**2, 512 * 4**2, 512]
    assert [values.shape[1] for values in found.values()] == expected
    assert np.isclose(found["pool5"].mean(), found["conv5"].mean(), rtol=0.2)


@pytest.mark.parametrize("stem", ["relu", "act1"])
def test_conv1_of_a_residual_network_is_taken_before_pooling(stem: str) -> None:
    """torchvision calls the rectifier relu, timm act1."""
    network = torchvision.models.resnet18().eval()
    network.fc = torch.nn.Identity()
    if stem == "act1":
        parts = {"act1" if n == "relu" else n: m for n, m in network.named_children()}
        parts["fc"] = torch.nn.Flatten()
        network = torch.nn.Sequential(OrderedDict(parts)).eval()
    backbone = Backbone(
        architecture="any",
        trunk=network,
        side=96,
        features=512,
        layers=_layers("any", network, {}),
        fully_connected=(),
    )
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = backbone.layer_values(images, ("conv1", "pool5"))
        conv1 = F.relu(network.bn1(network.conv1(images)))
    torch.testing.assert_close(found["conv1"], F.adaptive_avg_pool2d(conv1, 12).flatten(1))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("torchvision/alexnot", "torchvision has no classifier of this name"),
        ("torchvision/squeezenet1_0", "no linear classifier"),
        ("torchvision/fcn_resnet50", "torchvision has no classifier of this name"),
    ],
)
def test_networks_without_a_classifier_are_refused(architecture: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_backbone(architecture)


def test_a_side_that_a_network_cannot_take_is_refused() -> None:
    with pytest.raises(InputError, match="does not take 8 px images"):
        build_backbone("torchvision/alexnet", side=8)


class OnGpusAlone(nn.Module):
    """What PyTorch says of an operation without a kernel for this device."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(
            "Could not run 'lab::scan' with arguments from 'CPU'. " + 50 * "x "
        )


def test_an_operation_for_gpus_alone_is_named_in_one_line() -> None:
    with pytest.raises(InputError, match=r"timm/lab: has an operation .*Could not run 'lab::scan'"):
        count_features("timm/lab", OnGpusAlone(), 64)


def test_build_trunk_makes_caffenet_with_the_paddings_of_its_network() -> None:
    padded = build_trunk(conv1_padding=5, pool_padding=1)
    assert (padded.conv1.padding, padded.pool1.padding, padded.pool2.padding) == ((5, 5), 1, 1)
    assert isinstance(build_trunk(CAFFENET_POOL_FREE), PoolFreeTrunk)
    first, again = (build_trunk(generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.conv5.weight, again.conv5.weight)


CHANNELS = {
    CAFFENET: {4: 96, 8: 256, 16: 256, 32: 256},
    "torchvision/alexnet": {4: 64, 8: 192, 16: 256, 32: 256},
    "torchvision/vgg11": {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512},
    "torchvision/vgg11_bn": {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512},
    "torchvision/resnet18": {4: 64, 8: 128, 16: 256, 32: 512},
    "torchvision/convnext_tiny": {4: 96, 8: 192, 16: 384, 32: 768},
    "torchvision/swin_t": {4: 96, 8: 192, 16: 384, 32: 768},
    "torchvision/efficientnet_b0": {2: 16, 4: 24, 8: 40, 16: 112, 32: 1280},
    "timm/resnet10t": {2: 64, 4: 64, 8: 128, 16: 256, 32: 512},
    "timm/convnext_atto": {4: 40, 8: 80, 16: 160, 32: 320},
    "timm/vit_tiny_patch16_224": {16: 192},
    "timm/swin_tiny_patch4_window7_224": {4: 96, 8: 192, 16: 384, 32: 768},
    "timm/efficientnet_b0": {2: 16, 4: 24, 8: 40, 16: 112, 32: 320},
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CHANNELS)
def test_feature_maps_have_the_channels_and_the_size_of_their_stride(architecture: str) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    backbone = build_backbone(architecture)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = backbone.feature_maps(images)
    assert {stride: found.shape[1] for stride, found in maps.items()} == CHANNELS[architecture]
    assert list(maps) == sorted(maps)
    for stride, found in maps.items():
        # Without padding and with rounding, AlexNet and CaffeNet are up to two positions off.
        assert all(abs(side - 224 / stride) <= 2 for side in found.shape[2:])
    assert not any(module._forward_hooks for module in backbone.trunk.modules())


def test_the_maps_of_a_residual_network_are_its_stages_and_take_any_size() -> None:
    backbone = build_backbone("torchvision/resnet18")
    trunk, images = backbone.trunk, torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        maps = backbone.feature_maps(images)
        x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(images))))  # type: ignore[operator]
        for stride, name in ((4, "layer1"), (8, "layer2"), (16, "layer3"), (32, "layer4")):
            x = trunk.get_submodule(name)(x)
            assert torch.equal(maps[stride], x)
            assert x.shape[2:] == (96 // stride, 160 // stride)


def test_the_maps_of_caffenet_are_rectified_and_conv5_is_what_detection_pools_from() -> None:
    backbone, trunk = caffenet()
    images = 50 * torch.randn(1, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = backbone.feature_maps(images)
        pool5 = trunk(images)
        conv5 = F.relu(trunk.conv5(F.relu(trunk.conv4(F.relu(trunk.conv3(
            trunk.norm2(trunk.pool2(maps[8]))
        ))))))  # fmt: skip
    assert torch.equal(maps[16], conv5)
    assert torch.equal(maps[32], pool5)
    assert torch.equal(maps[4], F.relu(trunk.conv1(images)))


def test_a_network_without_known_maps_is_refused_in_one_line() -> None:
    backbone = build_backbone("torchvision/shufflenet_v2_x0_5")
    assert isinstance(backbone, TorchvisionBackbone)
    with pytest.raises(InputError, match="shufflenet_v2_x0_5: has no feature maps that are known"):
        backbone.feature_maps(torch.zeros(1, 3, 64, 64))


def test_maps_that_do_not_follow_the_image_are_refused() -> None:
    class Fixed(Backbone):
        def feature_maps(self, images: Tensor, strides: object = ()) -> dict[int, Tensor]:
            return {16: torch.zeros(len(images), 3, 14, 14)}

    fixed = Fixed(
        architecture="timm/fixed",
        trunk=nn.Identity(),
        side=224,
        features=3,
        layers={},
        fully_connected=(),
    )
    with pytest.raises(InputError, match="stride 16 has 14 x 14 values for an image of 96 x 128"):
        fixed.map_channels()


def test_a_network_that_takes_a_single_image_alone_is_refused() -> None:
    class Mixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            features = images.mean((2, 3))
            return features + features[:, 0]  # of one image (1, 3) + (1,), of two a mistake

    with pytest.raises(InputError, match="timm/mixed: does not take 8 px images"):
        count_features("timm/mixed", Mixed(), 8)
