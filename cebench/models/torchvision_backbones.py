"""Classifiers of torchvision without their classifier."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cebench.errors import InputError, similar_name
from cebench.models.backbone import (
    Backbone,
    LibraryCrop,
    Pixels,
    count_features,
    resnet_layers,
)
from cebench.models.options import Pooling
from cebench.models.torchvision_vits import vit_backbone

_ALEXNET = "torchvision/alexnet"
_ALEXNET_LAYERS = {f"conv{n}": f"features.{i}" for n, i in enumerate((1, 4, 7, 9, 11), start=1)}
_RESNET_MAPS = {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
_PLAIN_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
_PROBE_SIDE = 256
"""A multiple of every stride, whatever the side of the network's own images."""


@dataclass(frozen=True, kw_only=True)
class TorchvisionBackbone(Backbone):
    """A classifier of torchvision without its classifier."""

    maps: Mapping[int, str] = field(default_factory=dict)
    """Stride -> the module whose output is the last map of that stride."""
    centres: Mapping[int, float] = field(default_factory=dict)
    """Stride -> `centre`, where it follows from kernels and paddings."""
    channels_last: bool = False
    """Whether its maps are (N, h, w, C), as Swin's are."""

    def feature_maps(self, images: Tensor, strides: Collection[int] = ()) -> dict[int, Tensor]:
        """Outputs of the modules in `maps`: a network's stages, what AlexNet and VGG pool."""
        if not self.maps:
            return super().feature_maps(images, strides)
        wanted = {p: stride for stride, p in self.maps.items() if not strides or stride in strides}
        found: dict[int, Tensor] = {}
        values = images
        for place, module in _modules_in_order(self.trunk):
            values = module(values)
            if place in wanted:
                found[wanted.pop(place)] = self._as_map(values)
            if not wanted:
                break
        return found

    def layer_maps(
        self, images: Tensor, names: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """pool5 and the maps (N, C, h, w) of the layers `names` on the way to it."""
        pool5, found = super().layer_maps(images, names)
        return pool5, {name: self._as_map(map_) for name, map_ in found.items()}

    def centre(self, stride: int) -> float:
        """The image pixel that value 0 of the map of `stride` looks at; value i is i strides on."""
        return self.centres.get(stride, super().centre(stride))

    def _as_map(self, values: Tensor) -> Tensor:
        return values.permute(0, 3, 1, 2) if self.channels_last else values


class AdaptiveAveragePool(nn.Module):
    """Maps averaged to `side` x `side`; what already has that size stays as it is.

    Equal to `nn.AdaptiveAvgPool2d(side)`, whose gradient is not repeatable on CUDA, as two matrix
    products. (N, C, H, W) to (N, C, side, side).
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, maps: Tensor) -> Tensor:
        if maps.shape[-2:] == (self.side, self.side):
            return maps
        rows, columns = (self._shares(length).to(maps) for length in maps.shape[-2:])
        return rows @ maps @ columns.T

    def _shares(self, length: int) -> Tensor:
        """(side, length): row i averages positions floor(i length / side) to the next one's end."""
        places, cells = torch.arange(length), torch.arange(self.side)[:, None]
        first = cells * length // self.side
        behind = -(-(cells + 1) * length // self.side)
        inside = (places >= first) & (places < behind)
        return inside / (behind - first)


def torchvision_backbone(
    architecture: str,
    name: str,
    side: int | None,
    pooling: Pooling,
    positions: int | None = None,
) -> Backbone:
    """The network `name` of torchvision with weights from torch's generator, see `build_backbone`.

    Raises:
        InputError: there is no such network, it is no classifier, or has no tokens to pool.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        similar = similar_name(name, known)
        raise InputError(f"{architecture}: torchvision has no classifier of this name{similar}")
    if pooling != "network":
        raise InputError(
            f"{architecture}: pooling={pooling} chooses between the tokens of timm's transformers; "
            "leave it out"
        )
    options = _inception_options(name)
    if positions and name.startswith("vit_"):
        own = math.isqrt(positions - 1) * int(name.rpartition("_")[2])
        side, options = side or own, {"image_size": own}
    side, pixels = _side_and_pixels(name, side)
    network = models.get_model(name, weights=None, **options)
    fully_connected = _take_classifier_off(network, architecture, name)
    _without_dropout(network)
    network.eval()
    if isinstance(network, models.VisionTransformer):
        return vit_backbone(architecture, network, side, pixels)
    maps, centres = _maps(network)
    layers = _layers(architecture, network, maps)
    return TorchvisionBackbone(
        architecture=architecture,
        trunk=network,
        side=side,
        features=count_features(architecture, network, side),
        layers=layers,
        fully_connected=fully_connected,
        pixels=pixels,
        rectified=not any(layer.startswith("stage") for layer in layers),
        pooled_side=network.avgpool.side if fully_connected else 0,
        last_stage="layer4" if maps == _RESNET_MAPS else "",
        maps=maps,
        centres=centres,
        channels_last=isinstance(network, models.SwinTransformer),
    )


def _side_and_pixels(name: str, side: int | None) -> tuple[int, Pixels]:
    """How torchvision evaluates the first of a network's weights, the published ones."""
    from torchvision import models

    usual = next(iter(models.get_model_weights(name))).transforms()
    own, resized = usual.crop_size[0], usual.resize_size[0]
    side = side or own
    crop = LibraryCrop(resized=round(resized * side / own), interpolation=usual.interpolation.value)
    return side, Pixels(mean=tuple(usual.mean), std=tuple(usual.std), crop=crop)


def _take_classifier_off(network: Any, architecture: str, name: str) -> tuple[str, ...]:
    """Put nothing in place of the last linear layers; returns the names of fc6 and fc7."""
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    # AlexNet and VGG have fc6, fc7 and fc8 at the end, the others one layer.
    count = 3 if re.match("alexnet|vgg", name) else 1
    if not linear or not linear[-1].startswith(("classifier", "fc", "head")):
        raise InputError(f"{architecture}: has no linear classifier at its end to put ours in for")
    last, replaced = linear[-count:], linear[-1] if count == 1 else "classifier"
    parent, _, child = replaced.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    if count == 3:
        network.avgpool = AdaptiveAveragePool(6 if name == "alexnet" else 7)
    return tuple(last[:-1])


def _inception_options(name: str) -> dict[str, Any]:
    """GoogLeNet and Inception: no side branches, no slow fillers, their own normalisation.

    torchvision gives both networks `transform_input` with its published weights: they undo the
    ImageNet normalisation of its transforms and see pixels of -1 to 1.
    """
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": False, "transform_input": True}
    return {}


def _without_dropout(network: nn.Module) -> None:
    """Dropout and stochastic depth off, as timm builds its networks."""
    from torchvision.ops import StochasticDepth

    for module in network.modules():
        if isinstance(module, nn.Dropout | StochasticDepth):
            module.p = 0.0


def _layers(architecture: str, network: nn.Module, maps: Mapping[int, str]) -> Mapping[str, str]:
    if architecture == _ALEXNET:
        return _ALEXNET_LAYERS
    if plain := _plain_layers(network):  # VGG's, each the last one before its pooling.
        pools = [place for place, layer in enumerate(plain) if isinstance(layer, nn.MaxPool2d)]
        return {f"conv{n}": f"features.{place - 1}" for n, place in enumerate(pools, start=1)}
    stages = resnet_layers(network)
    if stages or not maps:
        return stages
    return {f"stage{n}": place for n, place in enumerate(maps.values(), start=1)}


def _modules_in_order(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that run one behind the other, from the image to the coarsest map."""
    features = getattr(network, "features", None)
    if isinstance(features, nn.Sequential):
        return ((f"features.{name}", module) for name, module in features.named_children())
    return network.named_children()


def _maps(network: nn.Module) -> tuple[Mapping[int, str], Mapping[int, float]]:
    """Stride -> the last module of that stride, and centres that follow from its layers."""
    if resnet_layers(network):
        return _RESNET_MAPS, {}
    if plain := _plain_layers(network):
        return _maps_of_plain_layers(plain)
    return (_probed_maps(network) if hasattr(network, "features") else {}), {}


def _plain_layers(network: nn.Module) -> list[Any]:
    """The layers of AlexNet's or VGG's `features`; none for other networks."""
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Sequential):
        return []
    return [*features] if all(isinstance(layer, _PLAIN_LAYERS) for layer in features) else []


def _maps_of_plain_layers(layers: list[Any]) -> tuple[Mapping[int, str], Mapping[int, float]]:
    maps: dict[int, str] = {}
    centres: dict[int, float] = {}
    scale, centre = 1, 0.0
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            given: tuple[Any, ...] = (layer.kernel_size, layer.stride, layer.padding)
            kernel, stride, padding = (v[0] if isinstance(v, tuple) else v for v in given)
            centre += scale * ((kernel - 1) / 2 - padding)
            scale *= stride
        # Of equal strides the last module stays.
        maps[scale], centres[scale] = f"features.{place}", centre
    return maps, centres


@torch.no_grad()
def _probed_maps(network: nn.Module) -> Mapping[int, str]:
    """Stride -> the last module of `features` whose output has it, by a black image."""
    axis = 1 if hasattr(network, "permute") else 2
    values, maps = torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE), {}
    for place, module in _modules_in_order(network.eval()):
        values = module(values)
        maps[_PROBE_SIDE // values.shape[axis]] = place
    return maps
