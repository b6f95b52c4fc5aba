"""Tensors by name in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save, save_file
from torch import Tensor

from cebench.errors import CebenchError
from cebench.files import replace_atomically


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `path` as safetensors, atomically; CebenchError when the disk is full."""
    contiguous = _contiguous(tensors)
    try:
        replace_atomically(path, lambda temporary: save_file(contiguous, temporary))
    except SafetensorError as error:
        raise CebenchError(
            f"{path}: could not be written ({error}); free disk space and run the command again"
        ) from None


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of the file that `save_tensors` would write."""
    return save(_contiguous(tensors))


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
