"""What torch.save and safetensors wrote, opened without running any code in it."""

import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cebench.errors import InputError
from cebench.files import readable_by_name

_SCALAR: Any = np.float64(0).__reduce__()[0]
_SAFE_CLASSES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    Namespace,
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
]
"""What laboratories' checkpoints hold besides tensors and plain values: options and scores.

None of them does anything when it is made: an attribute holder and NumPy's scalars.
"""


def open_torch_file(file: Path) -> Any:
    """The content of a torch.save file on the CPU; InputError unless it opens without code."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_CLASSES):
            warnings.simplefilter("ignore")  # What they say is in the messages below.
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds a {found[1]}" if found else "it holds other Python objects"
    except Exception as error:  # Of a damaged file, torch raises whatever it runs into.
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        if "TorchScript" in str(error):
            reason = "it is a TorchScript archive"
        if "central directory" in reason:
            reason = "it is truncated"
    raise InputError(
        f"{file}: not a file of tensors that opens without running code ({reason}); save the "
        "module's state_dict(), or convert it to .safetensors"
    )


def open_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file by name."""
    try:
        with readable_by_name(file) as name:
            return load_file(name)
    except SafetensorError as error:
        raise InputError(f"{file}: not a safetensors file: {error}") from None


def state_dict_in(content: Any, file: Path, inside: str = "") -> dict[str, Tensor]:
    """The tensors by name somewhere in a checkpoint.

    Args:
        content: what the file holds: dicts in dicts.
        file: for messages.
        inside: keys down to the state dict, separated by dots. Below them, or without them, the
            only state dict on the uppermost level that has one is taken, an optimizer's never.

    Raises:
        InputError: none, several, or one with names that are not text.
    """
    part = _under(content, inside) if inside else content
    places = _state_dicts(part)
    if inside and not places:
        raise InputError(f"{file}: has no state dict under {inside!r}; {_keys(content)}")
    if len(places) != 1:
        start = [inside] if inside else []
        shown = ", ".join(".".join([*start, *place]) for place in places[:8])
        raise InputError(
            f"{file}: holds {len(places)} state dicts, expected one; "
            + (f"name it with --inside: {shown}" if places else _keys(part))
        )
    for key in places[0]:
        part = part[key]
    other = [key for key in part if not isinstance(key, str)]
    if other:
        raise InputError(
            f"{file}: names its tensors by {other[0]!r} and the like, expected text; save the "
            "module's state_dict()"
        )
    return {name: value for name, value in part.items() if isinstance(value, Tensor)}


def _state_dicts(content: Any) -> list[list[str]]:
    """The keys down to each state dict on the uppermost level that has any."""
    level: list[tuple[list[str], Any]] = [([], content)]
    for _ in range(8):
        found = [place for place, value in level if _is_state(value)]
        if found:
            return found
        level = [
            ([*place, key], inner)
            for place, value in level
            for key, inner in _items(value)
            if isinstance(key, str) and "optim" not in key and isinstance(inner, Mapping)
        ]
    return []


def _under(content: Any, inside: str) -> Any:
    """What lies under the keys of `inside`, which may have dots of their own; None if nothing."""
    if not isinstance(content, Mapping):
        return None
    if inside in content:
        return content[inside]
    for key in sorted((k for k in content if isinstance(k, str)), key=len, reverse=True):
        if inside.startswith(f"{key}."):
            found = _under(content[key], inside.removeprefix(f"{key}."))
            if found is not None:
                return found
    return None


def _items(content: Any) -> list[tuple[Any, Any]]:
    return list(content.items()) if isinstance(content, Mapping) else []


def _is_state(value: Any) -> bool:
    """Whether it is a dict in which most values are tensors; some add a version or a counter."""
    tensors = [isinstance(item, Tensor) for _, item in _items(value)]
    return sum(tensors) > len(tensors) / 2


def _keys(content: Any) -> str:
    keys = [str(key) for key, _ in _items(content)]
    return f"its keys: {', '.join(keys[:8])}" if keys else f"it is a {type(content).__name__}"
