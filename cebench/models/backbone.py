"""What a transfer task needs of a network: its features, its layers by name, its feature maps."""

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.layer_averages import averaged, windows_of
from cebench.models.options import Averaging

Key = TypeVar("Key", bound=Hashable)


POSITIONS = ("pos_embed", "encoder.pos_embedding")
"""Names of a ViT's position embedding in timm and in torchvision."""

_REASON = 120
"""Letters of PyTorch's message that are shown where it lists every device."""

LARGEST_STRIDE = 32
"""Images padded to a multiple of it have maps of whole strides, and fit the windows of a Swin."""

_CELLS_OFF = 2
"""Values by which a map may miss its stride: AlexNet and CaffeNet pad less than they cut off."""


Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class LibraryCrop:
    """How a library's own evaluation makes a square of an image."""

    resized: int
    """Shorter side in pixels to which the image is resized before its centre is cut out."""
    interpolation: Interpolation
    """With antialias."""
    squash: bool = False
    """Whether the whole image becomes a square of that side instead, whatever its aspect."""

    def __str__(self) -> str:
        shape = "a square" if self.squash else "a shorter side"
        return f"{self.interpolation} to {shape} of {self.resized} px, of which the centre"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What a network's authors fed it: pixels of [0, 1] minus `mean`, divided by `std` (RGB)."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: LibraryCrop | None = None
    """None: the library states none, or one that is not known here."""


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
    """Name of a layer, conv1 .. conv5 or stage1 .. -> the module whose output that is."""
    fully_connected: tuple[str, ...]
    """Their own names of fc6 and fc7; empty if none stand between features and classifier."""
    pixels: Pixels = field(default_factory=Pixels)
    """The usual ones of another library's network; CaffeNet's differ (`weights.files`)."""
    rectified: bool = True
    """Whether layers are taken behind a ReLU; elsewhere they keep their sign."""
    pooled_side: int = 0
    """Side of the map that fc6 takes; 0 if there is none."""
    last_stage: str = ""
    """The module that makes the features of the map of stride 16, where it is convolutional."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names that `layer_values` takes, from the input upwards."""
        return (*self.layers, "pool5")

    def layer_values(
        self, images: Tensor, names: tuple[str, ...], averaging: Averaging = "windows"
    ) -> dict[str, Tensor]:
        """The layers `names` of images, each averaged to about 9,000 numbers: (N, D) float32."""
        windows = windows_of(self.architecture) if averaging == "windows" else {}
        pool5, found = self.layer_maps(images, [name for name in names if name in self.layers])
        if self.rectified:
            found = {name: F.relu(map_) for name, map_ in found.items()}
        values = {name: averaged(map_, windows.get(name)) for name, map_ in found.items()}
        values["pool5"] = averaged(pool5)
        return {name: values[name] for name in names}

    def layer_maps(
        self, images: Tensor, names: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """pool5 and the maps (N, C, h, w) of the layers `names` on the way to it."""
        return module_outputs(self.trunk, images, {name: self.layers[name] for name in names})

    def feature_maps(self, images: Tensor, strides: Collection[int] = ()) -> dict[int, Tensor]:
        """Stride in pixels -> the last map of that stride, (N, C, h, w), fine to coarse.

        Args:
            images: (N, 3, H, W) as the trunk takes them, of any size that it can convolve.
            strides: those that are wanted; what lies behind the last may be left out. Empty: all.

        Raises:
            InputError: no maps of this architecture are known.
        """
        raise InputError(
            f"{self.architecture}: has no feature maps that are known; take CaffeNet, a network "
            "of torchvision with stages (AlexNet, VGG, ResNet, ConvNeXt, Swin, ViT), or one of timm"
        )

    def map_channels(self) -> dict[int, int]:
        """Stride -> channels of its map, by a black image of another size than the network's.

        Raises:
            InputError: there are no maps that are known, or the network takes one size alone, or
                makes maps of one size of every image.
        """
        height, width = 3 * LARGEST_STRIDE, 4 * LARGEST_STRIDE
        try:
            with torch.no_grad():
                maps = self.feature_maps(torch.zeros(1, 3, height, width))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.architecture}: takes images of {self.side} px alone ({reason}); detection "
                "and segmentation need a network for any size"
            ) from None
        for stride, map_ in maps.items():
            rows, columns = map_.shape[2:]
            if max(abs(rows - height / stride), abs(columns - width / stride)) > _CELLS_OFF:
                raise InputError(
                    f"{self.architecture}: its map of stride {stride} has {rows} x {columns} "
                    f"values for an image of {height} x {width} pixels; detection and segmentation "
                    "need a network whose maps follow the image"
                )
        return {stride: map_.shape[1] for stride, map_ in maps.items()}

    def centre(self, stride: int) -> float:
        """The image pixel that value 0 of the map of `stride` stands for; value i is i strides on.

        The middle of its stride x stride pixels, as RoIAlign and resizing without aligned corners
        take it. It is what the value looks at in networks of patches (ViT, ConvNeXt, Swin); values
        of networks that pad (ResNet, EfficientNet) look up to half a stride further up and left.
        """
        return (stride - 1) / 2


