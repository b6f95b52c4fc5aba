from collections import Counter, OrderedDict

import pytest
import torch
import torchvision
from torch import nn

from cebench.models.backbone_fast_rcnn import BackboneFastRCNN
from cebench.models.backbone_fcn import BackboneFCN
from cebench.models.backbones import build_backbone
from cebench.models.parameter_groups import (
    _depths,
    caffe_parameter_groups,
    layer_decay_groups,
    normalises_layers,
    scale_rates,
)
from cebench.models.torchvision_backbones import _take_classifier_off


def test_biases_have_twice_the_rate_and_the_same_decay_by_default() -> None:
    layer = nn.Linear(3, 2)
    weights, biases = caffe_parameter_groups(layer.named_parameters(), 0.001, 1e-6)
    assert weights == {"params": [layer.weight], "lr": 0.001, "weight_decay": 1e-6}
    assert biases == {"params": [layer.bias], "lr": 0.002, "weight_decay": 1e-6}


def test_frozen_parameters_are_left_out_and_biases_may_not_decay() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    net[0].requires_grad_(False)
    weights, biases = caffe_parameter_groups(
        net.named_parameters(), 0.1, 0.5, bias_multiplier=1, decay_biases=False
    )
    assert weights["params"] == [net[1].weight]
    assert biases == {"params": [net[1].bias], "lr": 0.1, "weight_decay": 0}


def test_one_step_of_sgd_moves_each_parameter_at_its_own_rate() -> None:
    # Gradient 1 everywhere: weight 1 - 0.1 * (1 + 0.5 * 1) = 0.85, bias 1 - 0.2 * 1 = 0.8.
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    groups = caffe_parameter_groups(layer.named_parameters(), 0.1, 0.5, decay_biases=False)
    optimizer = torch.optim.SGD(groups, momentum=0.9, fused=True)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    assert layer.weight.item() == pytest.approx(0.85)
    assert layer.bias.item() == pytest.approx(0.8)


def test_rates_are_scaled_from_those_that_the_optimizer_was_built_with() -> None:
    layer = nn.Linear(2, 1)
    sgd = torch.optim.SGD(caffe_parameter_groups(layer.named_parameters(), 0.5, 0.0))
    for factor, expected in ((1.0, [0.5, 1.0]), (0.5, [0.25, 0.5]), (0.25, [0.125, 0.25])):
        scale_rates(sgd, factor)
        assert [group["lr"] for group in sgd.param_groups] == expected


