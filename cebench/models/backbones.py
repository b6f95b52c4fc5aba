"""Networks up to the features that a classifier is put on: CaffeNet, or another library's.

A foreign network is named `torchvision/NAME` or `timm/NAME`; its tensors keep the names that they
have there. Nothing is ever downloaded: weights come from files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.caffenet import POOL5_FEATURES, CaffeNetTrunk

CAFFENET = "caffenet-trunk"
CAFFENET_WITHOUT_GROUPS = "caffenet-trunk-nogroups"
"""CaffeNet whose conv2, conv4 and conv5 see all channels, as Doersch et al. train it."""
LIBRARIES = ("torchvision", "timm")
SVM_VALUES = 9216
"""About how many numbers a layer is averaged down to for a linear SVM: those of pool5."""

_ALEXNET_LAYERS = {f"conv{n}": f"features.{i}" for n, i in enumerate((1, 4, 7, 9, 11), start=1)}
_RESNET_STAGES = {f"conv{n + 1}": f"layer{n}" for n in range(1, 5)}
_RESNET_STEMS = ("relu", "act1")
"""Behind conv1 and before pooling, in torchvision and in timm."""


@dataclass(frozen=True)
class Backbone:
    """A trunk and what is known about it."""

    trunk: nn.Module
    """Images (N, 3, side, side) to pool5: (N, ...) with `features` numbers each."""
    side: int
    """Of the square images that it takes, in pixels."""
    features: int
    layers: Mapping[str, str]
    """conv1 .. conv5 -> the module whose rectified output that is; empty where none is known."""
    fully_connected: tuple[str, ...]
    """Their own names of fc6 and fc7; empty if none stand between features and classifier."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """From the input upwards."""
        return (*self.layers, "pool5")

    def layer_values(self, images: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
        """The layers `names` of images, each averaged to about 9,216 numbers: (N, D) float32.

        A map of C channels is averaged to the square of side round(sqrt(9216 / C)), as Goyal et
        al. do (ICCV 2019, 1905.01235, section 5.1: "close to 9000").
        """
        found: dict[str, Tensor] = {}
        handles = []
        for name, place in self.layers.items():
            if name in names:

                def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
                    found[name] = _averaged(F.relu(output))

                handles.append(self.trunk.get_submodule(place).register_forward_hook(keep))
        try:
            found["pool5"] = _averaged(self.trunk(images))
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[name] for name in names}


def is_foreign(architecture: str) -> bool:
    """Whether the architecture is another library's."""
    return architecture.partition("/")[0] in LIBRARIES


def build_backbone(architecture: str, seed: int = 0, side: int | None = None) -> Backbone:
    """A backbone with weights drawn from `seed`, whatever state torch's generator is in.

    Args:
        architecture: `torchvision/NAME`, `timm/NAME` or `caffenet-trunk-nogroups`; anything else
            is CaffeNet.
        seed: of the initial weights.
        side: of the images where it is not the network's usual one; CaffeNet's is 227.

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
        layers = {f"conv{n}": f"conv{n}" for n in range(1, 6)}
        trunk = CaffeNetTrunk(groups=architecture != CAFFENET_WITHOUT_GROUPS)
        return Backbone(trunk, 227, POOL5_FEATURES, layers, ("fc6", "fc7"))


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
    if count == 3 and side == 224:
        # It would average over single positions, and on CUDA has no repeatable gradient.
        network.avgpool = nn.Identity()
    return _probed(architecture, network, side, tuple(last[:-1]))


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
    network = timm.create_model(name, pretrained=False, num_classes=0)
    usual = int(network.default_cfg.get("input_size", (3, 224, 224))[-1])
    return _probed(architecture, network, side or usual, ())


def _probed(
    architecture: str, network: nn.Module, side: int, fully_connected: tuple[str, ...]
) -> Backbone:
    network.eval()
    try:
        with torch.no_grad():
            features = network(torch.zeros(1, 3, side, side)).flatten(1).shape[1]
    except (AttributeError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{architecture}: does not take {side} px images: {reason}") from None
    return Backbone(network, side, features, _layers(architecture, network), fully_connected)


def _layers(architecture: str, network: nn.Module) -> Mapping[str, str]:
    if architecture == "torchvision/alexnet":
        return _ALEXNET_LAYERS
    parts = {name for name, _ in network.named_children()}
    stems = [name for name in _RESNET_STEMS if name in parts]
    if not stems or not parts.issuperset({"maxpool", *_RESNET_STAGES.values()}):
        return {}
    return {"conv1": stems[0], **_RESNET_STAGES}


def _averaged(values: Tensor) -> Tensor:
    if values.ndim == 4:
        side = max(1, round((SVM_VALUES / values.shape[1]) ** 0.5))
        values = F.adaptive_avg_pool2d(values, min(side, *values.shape[2:]))
    return values.flatten(1).float()
