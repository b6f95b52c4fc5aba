"""State dicts of other programs: read from .safetensors or torch.save files, running no code."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cebench.errors import InputError


def read_state_dict(file: Path, inside: str = "") -> dict[str, Tensor]:
    """The tensors of a file by name.

    inside: key of the state dict; where it is not given and the file holds one dict of tensors
    among other things, that one is taken.
    """
    if not file.is_file():
        what = "is a folder; give the file of tensors in it" if file.is_dir() else "no such file"
        raise InputError(f"{file}: {what}")
    content = _opened(file)
    if inside:
        if not isinstance(content, Mapping) or not _is_state(content.get(inside)):
            raise InputError(f"{file}: has no state dict under {inside!r}; {_keys(content)}")
        content = content[inside]
    elif not _is_state(content):
        states = [key for key, value in _items(content) if _is_state(value)]
        if len(states) != 1:
            raise InputError(
                f"{file}: holds {len(states)} state dicts, expected one; name it with --inside; "
                f"{_keys(content)}"
            )
        content = content[states[0]]
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _opened(file: Path) -> Any:
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except SafetensorError as error:
            raise InputError(f"{file}: not a safetensors file: {error}") from None
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        if isinstance(error, UnpicklingError):
            reason = "it holds other Python objects"
        raise InputError(
            f"{file}: not a file of tensors that opens without running code ({reason}); save the "
            "module's state_dict(), or convert it to .safetensors"
        ) from None


def _items(content: Any) -> list[tuple[str, Any]]:
    return list(content.items()) if isinstance(content, Mapping) else []


def _is_state(value: Any) -> bool:
    """Whether it is a dict in which most values are tensors; some add a version or a counter."""
    tensors = [isinstance(item, Tensor) for _, item in _items(value)]
    return sum(tensors) > len(tensors) / 2


def _keys(content: Any) -> str:
    keys = [str(key) for key, _ in _items(content)]
    return f"its keys: {', '.join(keys[:8])}" if keys else f"it is a {type(content).__name__}"
