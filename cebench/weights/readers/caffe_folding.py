"""Caffe's layers as tensors by name, with BatchNorm and Scale layers worked into the layer before.

Caffe's BatchNorm subtracts the mean and divides by sqrt(variance + epsilon), both kept as sums
with their number; a Scale layer behind it has the factor and the shift.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.weights.readers.caffemodel import CaffeLayer

_WEIGHTED = ("Convolution", "InnerProduct")


def state_of(layers: Sequence[CaffeLayer], file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`NAME.weight`, `NAME.bias` (`NAME.blob2`, ...) of each layer, and what was folded into which.

    Raises:
        InputError: two layers of one name, or a normalisation that follows no linear layer.
    """
    state: dict[str, Tensor] = {}
    done: dict[str, str] = {}
    linear: dict[str, str] = {}  # A blob that a linear layer left -> the layer's name.
    for layer in layers:
        source = linear.get(layer.bottoms[0]) if len(layer.bottoms) == 1 else None
        if layer.type in ("BatchNorm", "Scale") and layer.blobs:
            if source is None:
                raise InputError(
                    f"{file}: {layer.name} ({layer.type}) follows no convolution or inner product "
                    "and cannot be folded into one; fold it in Caffe before importing"
                )
            factor, shift = _affine(layer, file)
            _fold(state, source, factor, shift, layer, file)
            done[f"{source}.weight"] = f"{done.get(f'{source}.weight', '')} {layer.name}".strip()
        else:
            _check_is_new(layer, state, file)
            state |= _named(layer)
            source = layer.name if layer.type in _WEIGHTED and layer.blobs else None
        for top in layer.tops:
            linear.pop(top, None)
            if source is not None:
                linear[top] = source
    return state, {name: f"{folded.replace(' ', ', ')} folded in" for name, folded in done.items()}


def _named(layer: CaffeLayer) -> dict[str, Tensor]:
    """The layer's blobs by name; the oldest formats write a matrix (1, 1, O, I)."""
    kinds = ["weight", "bias", *(f"blob{n}" for n in range(2, len(layer.blobs)))]
    blobs = list(layer.blobs)
    if layer.type == "InnerProduct" and blobs:
        blobs[0] = blobs[0].reshape(-1, blobs[0].shape[-1])
    if layer.type in _WEIGHTED:
        blobs[1:2] = [bias.flatten() for bias in blobs[1:2]]
    return {f"{layer.name}.{kind}": blob for kind, blob in zip(kinds, blobs, strict=False)}


def _check_is_new(layer: CaffeLayer, state: dict[str, Tensor], file: Path) -> None:
    if layer.blobs and f"{layer.name}.weight" in state:
        raise InputError(f"{file}: two layers with weights are called {layer.name}")


def _affine(layer: CaffeLayer, file: Path) -> tuple[Tensor, Tensor]:
    """What the layer multiplies by and adds, per channel, float64."""
    blobs = [blob.double().flatten() for blob in layer.blobs]
    if layer.type == "Scale":
        return blobs[0], blobs[1] if len(blobs) > 1 else torch.zeros_like(blobs[0])
    if len(blobs) < 3 or len(blobs[2]) != 1 or len(blobs[0]) != len(blobs[1]):
        raise InputError(
            f"{file}: {layer.name} is a BatchNorm of another Caffe ({len(blobs)} blobs); expected "
            "mean, variance and their number"
        )
    count = blobs[2] if blobs[2] != 0 else torch.ones(1, dtype=torch.float64)
    factor = (blobs[1] / count + layer.epsilon).rsqrt()
    return factor, -blobs[0] / count * factor


def _fold(
    state: dict[str, Tensor],
    name: str,
    factor: Tensor,
    shift: Tensor,
    layer: CaffeLayer,
    file: Path,
) -> None:
    weight = state[f"{name}.weight"]
    outputs = weight.shape[0]
    if not len(factor) == len(shift) == outputs:
        raise InputError(
            f"{file}: {layer.name} has {len(factor)} channels, {name} before it {outputs}"
        )
    bias = state.get(f"{name}.bias", torch.zeros(outputs, dtype=weight.dtype))
    scaled = weight.double().reshape(outputs, -1) * factor[:, None]
    state[f"{name}.weight"] = scaled.reshape(weight.shape).to(weight.dtype)
    state[f"{name}.bias"] = (bias.double() * factor + shift).to(weight.dtype)
