"""Checkpoints: all modules and optimizers as one tensor file, found again after any crash.

A checkpoint is `<step>.safetensors`; `index.json`, written after it, lists the last two with their
SHA-256. A file that the index does not name, or whose hash differs, does not count.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ConfigDict, NonNegativeFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.errors import InputError
from cebench.files import readable_by_name, sha256_of, write_atomically
from cebench.weights.tensor_files import save_tensors

logger = logging.getLogger("cebench")

KEPT = 2


class DataHashes(NamedTuple):
    """What is learned from."""

    fingerprint: str
    """Whatever the order."""
    order: str
    """One that depends on the order; "" where the fingerprint says all."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Entry:
    """One line of the index."""

    file: str
    step: PositiveInt
    seconds: NonNegativeFloat
    """How long the training had taken by then."""
    sha256: str
    data_fingerprint: str
    data_order: str


def save_checkpoint(
    folder: Path,
    step: int,
    seconds: float,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    data: DataHashes,
) -> None:
    """Save the state after `step` steps and `seconds` of training; keeps the newest two."""
    folder.mkdir(parents=True, exist_ok=True)
    file = f"{step:08d}.safetensors"
    save_tensors(folder / file, _state(modules, optimizers))
    entry = Entry(file, step, seconds, sha256_of(folder / file), *data)
    entries = [entry, *(e for e in _read_index(folder) if e.step != step)][:KEPT]
    index = json.dumps([vars(e) for e in entries], indent=2) + "\n"
    write_atomically(folder / "index.json", index.encode())
    for path in folder.glob("*.safetensors*"):
        if path.name not in {e.file for e in entries}:
            path.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    data: DataHashes,
) -> tuple[int, float]:
    """Restore the newest sound checkpoint; returns its step and seconds, 0 where there is none.

    A damaged checkpoint is named in a warning and the one before it is taken. InputError when all
    are damaged, or when the data or their order are not those that the run began with.
    """
    entries = _read_index(folder)
    for entry in entries:
        path = folder / entry.file
        if not path.exists() or sha256_of(path) != entry.sha256:
            logger.warning(
                f"{path}: damaged (its SHA-256 differs); trying the checkpoint before it"
            )
            continue
        _check_data(folder.parent, entry, data)
        with readable_by_name(path) as name:
            tensors = load_file(name)
        _restore(tensors, modules, optimizers)
        return entry.step, entry.seconds
    if entries:
        raise InputError(f"{folder}: every checkpoint is damaged; start over with --no-resume")
    return 0, 0.0


def saved_seconds(folder: Path) -> float:
    """Seconds of training until the newest checkpoint, 0 where there is none."""
    entries = _read_index(folder)
    return entries[0].seconds if entries else 0.0


def _check_data(run: Path, entry: Entry, data: DataHashes) -> None:
    """InputError unless a checkpoint of `run` is of these data in this order."""
    if entry.data_fingerprint != data.fingerprint:
        raise InputError(
            f"{run}: the data changed since this run began; restore them, or use "
            "--no-resume or another --out"
        )
    if entry.data_order != data.order:
        raise InputError(
            f"{run}: the data are those that this run began with, but in another order, which is "
            "that of their paths: give folders and archives their old names, or use --no-resume "
            "or another --out"
        )


def _read_index(folder: Path) -> list[Entry]:
    path = folder / "index.json"
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Entry]).validate_json(path.read_bytes())
    except ValidationError:
        raise InputError(f"{path}: damaged; start over with --no-resume") from None


def _state(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> dict[str, Tensor]:
    state = {
        f"modules/{name}/{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for name, optimizer in optimizers.items():
        for number, values in optimizer.state_dict()["state"].items():
            for key, tensor in values.items():
                if tensor is not None:
                    state[f"optimizers/{name}/{number}/{key}"] = tensor
    return state


def _restore(
    state: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
) -> None:
    for name, module in modules.items():
        prefix = f"modules/{name}/"
        module.load_state_dict(
            {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        )
    for name, optimizer in optimizers.items():
        _restore_optimizer(f"optimizers/{name}/", state, optimizer)


def _restore_optimizer(prefix: str, state: Mapping[str, Tensor], optimizer: Optimizer) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    values: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        if key.startswith(prefix):
            number, _, name = key.removeprefix(prefix).partition("/")
            like = parameters[int(number)]
            # Fresh memory in the parameter's own layout, as the optimizer would have made it:
            # a view into the mapped file could take another kernel and change the last bit.
            own = torch.empty_like(like) if tensor.shape == like.shape else torch.empty_like(tensor)
            values.setdefault(int(number), {})[name] = own.copy_(tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
