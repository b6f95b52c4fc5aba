"""`cebench weights rescale`: the layers of a trunk scaled until all would learn at one rate.

Krähenbühl et al. (ICLR 2016, arXiv:1511.06856) give pretrained networks what their initialisation
gives fresh ones. Of the published rows it helps Doersch et al.'s, to 65.3 / 51.1 mAP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.data.fingerprint import fingerprint
from cebench.data.photos import find_photos
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.errors import InputError
from cebench.models.backbones import build_backbone
from cebench.models.caffenet import FC_UNITS, preprocess
from cebench.models.data_dependent import (
    balance_gradient_ratios,
    gradient_ratios,
    parameter_layers,
)
from cebench.randomness import numpy_generator
from cebench.weights.files import FC_TENSORS, Weights, load_weights, new_path, save_weights
from cebench.weights.loading import has_fc6_and_fc7, load_backbone, load_fc6_and_fc7
from cebench.weights.method_names import RESCALED

SOURCE = "rescaled_sha256"
"""Key of the hash of the weights before; no part of the recipe's hash, since another pretraining of
one recipe is a replicate."""

_NORMALISATIONS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True, kw_only=True)
class Rescaled:
    """Result of a rescaling: the written file and each layer's gradient ratio before and after."""

    path: Path
    method: str
    before: dict[str, float]
    after: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{self.path}: row {self.method}; gradient ratios before and after:"]
        lines += [f"  {n:<12} {self.before[n]:.3g} {self.after[n]:.3g}" for n in self.before]
        return "\n".join(lines)


def rescale_weights(
    file: Path,
    on: Sequence[Path],
    out: Path,
    *,
    count: int = 16,
    seed: int = 0,
    write: bool = True,
) -> Rescaled:
    """Write the weights of `file`, rescaled on images, as the row `METHOD-rescaled`.

    Args:
        file: weights file or run directory; any trunk without normalisation layers. fc6 and fc7
            are rescaled with it where they are there.
        on: folders of images, VOC year folders or tar files.
        out: folder for weights.safetensors.
        count: how many images, drawn from `seed`; squashed to the network's size.
        seed: of the images and of the gradient at the output.
        write: False for a dry run, which computes the same and writes nothing.
    """
    path = new_path(out)
    weights = load_weights(file)
    network = _network(weights)
    photos = find_photos(on, "train")
    chosen = numpy_generator(seed, "rescale").permutation(len(photos))[:count]
    photos = [photos[i] for i in sorted(chosen)]
    preprocessing = weights.sidecar.preprocessing
    ragged = load_ragged(photos, short_side=max(256, preprocessing.side))
    images = preprocessing(whole_images(ragged, np.arange(len(photos)), preprocessing.side))
    names = {id(module): name for name, module in network.named_modules()}
    layers = [names[id(layer)].removeprefix("trunk.") for layer in parameter_layers(network)]
    before = gradient_ratios(network, images, seed)
    after = balance_gradient_ratios(network, images, seed)
    if not after.isfinite().all():
        raise InputError(f"{weights.name}: a layer has no gradient on these images; give others")
    tensors = _tensors(network)
    data = fingerprint([photo.name for photo in photos], [photo.sha256() for photo in photos])
    sidecar = replace(
        weights.sidecar,
        method=weights.sidecar.method + RESCALED,
        recipe_sha256="",
        recipe_excluded_from_hash=(*weights.sidecar.recipe_excluded_from_hash, SOURCE),
        recipe_values={
            **weights.sidecar.recipe_values,
            SOURCE: weights.sidecar.sha256,
            "rescaled_on": data,
            "rescaled_images": len(photos),
            "rescaled_seed": seed,
        },
    )
    if write:
        save_weights(path, tensors, sidecar)
    return Rescaled(
        path=path,
        method=sidecar.method,
        before=dict(zip(layers, before.tolist(), strict=True)),
        after=dict(zip(layers, after.tolist(), strict=True)),
    )


def rescaled_trunk(
    trunk: Mapping[str, Tensor], architecture: str, images: Tensor, seed: int
) -> dict[str, Tensor] | None:
    """A CaffeNet trunk's tensors, its layers scaled until all would learn at one rate.

    Args:
        trunk: conv1 to conv5, and fc6 and fc7 where they came with them.
        architecture: with groups or without.
        images: (N, 3, S, S), 0..255.
        seed: of the gradient at the output.

    Returns:
        None where a layer has no gradient on the images: then no scale fits it.
    """
    backbone = build_backbone(architecture)
    with_fc = set(FC_TENSORS) <= set(trunk)
    network = _WithFc(backbone.trunk, backbone.features) if with_fc else backbone.trunk
    prefixes = {name: "" if name in FC_TENSORS or not with_fc else "trunk." for name in trunk}
    network.load_state_dict({prefixes[name] + name: tensor for name, tensor in trunk.items()})
    ratios = balance_gradient_ratios(network.eval(), preprocess(images.cpu()), seed)
    return _tensors(network) if ratios.isfinite().all() else None


def whole_images(images: RaggedImages, index: np.ndarray, side: int) -> Tensor:
    """The images `index`, squashed to squares: (N, 3, side, side) float32 in 0..255."""
    squares = []
    for i in index:
        pixels = images.image(int(i)).permute(2, 0, 1)[None].float()
        squares.append(F.interpolate(pixels, (side, side), mode="bilinear", antialias=True))
    return torch.cat(squares)


class _WithFc(nn.Module):
    """A trunk and its fc6 and fc7, with a ReLU between."""

    def __init__(self, trunk: nn.Module, features: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.fc6, self.fc7 = nn.Linear(features, FC_UNITS), nn.Linear(FC_UNITS, FC_UNITS)

    def forward(self, images: Tensor) -> Tensor:
        units: Tensor = self.fc7(F.relu(self.fc6(self.trunk(images).flatten(1))))
        return units


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a trunk, and of fc6 and fc7, by their names in a file."""
    return {n.removeprefix("trunk."): v for n, v in network.state_dict().items()}


def _network(weights: Weights) -> nn.Module:
    """The trunk of the weights, with fc6 and fc7 where they are there."""
    backbone, _ = load_backbone(weights)
    normalisations = [m for m in backbone.trunk.modules() if isinstance(m, _NORMALISATIONS)]
    if normalisations:
        raise InputError(
            f"{weights.name}: {weights.sidecar.architecture} has {len(normalisations)} "
            "normalisation layers, which undo any scale; only trunks without them can be rescaled"
        )
    if not has_fc6_and_fc7(weights):
        return backbone.trunk.eval()
    network = _WithFc(backbone.trunk, backbone.features)
    load_fc6_and_fc7(network.fc6, network.fc7, weights)
    return network.eval()
