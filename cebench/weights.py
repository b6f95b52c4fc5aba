"""Weights files: `NAME.safetensors` with a readable `NAME.json` beside it, and proof of loading.

This file is the only door between pretraining and transfer.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cebench import __version__
from cebench.checkpoints import save_tensors
from cebench.errors import InputError
from cebench.files import sha256_of, write_atomically
from cebench.models.caffenet import IMAGENET_MEAN_RGB, CaffeNetTrunk, caffenet_fillers
from cebench.randomness import torch_seed

SCHEMA = 1
TRUNK_ARCHITECTURE = "caffenet-trunk"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """What the network sees: RGB pixels of `range`, minus `mean_rgb`."""

    channels: str = "RGB"
    range: tuple[float, float] = (0.0, 255.0)
    mean_rgb: tuple[float, float, float] = IMAGENET_MEAN_RGB


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Sidecar:
    """What weights.json says about weights.safetensors."""

    schema: int = SCHEMA
    architecture: str
    """`caffenet-trunk` (what transfer takes) or `context-encoder` (trunk, bottleneck, decoder)."""
    method: str
    """The pretext method: row of Table 2."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    recipe: str
    recipe_values: dict[str, Any]
    tier: str
    data: str
    data_fingerprint: str
    steps: int
    seed: int
    seconds: float
    """Wall time of the pretraining."""
    sha256: str = ""
    """Of the safetensors file."""
    cebench_version: str = __version__
    torch_version: str = torch.__version__


@dataclass(frozen=True, kw_only=True, config=ConfigDict(arbitrary_types_allowed=True))
class Weights:
    """Loaded weights: tensors by name, their sidecar, and a name for people."""

    name: str
    tensors: dict[str, Tensor]
    sidecar: Sidecar


@dataclass(frozen=True, kw_only=True)
class LoadProof:
    """What became of each trunk tensor, and whether the loaded trunk computes something else."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    """`name: shape in the file, shape in the trunk`."""
    relative_response_change: float
    """||pool5(loaded) - pool5(random twin)|| / ||pool5(random twin)|| on one fixed noise image."""

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} tensors matched, {len(self.missing)} missing, "
            f"{len(self.mismatched)} of another shape, {len(self.unexpected)} unexpected; "
            f"pool5 differs from a random twin's by {self.relative_response_change:.2f} of its norm"
        )


def save_weights(path: Path, tensors: Mapping[str, Tensor], sidecar: Sidecar) -> None:
    """Write `path` (.safetensors), then its sidecar (.json) with the file's SHA-256."""
    save_tensors(path, tensors)
    values = {**asdict(sidecar), "sha256": sha256_of(path)}
    write_atomically(path.with_suffix(".json"), (json.dumps(values, indent=2) + "\n").encode())


def load_weights(path: Path) -> Weights:
    """Read a weights file, or the weights.safetensors of a run directory.

    InputError when it or its sidecar is absent, damaged (one flipped bit suffices) or of another
    schema.
    """
    if path.is_dir():
        path = path / "weights.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; `cebench pretrain` writes one")
    sidecar = read_sidecar(path)
    if sha256_of(path) != sidecar.sha256:
        raise InputError(
            f"{path}: damaged: its SHA-256 is not that of {path.with_suffix('.json').name}; "
            "restore the file or pretrain again"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from None
    return Weights(name=f"{path.parent.name}/{path.stem}", tensors=tensors, sidecar=sidecar)


def read_sidecar(path: Path) -> Sidecar:
    """The sidecar of the weights file `path`."""
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise InputError(f"{path}: has no {sidecar.name} beside it; cebench needs both files")
    try:
        return TypeAdapter(Sidecar).validate_json(sidecar.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{sidecar}: not a weights sidecar: {where}: {first['msg']}") from None


def random_weights(seed: int) -> Weights:
    """The trunk of `--weights random`: CaffeNet fillers drawn from `seed`."""
    trunk = CaffeNetTrunk()
    caffenet_fillers(trunk, torch.Generator().manual_seed(torch_seed(seed, "random-trunk")))
    sidecar = Sidecar(
        architecture=TRUNK_ARCHITECTURE,
        method="random",
        recipe="random",
        recipe_values={},
        tier="paper",
        data="none",
        data_fingerprint="none",
        steps=0,
        seed=seed,
        seconds=0.0,
        sha256=f"random-{seed}",
    )
    return Weights(name="random", tensors=trunk.state_dict(), sidecar=sidecar)


def load_trunk(trunk: CaffeNetTrunk, weights: Weights) -> LoadProof:
    """Put `weights` into `trunk` and prove it; InputError below full coverage of the trunk."""
    own, theirs = trunk.state_dict(), weights.tensors
    _load_all(trunk, weights)
    return LoadProof(
        matched=tuple(own),
        missing=(),
        unexpected=tuple(name for name in theirs if name not in own),
        mismatched=(),
        relative_response_change=_response_change(theirs, own),
    )


def load_module(module: nn.Module, weights: Weights, architecture: str) -> None:
    """Put every tensor of `weights` into `module`, which must be exactly of `architecture`."""
    if weights.sidecar.architecture != architecture:
        raise InputError(
            f"{weights.name}: holds a {weights.sidecar.architecture}, needed is a {architecture}; "
            "pretraining keeps it in model.safetensors beside weights.safetensors"
        )
    _load_all(module, weights)


def _load_all(module: nn.Module, weights: Weights) -> None:
    """Fill every tensor of `module`; InputError when one is missing or of another shape."""
    own, theirs = module.state_dict(), weights.tensors
    missing = [name for name in own if name not in theirs]
    mismatched = [name for name in own if name in theirs and theirs[name].shape != own[name].shape]
    if missing or mismatched:
        raise InputError(_refusal(weights, own, missing, mismatched))
    module.load_state_dict({name: theirs[name] for name in own})


def _refusal(
    weights: Weights, own: Mapping[str, Tensor], missing: list[str], mismatched: list[str]
) -> str:
    parts = [f"missing {', '.join(missing[:3])}"] if missing else []
    parts += [
        f"{name} is {tuple(weights.tensors[name].shape)} where {tuple(own[name].shape)} is needed"
        for name in mismatched[:3]
    ]
    found = len(own) - len(missing) - len(mismatched)
    return (
        f"{weights.name}: weights of another architecture ({weights.sidecar.architecture}): "
        f"{found} of {len(own)} tensors fit; {'; '.join(parts)}"
    )


def _response_change(loaded: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> float:
    """How far the response of the loaded trunk is from that of a randomly drawn one."""
    network = CaffeNetTrunk().eval()
    generator = torch.Generator().manual_seed(torch_seed(0, "load-proof"))
    noise = torch.empty(1, 3, 227, 227).uniform_(-128, 128, generator=generator)
    with torch.no_grad():
        caffenet_fillers(network, generator)
        random = network(noise)
        network.load_state_dict({name: loaded[name] for name in own})
        return float((network(noise) - random).norm() / random.norm())
