"""Networks up to the features that a head is put on: CaffeNet, or another library's.

Another library's network is named `torchvision/NAME` or `timm/NAME`; its tensors keep the names
that they have there. Nothing is ever downloaded: weights come from files.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.caffenet import POOL5_FEATURES, CaffeNetTrunk, PoolFreeTrunk
from cebench.models.layer_averages import Averaging, averaged, windows_of

TrunkArchitecture = Literal["caffenet-trunk", "caffenet-trunk-pool-free", "caffenet-trunk-nogroups"]
CAFFENET: TrunkArchitecture = "caffenet-trunk"
CAFFENET_POOL_FREE: TrunkArchitecture = "caffenet-trunk-pool-free"
CAFFENET_WITHOUT_GROUPS: TrunkArchitecture = "caffenet-trunk-nogroups"
"""CaffeNet whose conv2, conv4 and conv5 see all channels, as Doersch et al. train it."""
LIBRARIES = ("torchvision", "timm")
_CAFFENET_LAYERS = {f"conv{n}": f"conv{n}" for n in range(1, 6)}
_ALEXNET_LAYERS = {f"conv{n}": f"features.{i}" for n, i in enumerate((1, 4, 7, 9, 11), start=1)}
_RESNET_STAGES = {f"conv{n + 1}": f"layer{n}" for n in range(1, 5)}
_RESNET_STEMS = ("relu", "act1")
"""Behind conv1 and before pooling, in torchvision and in timm."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A trunk and what is known about it: what every transfer task needs of a network."""

    architecture: str
    """`caffenet-trunk`, `torchvision/NAME` or `timm/NAME`."""
    trunk: nn.Module
    """Images (N, 3, side, side) to pool5: (N, ...) with `features` numbers each."""
    side: int
    """Side in pixels of the square images that it takes."""
    features: int
    layers: Mapping[str, str]
    """conv1 .. conv5 -> the module whose rectified output that is; empty where none is known."""
    fully_connected: tuple[str, ...]
    """Their own names of fc6 and fc7; empty if none stand between features and classifier."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names that `layer_values` takes, from the input upwards."""
        return (*self.layers, "pool5")

    def layer_values(
        self, images: Tensor, names: tuple[str, ...], averaging: Averaging = "windows"
    ) -> dict[str, Tensor]:
        """The layers `names` of images, each averaged to about 9,000 numbers: (N, D) float32."""
        places = {name: place for name, place in self.layers.items() if name in names}
        windows = windows_of(self.architecture) if averaging == "windows" else {}
        pool5, found = module_outputs(self.trunk, images, places)
        values = {name: averaged(F.relu(map_), windows.get(name)) for name, map_ in found.items()}
        values["pool5"] = averaged(pool5)
        return {name: values[name] for name in names}

    def feature_maps(self, images: Tensor) -> dict[int, Tensor]:
        """Stride in pixels -> the last map of that stride, (N, C, h, w), fine to coarse.

        Args:
            images: (N, 3, H, W) as the trunk takes them, of any size that it can convolve.

        Raises:
            InputError: no maps of this architecture are known.
        """
        raise InputError(
            f"{self.architecture}: has no feature maps that are known; take CaffeNet, AlexNet, VGG "
            "or a ResNet, or a timm network with forward_intermediates"
        )


@dataclass(frozen=True, kw_only=True)
class CaffeNetBackbone(Backbone):
    """CaffeNet for 227 px images, before fc6."""

    trunk: CaffeNetTrunk

    def feature_maps(self, images: Tensor) -> dict[int, Tensor]:
        """conv1 (4), conv2 (8), conv5 (16) and pool5 (32)."""
        return self.trunk.feature_maps(images)


@dataclass(frozen=True, kw_only=True)
class TorchvisionBackbone(Backbone):
    """A classifier of torchvision without its classifier."""

    maps: Mapping[int, str] = field(default_factory=dict)
    """Stride -> the module whose output is the last map of that stride."""

    def feature_maps(self, images: Tensor) -> dict[int, Tensor]:
        """Outputs of the modules in `maps`: a ResNet's stages, what AlexNet and VGG pool."""
        if not self.maps:
            return super().feature_maps(images)
        return module_outputs(self.trunk, images, self.maps)[1]


@dataclass(frozen=True, kw_only=True)
class TimmBackbone(Backbone):
    """A network of timm without its classifier."""

    def feature_maps(self, images: Tensor) -> dict[int, Tensor]:
        """The last of timm's intermediate maps at each stride; a ViT has that of its patches."""
        network: Any = self.trunk
        if not hasattr(network, "forward_intermediates"):
            return super().feature_maps(images)
        maps = network.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW")
        strides = (info["reduction"] for info in network.feature_info)
        return dict(zip(strides, maps, strict=True))


def module_outputs(
    network: nn.Module, images: Tensor, places: Mapping[Key, str]
) -> tuple[Tensor, dict[Key, Tensor]]:
    """The network's output, and the outputs of the modules at `places` on the way to it."""
    found: dict[Key, Tensor] = {}
    handles = []
    for name, place in places.items():

        def keep(_: nn.Module, __: object, output: Tensor, name: Key = name) -> None:
            found[name] = output

        handles.append(network.get_submodule(place).register_forward_hook(keep))
    try:
        output: Tensor = network(images)
    finally:
        for handle in handles:
            handle.remove()
    return output, found


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