def test_rates_fall_from_the_head_to_the_input_of_a_vit() -> None:
    pytest.importorskip("timm")
    trunk = build_backbone("timm/test_vit", side=64).trunk
    network = torch.nn.Sequential(trunk, torch.nn.Linear(64, 3))
    groups = layer_decay_groups(network, trunk, 1.0, 0.05, 0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(trunk.named_parameters())
    # The last block has the head's rate; five blocks and the patches are below it.
    assert rate[id(network[1].weight)] == rate[id(named["norm.weight"])] == 1
    for block in range(6):
        assert rate[id(named[f"blocks.{block}.attn.qkv.weight"])] == 0.5 ** (5 - block)
    assert rate[id(named["patch_embed.proj.weight"])] == 0.5**6
    assert decay[id(named["blocks.0.attn.qkv.weight"])] == 0.05
    for name in ("pos_embed", "cls_token", "blocks.0.norm1.weight", "blocks.0.mlp.fc1.bias"):
        assert decay[id(named[name])] == 0, name
    assert len(rate) == sum(p.requires_grad for p in network.parameters())


def test_rates_of_torchvisions_networks_fall_from_block_to_block() -> None:
    trunk = build_backbone("torchvision/resnet18").trunk
    trunk.conv1.requires_grad_(False)
    groups = layer_decay_groups(trunk, trunk, 1.0, 0.0, 0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(trunk.named_parameters())
    # Eight blocks, the last of which has the head's rate, and the stem.
    places = ("bn1", "layer1.0.conv1", "layer1.1.conv1", "layer4.0.conv1", "layer4.1.conv2")
    powers = [0.5**n for n in (8, 7, 6, 1, 0)]
    assert [rate[id(named[f"{place}.weight"])] for place in places] == powers
    assert id(named["conv1.weight"]) not in rate


@pytest.mark.parametrize(
    ("theirs", "timms"),
    [
        ("convnext_tiny", "convnext_tiny"),
        ("swin_t", "swin_tiny_patch4_window7_224"),
        ("vit_b_16", "vit_base_patch16_224"),
        ("resnet18", "resnet18"),
        ("efficientnet_b0", "efficientnet_b0"),
    ],
)
def test_both_libraries_count_the_layers_of_a_network_alike(theirs: str, timms: str) -> None:
    """As many numbers at each depth."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        networks = torchvision.models.get_model(theirs), timm.create_model(timms, num_classes=0)
    _take_classifier_off(networks[0], theirs, theirs)
    counts = []
    for network in networks:
        found: Counter[int] = Counter()
        for name, depth in _depths(network).items():
            found[depth] += network.get_parameter(name).numel()
        counts.append(found)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("architecture", ["torchvision/alexnet", "torchvision/vgg11"])
def test_plain_networks_fall_from_layer_to_layer(architecture: str) -> None:
    with torch.device("meta"):
        trunk = torchvision.models.get_model(architecture.partition("/")[2]).features
    network = nn.Sequential(OrderedDict(features=trunk))
    depths = [_depths(network)[name] for name, _ in network.named_parameters()]
    layers = sum(isinstance(module, nn.Conv2d) for module in trunk)
    assert depths == [depth for depth in range(layers) for _ in ("weight", "bias")]


def test_scales_of_blocks_and_tokens_of_distillation_do_not_decay() -> None:
    with torch.device("meta"):
        network = torchvision.models.convnext_tiny()
        network.dist_token = nn.Parameter(torch.empty(1, 1, 8))  # type: ignore[assignment]
    groups = layer_decay_groups(network, network, 1.0, 0.05, 1.0)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert decay[id(named["features.1.0.block.0.weight"])] == 0.05
    for name in ("features.1.0.layer_scale", "dist_token"):
        assert decay[id(named[name])] == 0, name


def test_layer_normalisation_tells_transformers_and_convnext_from_the_others() -> None:
    found = [
        normalises_layers(build_backbone(f"torchvision/{name}").trunk)
        for name in ("resnet18", "alexnet", "convnext_tiny", "swin_t")
    ]
    assert found == [False, False, True, True]


def test_rms_normalisation_counts_as_layer_normalisation() -> None:
    layers = pytest.importorskip("timm.layers")
    for norm in (nn.RMSNorm, layers.RmsNorm, layers.RmsNormFp32, layers.RmsNorm2d):
        assert normalises_layers(nn.Sequential(nn.Linear(2, 2), norm(2))), norm
    assert normalises_layers(nn.Sequential(layers.SimpleNorm2d(2)))
    assert not normalises_layers(nn.Sequential(layers.BatchNormAct2d(2), nn.GroupNorm(1, 2)))


@pytest.mark.parametrize(
    ("network_of", "architecture", "last", "behind"),
    [
        (BackboneFastRCNN, "timm/test_convnext", "stages.2.blocks", "stages.3"),
        (BackboneFastRCNN, "torchvision/resnet18", "layer4.1", ""),
        (BackboneFCN, "timm/test_convnext", "stages.3.blocks", "head.norm"),
    ],
)
def test_the_last_layer_in_use_has_the_heads_rate(
    network_of: type[BackboneFastRCNN | BackboneFCN], architecture: str, last: str, behind: str
) -> None:
    """What lies behind the map that is used is not trained and counts as no layer."""
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    network = network_of(build_backbone(architecture), 21)
    assert network.training
    groups = layer_decay_groups(network, network.trunk, 1.0, 0.05, 0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    found = {name: rate.get(id(p)) for name, p in network.trunk.named_parameters()}
    assert max(value for name, value in found.items() if name.startswith(last) and value) == 1
    unused = {name for name in found if behind and name.startswith(behind)}
    convolutions = {name for name, p in network.trunk.named_parameters() if p.dim() == 4}
    assert {name for name in convolutions if found[name] is None} == unused & convolutions
    assert bool(unused) == bool(behind)
