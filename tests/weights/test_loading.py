"""fc6 and fc7 of a weights file into the networks of the transfer tasks."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from foreign_networks import random_foreign_weights
from torch import nn

from cebench.errors import InputError
from cebench.weights.files import Weights, random_weights
from cebench.weights.loading import has_fc6_and_fc7, load_backbone, load_fc6_and_fc7


@pytest.fixture
def weights() -> Weights:
    """Not CaffeNet's sizes: 3 units on 2 maps of 2 x 2."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"fc6.weight": (3, 8), "fc6.bias": (3,), "fc7.weight": (3, 3), "fc7.bias": (3,)}
    return replace(
        random_weights(0),
        tensors={name: torch.randn(shape, generator=generator) for name, shape in shapes.items()},
    )


def test_a_convolution_computes_what_the_fully_connected_layer_does(weights: Weights) -> None:
    linear, convolution = nn.Linear(8, 3), nn.Conv2d(2, 3, 2)
    load_fc6_and_fc7(linear, nn.Linear(3, 3), weights)
    load_fc6_and_fc7(convolution, nn.Conv2d(3, 3, 1), weights)
    maps = torch.randn(4, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(convolution(maps).flatten(1), linear(maps.flatten(1)))
    expected = F.linear(maps.flatten(1), weights.tensors["fc6.weight"], weights.tensors["fc6.bias"])
    torch.testing.assert_close(linear(maps.flatten(1)), expected)


def test_weights_without_them_or_of_another_shape_are_refused(weights: Weights) -> None:
    assert has_fc6_and_fc7(weights)
    drawn = random_weights(0)
    assert not has_fc6_and_fc7(drawn)
    layers = nn.Linear(8, 3), nn.Linear(3, 3)
    before = layers[0].weight.clone()
    with pytest.raises(InputError, match=r"random: has no fc6.weight; random_from=drop7 needs"):
        load_fc6_and_fc7(*layers, drawn)
    tensors = {**weights.tensors, "fc7.weight": torch.zeros(3, 4)}
    with pytest.raises(InputError, match=r"fc7.weight is \(3, 4\) where \(3, 3\) is needed"):
        load_fc6_and_fc7(*layers, replace(weights, tensors=tensors))
    assert torch.equal(layers[0].weight, before)


def test_statistics_of_batch_normalisation_that_are_not_finite_are_refused() -> None:
    weights = random_foreign_weights("torchvision/resnet18")
    spoilt = weights.tensors["layer2.0.bn1.running_var"].clone()
    spoilt[3] = torch.nan
    tensors = {**weights.tensors, "layer2.0.bn1.running_var": spoilt}
    with pytest.raises(InputError, match="its pool5 is not finite on noise"):
        load_backbone(replace(weights, tensors=tensors))


def test_a_proof_of_huge_values_is_a_number() -> None:
    drawn = random_weights(0)
    huge = {name: value * 1e8 for name, value in drawn.tensors.items()}
    _, proof = load_backbone(replace(drawn, tensors=huge))
    # conv3 to conv5, a hundred million times as large each: squares exceed float32.
    assert 1e20 < proof.relative_response_change < math.inf