def padded_to_stride(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) with zeros at the right and below, to sides of multiples of 32."""
    return F.pad(
        images, (0, -images.shape[-1] % LARGEST_STRIDE, 0, -images.shape[-2] % LARGEST_STRIDE)
    )


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


_RESNET_STAGES = {f"conv{n + 1}": f"layer{n}" for n in range(1, 5)}
_RESNET_STEMS = ("relu", "act1")
"""Behind conv1 and before pooling, in torchvision and in timm."""


def resnet_layers(network: nn.Module) -> Mapping[str, str]:
    """A residual network's stem and stages as conv1 to conv5; empty for other networks."""
    parts = {name for name, _ in network.named_children()}
    stems = [name for name in _RESNET_STEMS if name in parts]
    if not stems or not parts.issuperset({"maxpool", *_RESNET_STAGES.values()}):
        return {}
    return {"conv1": stems[0], **_RESNET_STAGES}


def count_features(architecture: str, network: nn.Module, side: int) -> int:
    """Numbers that the network, in evaluation mode, makes of an image.

    Raises:
        InputError: it does not take images of `side` pixels, or has an operation for GPUs alone.
    """
    try:
        with torch.no_grad():
            # Two images: what mixes up images and features may take a single one.
            features: Tensor = network(torch.zeros(2, 3, side, side)).flatten(1)
    except NotImplementedError as error:
        reason = " ".join(str(error).split())[:_REASON]
        raise InputError(
            f"{architecture}: has an operation that a processor does not compute ({reason}); take "
            "a network without: weights are proved on a processor"
        ) from None
    except (AttributeError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{architecture}: does not take {side} px images ({reason}); state another side in a "
            "mapping"
        ) from None
    return features.shape[1]


def first_convolution(trunk: nn.Module) -> nn.Conv2d:
    """The convolution that sees the pixels: conv1, or a ViT's patches."""
    return next(module for module in trunk.modules() if isinstance(module, nn.Conv2d))


def prepare_for_any_size(trunk: nn.Module) -> None:
    """Leave a position embedding as it came: it is resized, whose gradient has no fixed order."""
    for name, parameter in trunk.named_parameters():
        if name in POSITIONS:
            parameter.requires_grad_(False)


def freeze_unused(trunk: nn.Module, scores_of: Callable[[Tensor], Tensor]) -> None:
    """Freeze what scores do not depend on: stages and normalisations behind the maps in use.

    They would not change, but count as layers between the head and those in use.

    Args:
        trunk: of the network.
        scores_of: the network, in evaluation mode: images (1, 3, 64, 64) to a tensor.
    """
    trained = [parameter for parameter in trunk.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        total = scores_of(torch.zeros(1, 3, 64, 64)).sum()
        gradients = torch.autograd.grad(total, trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def position_count(
    tensors: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> int | None:
    """Length of the position embedding in a transformer's tensors; None if there is none.

    names: our name of a tensor -> its name among these, where they differ.
    """
    for name in POSITIONS:
        embedding = tensors.get((names or {}).get(name, name))
        if embedding is not None and embedding.ndim == 3:
            return embedding.shape[1]
    return None
