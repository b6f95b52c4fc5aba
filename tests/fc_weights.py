"""Weights of a CaffeNet that come with fc6 and fc7, for the tests of `random_from`."""

from dataclasses import replace

import torch

from cebench.weights.files import Weights, random_weights

SHAPES = {
    "fc6.weight": (4096, 9216),
    "fc6.bias": (4096,),
    "fc7.weight": (4096, 4096),
    "fc7.bias": (4096,),
}
"""Caffe's."""


def weights_with_fc() -> Weights:
    """Random weights with fc6 and fc7 of N(0, 0.01)."""
    drawn, generator = random_weights(0), torch.Generator().manual_seed(7)
    brought = {n: 0.01 * torch.randn(shape, generator=generator) for n, shape in SHAPES.items()}
    return replace(drawn, tensors={**drawn.tensors, **brought})