def is_foreign(architecture: str) -> bool:
    """Whether the architecture is another library's."""
    return architecture.partition("/")[0] in LIBRARIES


def trunk_architecture(architecture: str) -> TrunkArchitecture:
    """The trunk for weights of `architecture`: without groups for those without, else CaffeNet."""
    return CAFFENET_WITHOUT_GROUPS if architecture == CAFFENET_WITHOUT_GROUPS else CAFFENET


def build_trunk(
    architecture: TrunkArchitecture = CAFFENET,
    generator: torch.Generator | None = None,
    *,
    conv1_padding: int = 0,
    pool_padding: int = 0,
) -> CaffeNetTrunk:
    """A CaffeNet trunk with the reference net's initial weights; every network's is built here.

    Args:
        architecture: CaffeNet's own, the one without groups, or the one without pooling, for which
            paddings have no meaning.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        conv1_padding: see `CaffeNetTrunk`.
        pool_padding: see `CaffeNetTrunk`.
    """
    if architecture == CAFFENET_POOL_FREE:
        return PoolFreeTrunk(generator)
    groups = architecture != CAFFENET_WITHOUT_GROUPS
    return CaffeNetTrunk(conv1_padding, pool_padding, generator, groups)


def build_backbone(architecture: str, seed: int = 0, side: int | None = None) -> Backbone:
    """A backbone with weights drawn from `seed`, whatever state torch's generator is in.

    Args:
        architecture: `torchvision/NAME`, `timm/NAME` or `caffenet-trunk-nogroups`; anything else
            is CaffeNet.
        seed: what the initial weights are drawn from.
        side: side of the images where it is not the network's usual one; CaffeNet's is 227.

    Raises:
        InputError: the library is absent or has no such network, or it is no classifier of images.
    """
    library, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if library == "torchvision":
            return _torchvision(architecture, name, side or 224)
        if library == "timm":
            return _timm(architecture, name, side)
        own = trunk_architecture(architecture)
        return CaffeNetBackbone(
            architecture=own,
            trunk=build_trunk(own),
            side=227,
            features=POOL5_FEATURES,
            layers=_CAFFENET_LAYERS,
            fully_connected=("fc6", "fc7"),
        )


def _torchvision(architecture: str, name: str, side: int) -> Backbone:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise InputError(f"{architecture}: torchvision has no classifier of this name")
    network = models.get_model(name, weights=None, **_without_branches(name))
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
    network.eval()
    return TorchvisionBackbone(
        architecture=architecture,
        trunk=network,
        side=side,
        features=_count_features(architecture, network, side),
        layers=_layers(architecture, network),
        fully_connected=tuple(last[:-1]),
        maps=_maps(network),
    )


def _without_branches(name: str) -> dict[str, bool]:
    """GoogLeNet and Inception train with side branches, and warn about their slow fillers."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": False}
    return {}


def _timm(architecture: str, name: str, side: int | None) -> Backbone:
    try:
        import timm
    except ImportError:
        raise InputError(f"{architecture}: needs timm: pip install 'cebench[timm]'") from None
    if not timm.is_model(name.partition(".")[0]):
        raise InputError(f"{architecture}: timm has no classifier of this name")
    network: Any = timm.create_model(name, pretrained=False, num_classes=0).eval()
    side = side or int(network.default_cfg.get("input_size", (3, 224, 224))[-1])
    return TimmBackbone(
        architecture=architecture,
        trunk=network,
        side=side,
        features=_count_features(architecture, network, side),
        layers=_layers(architecture, network),
        fully_connected=(),
    )


def _count_features(architecture: str, network: nn.Module, side: int) -> int:
    """Numbers that the network, in evaluation mode, makes of an image."""
    try:
        with torch.no_grad():
            features: Tensor = network(torch.zeros(1, 3, side, side)).flatten(1)
    except (AttributeError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{architecture}: does not take {side} px images: {reason}") from None
    return features.shape[1]


def _layers(architecture: str, network: nn.Module) -> Mapping[str, str]:
    if architecture == "torchvision/alexnet":
        return _ALEXNET_LAYERS
    parts = {name for name, _ in network.named_children()}
    stems = [name for name in _RESNET_STEMS if name in parts]
    if not stems or not parts.issuperset({"maxpool", *_RESNET_STAGES.values()}):
        return {}
    return {"conv1": stems[0], **_RESNET_STAGES}


def _maps(network: nn.Module) -> Mapping[int, str]:
    """Stride -> the last module of that stride, of a ResNet, of AlexNet or of VGG."""
    parts = dict(network.named_children())
    if parts.keys() >= set(_RESNET_STAGES.values()):
        return {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}
    features = parts.get("features")
    if not isinstance(features, nn.Sequential) or not all(
        isinstance(layer, _PLAIN_LAYERS) for layer in features
    ):
        return {}
    strides = accumulate((_stride(layer) for layer in features), lambda a, b: a * b)
    # Of equal strides the last module stays.
    return {stride: f"features.{place}" for place, stride in enumerate(strides)}


_PLAIN_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)


def _stride(layer: nn.Module) -> int:
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d):
        return 1
    return layer.stride[0] if isinstance(layer.stride, tuple) else layer.stride
