"""How another program's network sees pixels, as ours: kept in the sidecar or worked into conv1."""

import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.models.backbone import Backbone
from cebench.models.backbones import is_foreign
from cebench.weights.descriptions import Description
from cebench.weights.files import Preprocessing


def check_range(description: Description, architecture: str) -> None:
    """InputError for a range whose mean or std would be the usual one, of another range."""
    needed = ("mean", "std") if is_foreign(architecture) else ("mean",)
    absent = [key for key in needed if getattr(description, key) is None]
    if description.range is not None and absent:
        raise InputError(
            f"mapping: range without {' and '.join(absent)}: the usual ones belong to the usual "
            "range; state them in the range that you give"
        )


def preprocessing_of(description: Description, backbone: Backbone) -> Preprocessing:
    """Range, mean and deviation as described, else those of the library's training, on [0, 1]."""
    return Preprocessing(
        range=description.range or (0.0, 1.0),
        mean_rgb=description.rgb(description.mean) or backbone.pixels.mean,
        std_rgb=description.rgb(description.std) or backbone.pixels.std,
        side=backbone.side,
        library_crop=backbone.pixels.crop,
    )


def fold_into_conv1(tensors: dict[str, Tensor], description: Description) -> dict[str, str]:
    """Change conv1 so that it takes what every CaffeNet here takes; returns what was done.

    Theirs sees (a x + low - m) / s of a pixel x in 0..255, ours x - M: a / s goes into the weights
    and (a M + low - m) / s into the bias. At padded borders, which are 0 for both, M stands for m.
    """
    if not {"conv1.weight", "conv1.bias"} <= tensors.keys():
        return {}  # Refused as missing by the proof.
    ours = Preprocessing()
    low, high = description.range or ours.range
    means = description.rgb(description.mean) or ours.mean_rgb
    stds = description.rgb(description.std) or ours.std_rgb
    usual, mean, std = (torch.tensor(v, dtype=torch.float64) for v in (ours.mean_rgb, means, stds))
    factor = (high - low) / 255 / std
    shift = factor * usual + (low - mean) / std
    if bool((factor == 1).all() and (shift == 0).all()):
        return {}
    weight = tensors["conv1.weight"].double()
    tensors["conv1.bias"] = (
        tensors["conv1.bias"].double() + (weight * shift[:, None, None]).sum((1, 2, 3))
    ).float()
    tensors["conv1.weight"] = (weight * factor[:, None, None]).float()
    done = "takes RGB, 0..255, minus the mean pixel of all rows"
    return {"conv1 (weight and bias)": done}
