"""What one pass through a network costs, counted without computing it: for dry runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from cebench.models.backbone import Backbone
from cebench.models.backbone_fast_rcnn import C4_SIDE, PLAIN_SIDE, PLAIN_UNITS
from cebench.models.backbones import is_foreign
from cebench.models.caffenet import FC_UNITS
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """Operations of a forward pass, in billions, a multiply-add counted as two; and memory."""

    side: int
    """Side of the square images that the network takes, in pixels."""
    layers: int
    """Layers of which frozen features can be taken."""
    gflop_per_pixel: float
    head_gflop: float
    """Operations of fc6 to fc8 for one image; 0 where there are none."""
    region_gflop: Callable[[], float]
    """Operations of Fast R-CNN for one region; InputError where the network takes none."""
    parameters: float
    bytes_per_pixel: float
    """Bytes by pixel of a batch for the values that the backward pass needs."""


CAFFENET = NetworkCost(
    side=227,
    layers=6,
    gflop_per_pixel=1.33 / 227**2,
    head_gflop=0.117,
    region_gflop=lambda: 0.117,
    parameters=60e6,
    bytes_per_pixel=250,
)
"""conv1 to conv5 and fc6 to fc8; the bytes were measured."""


def cost_of(weights: Weights) -> NetworkCost:
    """What the network of `weights` costs."""
    if not is_foreign(weights.sidecar.architecture):
        return CAFFENET
    return backbone_cost(load_backbone(weights)[0])


def backbone_cost(backbone: Backbone) -> NetworkCost:
    """What another library's network costs, by its own operations on images of its own size."""
    side = backbone.side
    gflop, made = _count(backbone.trunk, torch.empty(1, 3, side, side, device="meta"))
    head = FC_UNITS * (backbone.features + FC_UNITS) if backbone.fully_connected else 0
    return NetworkCost(
        side=side,
        layers=len(backbone.layer_names),
        gflop_per_pixel=gflop / side**2,
        head_gflop=2e-9 * head,
        region_gflop=lambda: 2e-9 * head or _region_gflop(backbone),
        parameters=head + sum(value.numel() for value in backbone.trunk.parameters()),
        bytes_per_pixel=made / side**2,
    )


def _region_gflop(backbone: Backbone) -> float:
    """The last stage on a region of C4, or two new layers on a plain one."""
    channels = backbone.map_channels()
    at_16 = channels[max((stride for stride in channels if stride <= 16), default=min(channels))]
    if backbone.last_stage:
        region = torch.empty(1, at_16, C4_SIDE, C4_SIDE, device="meta")
        return _count(backbone.trunk.get_submodule(backbone.last_stage), region)[0]
    return 2e-9 * PLAIN_UNITS * (at_16 * PLAIN_SIDE**2 + PLAIN_UNITS)


def _count(network: nn.Module, values: Tensor) -> tuple[float, int]:
    """Billions of operations of a forward pass, and the bytes of what its layers put out."""
    made = 0

    def add(layer: nn.Module, inputs: object, output: object) -> None:
        nonlocal made
        made += 4 * output.numel() if isinstance(output, Tensor) else 0

    leaves = [layer for layer in network.modules() if not any(layer.children())]
    hooks = [layer.register_forward_hook(add) for layer in leaves]
    state = {name: value.to("meta") for name, value in network.named_parameters()}
    state |= {name: value.to("meta") for name, value in network.named_buffers()}
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            functional_call(network, state, (values,))
    finally:
        for hook in hooks:
            hook.remove()
    return counter.get_total_flops() / 1e9, made
