"""One door to other programs' weights: tensors by name, whatever format they are in."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from cebench.errors import InputError
from cebench.weights.readers.caffe_folding import state_of
from cebench.weights.readers.caffemodel import read_caffemodel
from cebench.weights.readers.content import check_is_weights_file
from cebench.weights.readers.torch7 import named_tensors, read_torch7
from cebench.weights.readers.torch_files import open_safetensors, open_torch_file, state_dict_in

_TORCH7_STARTS = (b"\3\0\0\0", b"\4\0\0\0", b"3\n", b"4\n")
"""A table or an object of a class, in binary and in ASCII."""


@dataclass(frozen=True)
class ForeignState:
    """Tensors by name, in the order of the file, and what reading did to some of them."""

    tensors: dict[str, Tensor]
    done: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    """What was taken off their names."""


def read_state_dict(file: Path, inside: str = "") -> ForeignState:
    """The tensors of a file by name: .safetensors, .caffemodel, Torch7's, or torch.save's.

    Layers of Caffe's are `NAME.weight` and `NAME.bias`, their normalisations folded in; modules
    of Torch7's are numbered from 0, `0.2.weight`. `inside` is for files that hold more than a
    state dict, see `state_dict_in`.

    Raises:
        InputError: not such a file, or no state dict in it.
    """
    check_is_weights_file(file)
    if file.suffix == ".caffemodel":
        return ForeignState(*state_of(read_caffemodel(file), file))
    if file.suffix == ".t7" or _starts_as_torch7(file):
        tensors = named_tensors(read_torch7(file))
        start = f"{inside}." if inside else ""
        found = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        if not found:
            raise InputError(f"{file}: holds no tensors" + (f" under {inside!r}" if inside else ""))
        return ForeignState(found)
    opened = open_safetensors if file.suffix == ".safetensors" else open_torch_file
    return ForeignState(state_dict_in(opened(file), file, inside))


def _starts_as_torch7(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4).startswith(_TORCH7_STARTS)
