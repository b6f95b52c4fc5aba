"""Weights of small networks of timm and torchvision, drawn at random, for the tests of transfer."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from cebench.models.backbones import build_backbone
from cebench.weights.files import FC_TENSORS, Preprocessing, Sidecar, Weights

NETWORKS = (
    "timm/test_vit",
    "timm/test_convnext",
    "timm/test_resnet",
    "timm/test_efficientnet",
    # The smallest Swin of the library has 28 million parameters.
    pytest.param("timm/swin_tiny_patch4_window7_224", marks=pytest.mark.long),
    # timm/test_resnet is of the same kind, a tenth of the size.
    pytest.param("torchvision/resnet18", marks=pytest.mark.slow),
    # No smaller ViT: 86 million parameters.
    pytest.param("torchvision/vit_b_16", marks=pytest.mark.long),
)
"""One of each kind, for `parametrize`."""


@cache
def random_foreign_weights(architecture: str, side: int = 64) -> Weights:
    """Initial weights of seed 3, seen as images of `side` pixels; AlexNet's with fc6 and fc7."""
    backbone = build_backbone(architecture, seed=3, side=side)
    tensors = dict(backbone.trunk.state_dict())
    if backbone.fully_connected:
        generator = torch.Generator().manual_seed(7)
        shapes = ((4096, backbone.features), (4096,), (4096, 4096), (4096,))
        for name, shape in zip(FC_TENSORS, shapes, strict=True):
            tensors[name] = 0.01 * torch.randn(shape, generator=generator)
    own = backbone.pixels
    pixels = Preprocessing(
        range=(0, 1), mean_rgb=own.mean, std_rgb=own.std, side=side, library_crop=own.crop
    )
    sidecar = Sidecar(
        architecture=architecture,
        method="my-method",
        preprocessing=pixels,
        recipe="import",
        recipe_values={},
        tier="imported",
        data="unknown",
        data_fingerprint=None,
        steps=None,
        seed=None,
        seconds=None,
        sha256="0" * 64,
    )
    return Weights(name=architecture, tensors=tensors, sidecar=sidecar)


def of_architecture(weights: Weights, architecture: str) -> Weights:
    """The same tensors under another architecture's name."""
    return replace(weights, sidecar=replace(weights.sidecar, architecture=architecture))
