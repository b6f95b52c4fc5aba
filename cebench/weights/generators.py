"""The released inpainting models of Torch7 as ours: layers paired in order, biases folded.

pathak22/context-encoder, train.lua: the generator is a row of convolutions and normalisations in
nested containers, and its convolutions have biases, which training zeroes before each evaluation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.inpainting_gan import MAP_SIDE, InpaintingGenerator
from cebench.models.options import BOTTLENECK
from cebench.randomness import torch_seed
from cebench.weights.files import COUNTER
from cebench.weights.foreign_tensors import check_is_dense_float
from cebench.weights.loading import LoadProof
from cebench.weights.readers.state_dicts import ForeignState

NEGLIGIBLE_BIAS = 0.01
"""Largest bias that may be left out, where no normalisation follows to take it: one step of the
optimiser leaves 0.002, and a grey level is 0.008 on [-1, 1]."""
SIDE, REGION, OVERLAP = 128, "center", 4
"""Pixels of the input, what is predicted, and by how many pixels that exceeds the hole on each
side, in every released command."""
_MAPS = 512
"""Channels in front of the bottleneck, and behind it."""

Layer = dict[str, Tensor]
Placed = tuple[str, Layer]
"""A layer's place in the file and its tensors by kind."""


def generator_weights(
    state: ForeignState, file: Path
) -> tuple[dict[str, Tensor], dict[str, Any], LoadProof, dict[str, str]]:
    """A released generator as an `InpaintingGenerator`.

    Returns:
        Its tensors; side, region, bottleneck and overlap; the proof; and what was done to each.

    Raises:
        InputError: layers of other numbers or shapes, or biases that ours cannot hold.
    """
    given = {n: value for n, value in state.tensors.items() if not n.endswith(COUNTER)}
    for name, value in given.items():
        check_is_dense_float(name, value, file)
    theirs = _layers(given)
    bottleneck = _bottleneck(theirs)
    generator = InpaintingGenerator(
        bottleneck=bottleneck,
        generator=torch.Generator().manual_seed(torch_seed(0, "random-generator")),
    ).eval()
    ours = [(name, m) for name, m in generator.named_modules() if name and not list(m.children())]
    ours = [(name, module) for name, module in ours if module.state_dict()]
    if len(ours) != len(theirs):
        raise InputError(
            f"{file}: {len(theirs)} layers with weights, expected the {len(ours)} of a generator "
            f"of the centre of {SIDE} x {SIDE} pixels"
        )
    normalised = [isinstance(module, nn.BatchNorm2d) for _, module in ours]
    tensors = {n: v.clone() for n, v in generator.state_dict().items() if n.endswith(COUNTER)}
    transformed: dict[str, str] = {}
    for index, (name, module) in enumerate(ours):
        taken, done = _taken(theirs, normalised, index, file)
        for kind, own in module.state_dict().items():
            if not kind.endswith(COUNTER):
                tensors[f"{name}.{kind}"] = _shaped(taken, kind, own, theirs[index][0], file)
                transformed[f"{name}.{kind}"] = done
    values = {"side": SIDE, "region": REGION, "bottleneck": bottleneck, "overlap": OVERLAP}
    return tensors, values, _proof(generator, tensors, file), transformed


def _layers(tensors: dict[str, Tensor]) -> list[Placed]:
    """The layers in the order of the file; safetensors sorts by name, then as numbers say."""
    layers: dict[str, Layer] = {}
    for name, value in tensors.items():
        place, _, kind = name.rpartition(".")
        layers.setdefault(place, {})[kind] = value
    places = [place for place, layer in layers.items() if "weight" in layer]
    if list(tensors) == sorted(tensors):
        places.sort(key=_order)
    return [(place, layers[place]) for place in places]


def _order(place: str) -> list[int]:
    """By numbers, an encoder before a decoder."""
    return [int(part) if part.isdecimal() else part != "encoder" for part in place.split(".")]


def _bottleneck(theirs: Sequence[Placed]) -> int:
    """Units of the tenth layer, behind five convolutions and four normalisations."""
    weight = theirs[9][1]["weight"] if len(theirs) > 9 else torch.empty(0)
    units, left = divmod(weight.numel(), _MAPS * MAP_SIDE**2)
    return BOTTLENECK if left or not units else units


def _taken(
    theirs: Sequence[Placed], normalised: Sequence[bool], index: int, file: Path
) -> tuple[Layer, str]:
    """The tensors of one layer as ours, and what was done."""
    place, layer = theirs[index]
    if normalised[index]:
        bias = theirs[index - 1][1].get("bias")
        folded = bias is not None and bool(bias.any())
        done = f"named {place}" + (", the bias before it folded in" if folded else "")
        return _normalisation(layer, bias if folded else None, place, file), done
    bias = layer.get("bias")
    largest = float(bias.abs().max()) if bias is not None and len(bias) else 0.0
    if largest == 0 or normalised[index + 1 : index + 2] == [True]:
        return layer, f"named {place}"
    if largest > NEGLIGIBLE_BIAS:
        raise InputError(
            f"{file}: {place}.bias is up to {largest:.2g}, and this layer of our generator has "
            "none; only the released models, whose biases training holds at 0, fit"
        )
    return layer, f"named {place}, biases up to {largest:.2g} left out"


def _normalisation(layer: Layer, bias: Tensor | None, place: str, file: Path) -> Layer:
    """Statistics for responses without `bias`; older files hold 1 / sqrt(variance + 1e-5)."""
    found = dict(layer)
    if "running_std" in found:
        found["running_var"] = found["running_std"].double() ** -2 - 1e-5
    missing = {"weight", "bias", "running_mean", "running_var"} - found.keys()
    if missing:
        raise InputError(f"{file}: {place} is no normalisation: it has no {min(missing)}")
    if bias is not None:
        if bias.shape != found["running_mean"].shape:
            raise InputError(f"{file}: {place} has other channels than the layer before it")
        found["running_mean"] = found["running_mean"].double() - bias.double()
    return found


def _shaped(taken: Layer, kind: str, own: Tensor, place: str, file: Path) -> Tensor:
    """A tensor in our shape; the oldest files write a convolution as a matrix."""
    value = taken.get(kind)
    fits = value is not None and value.numel() == own.numel() and len(value) == len(own)
    if value is None or not fits:
        shape = "missing" if value is None else str(tuple(value.shape))
        raise InputError(f"{file}: {place}.{kind} is {shape} where {tuple(own.shape)} is needed")
    return value.float().reshape(own.shape).clone()


@torch.no_grad()
def _proof(generator: InpaintingGenerator, tensors: dict[str, Tensor], file: Path) -> LoadProof:
    noise = torch.rand(
        1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(torch_seed(0, "load-proof"))
    )
    random = generator(noise * 2 - 1)
    generator.load_state_dict(tensors)
    loaded = generator(noise * 2 - 1)
    change = float((loaded - random).norm() / random.norm())
    if not loaded.isfinite().all() or f"{change:.2f}" == "0.00":
        what = "not finite" if not loaded.isfinite().all() else "that of random weights"
        raise InputError(f"{file}: its prediction for noise is {what}; compare it with its source")
    return LoadProof(matched=tuple(tensors), unexpected=(), relative_response_change=change)
