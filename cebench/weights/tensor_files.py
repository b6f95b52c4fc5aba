"""Tensors by name in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from cebench.errors import CebenchError
from cebench.files import replace_atomically


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `path` as safetensors, atomically; CebenchError when the disk is full."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    try:
        replace_atomically(path, lambda temporary: save_file(contiguous, temporary))
    except SafetensorError as error:
        raise CebenchError(
            f"{path}: could not be written ({error}); free disk space and run the command again"
        ) from None
