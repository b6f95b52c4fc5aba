"""Tensors of another program as ours: found by name or by shape, checked, and brought into form."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.weights.files import COUNTER
from cebench.weights.loading import first_of


@dataclass(frozen=True)
class Wanted:
    """A tensor of ours that a file should bring."""

    shape: torch.Size
    source: str
    """Its name in the file, if it is there under its usual name."""


def check_is_dense_float(name: str, value: Tensor, file: Path) -> None:
    """InputError unless the tensor holds its numbers as such, real and finite."""
    if value.is_quantized:
        kind = "quantized"
    elif value.layout != torch.strided:
        kind = "sparse"
    elif value.is_meta:
        kind = "a shape without numbers (meta)"
    elif not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
    elif value.numel() * value.element_size() > value.untyped_storage().nbytes():
        kind = "a view that repeats its numbers"
    elif not value.float().isfinite().all():
        raise InputError(
            f"{file}: {name} holds values that are not finite; the "
            "training diverged or the file is damaged: take another checkpoint"
        )
    else:
        return
    raise InputError(f"{file}: {name} is {kind}; expected a dense floating-point tensor")


def in_shape(value: Tensor, wanted: Sequence[int]) -> Tensor:
    """`value` with the axes of `wanted` where only they are written otherwise, else as it is.

    Caffe wrote (1, 1, C, D) and (1, 1, 1, C) where others write (C, D) and (C), and fc6 may be a
    convolution over the whole map, (4096, 256, 6, 6). The numbers are in the same order.
    """
    return value.reshape([*wanted]) if _same_but_for_axes(value.shape, wanted) else value


def _same_but_for_axes(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    axes = [n for n in shape if n > 1]
    if len(wanted) == 2 and len(axes) == 4 and axes[2] == axes[3]:
        axes = [axes[0], math.prod(axes[1:])]
    return axes == [*wanted]


def check_prefix(
    state: Mapping[str, Tensor], names: Iterable[str], file: Path, taken_off: str = ""
) -> None:
    """InputError where the names of the file are `names` behind a prefix, which it says.

    taken_off: what the names of `state` had before them in the file.
    """
    wanted = [name for name in names if not name.endswith(COUNTER)]
    found: dict[str, int] = {}
    for name in wanted:
        for theirs in state:
            if theirs.endswith(f".{name}"):
                prefix = taken_off + theirs.removesuffix(name)
                found[prefix] = found.get(prefix, 0) + 1
    full = [prefix for prefix, count in found.items() if count == len(wanted)]
    if full and not any(name in state for name in wanted):
        shown = " or ".join(full[:3])
        raise InputError(f"{file}: names begin with {shown}, try --prefix {full[0]}")


def check_is_not_deeper(
    others: Mapping[str, Tensor], own: Mapping[str, Tensor], architecture: str, file: Path
) -> None:
    """InputError where a file repeats layers more often than the network has them.

    A ResNet-101 holds every tensor of a ResNet-50 in its shape, but is not one with layers to
    spare.

    Args:
        others: tensors of the file that have no place in the network.
        own: all tensors of the network.
        architecture: of the network.
        file: for the message.
    """
    layers = {(_unnumbered(name), value.shape) for name, value in own.items()}
    further = [n for n, value in others.items() if (_unnumbered(n), value.shape) in layers]
    if further:
        raise InputError(
            f"{file}: is deeper than {architecture}, which has no {first_of(further)}; give --as "
            "of the file's own network"
        )


def _unnumbered(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def found_by_shape(state: Mapping[str, Tensor], wanted: Mapping[str, Wanted]) -> dict[str, str]:
    """Our name -> the file's, for layers whose usual name is absent and whose shape is unique.

    A layer is known by its weight; its bias goes with it.
    """
    found: dict[str, str] = {}
    taken = {want.source for want in wanted.values()}
    for name, want in wanted.items():
        if want.source in state or not name.endswith(".weight") or len(want.shape) < 2:
            continue
        fitting = [n for n, v in state.items() if v.shape == want.shape and n not in taken]
        if len(fitting) == 1 and fitting[0].endswith(".weight"):
            found[name] = fitting[0]
            bias, theirs = (f"{n.removesuffix('weight')}bias" for n in (name, fitting[0]))
            if bias in wanted and theirs in state:
                found[bias] = theirs
    return found
