"""Weights files: `NAME.safetensors` with a readable `NAME.json` beside it.

They are all that pretraining hands over to transfer; `weights.loading` puts them into networks.
"""

import hashlib
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
from torch import Tensor

from cebench import __version__
from cebench.config import Line, Tier, values_sha256
from cebench.errors import InputError
from cebench.files import (
    check_writable,
    made_folder,
    readable,
    readable_by_name,
    sha256_of,
    write_atomically,
)
from cebench.models.backbone import LibraryCrop
from cebench.models.backbones import CAFFENET, build_trunk
from cebench.models.caffenet import IMAGENET_MEAN_RGB
from cebench.randomness import torch_seed
from cebench.weights.tensor_files import save_tensors, tensor_bytes

SCHEMA = 2
TRUNK_ARCHITECTURE = CAFFENET
FC_TENSORS = tuple(f"{layer}.{kind}" for layer in ("fc6", "fc7") for kind in ("weight", "bias"))
"""Names of fc6 and fc7 in weights files that hold them."""
COUNTER = "num_batches_tracked"
"""End of the names of BatchNorm's counters: integers, and absent from older files."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """Pixels as the network takes them: RGB of `range`, minus `mean_rgb`, divided by `std_rgb`."""

    channels: str = "RGB"
    range: tuple[float, float] = (0.0, 255.0)
    mean_rgb: tuple[float, float, float] = IMAGENET_MEAN_RGB
    std_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    side: int = 227
    """Side of the square images, in pixels."""
    library_crop: LibraryCrop | None = None
    """How another library's evaluation makes those squares."""
    contrast_rms: float | None = None
    """Root mean square to which each image is brought, its channels less their own means in place
    of `mean_rgb` and `std_rgb`; None: not at all."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) RGB, 0..255, to what the network sees: float32, channels last in memory.

        float32 images with channels last are changed in place.
        """
        if self.contrast_rms is not None:
            return _at_contrast(images.float(), self.contrast_rms)
        low, high = self.range
        mean, std = (torch.tensor(v, device=images.device) for v in (self.mean_rgb, self.std_rgb))
        factor, shift = (high - low) / 255 / std, (low - mean) / std
        # Whole rows of R, G, B, R, G, B: three numbers at a time would take five times as long.
        rows = images.float().permute(0, 2, 3, 1).contiguous().flatten(2)
        if not (factor == 1).all():
            rows.mul_(factor.repeat(images.shape[3]))
        rows.add_(shift.repeat(images.shape[3]))
        return rows.view(*rows.shape[:2], -1, 3).permute(0, 3, 1, 2)


def _at_contrast(images: Tensor, rms: float) -> Tensor:
    """(N, 3, H, W) with each channel of each image less its mean, each image at this RMS."""
    centred = images - images.mean((2, 3), keepdim=True)
    found = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    at_rms: Tensor = centred * (rms / found.clamp(min=1e-3))
    return at_rms.contiguous(memory_format=torch.channels_last)


_CIRCUMSTANCES = frozenset({"data", "seconds", "cebench_version", "torch_version"})


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Sidecar:
    """Content of weights.json: what weights.safetensors is and how it was made."""

    schema: int = SCHEMA
    architecture: Line
    """`caffenet-trunk`, `torchvision/NAME` or `timm/NAME` (a trunk, what transfer takes), or what
    a model.safetensors holds whole, such as `context-encoder`."""
    method: Line
    """The pretext method: row of Table 2."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    recipe: Line
    recipe_values: dict[str, Any]
    recipe_excluded_from_hash: tuple[str, ...] = ()
    """Options of the recipe that cannot change the weights, or only by way of the data."""
    recipe_sha256: str = ""
    """Hash of the other values; computed where it is not given."""
    tier: Tier
    data: Line
    data_fingerprint: str | None
    """None, here and below: unknown, as of imported weights."""
    steps: int | None
    seed: int | None
    """Seed of the pretraining."""
    seconds: float | None
    """Wall time of the pretraining."""
    sha256: str = ""
    """SHA-256 of the safetensors file."""
    cebench_version: str = __version__
    torch_version: str = torch.__version__

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema}, expected {SCHEMA}: pretrain or import again")
        found = values_sha256(self.recipe_values, self.recipe_excluded_from_hash)
        if self.recipe_sha256 not in ("", found):
            raise ValueError("recipe_sha256 is not the hash of recipe_values")
        object.__setattr__(self, "recipe_sha256", found)

    def identity(self) -> dict[str, Any]:
        """All that tells these weights from others: not where, with what and how fast they came."""
        values = {name: v for name, v in asdict(self).items() if name not in _CIRCUMSTANCES}
        if self.preprocessing.contrast_rms is None:  # Runs that began before it know no such key.
            del values["preprocessing"]["contrast_rms"]
        return values


@dataclass(frozen=True, kw_only=True, config=ConfigDict(arbitrary_types_allowed=True))
class Weights:
    """Loaded weights: tensors by name, their sidecar, and a name for people."""

    name: str
    tensors: dict[str, Tensor]
    sidecar: Sidecar


def new_path(out: Path, name: str = "weights") -> Path:
    """The weights file `name` in the folder `out`; InputError unless it can be made there."""
    path = out / f"{name}.safetensors"
    if path.exists():
        raise InputError(f"{path}: exists; choose another --out or remove it")
    check_writable(out)
    return path


def save_weights(path: Path, tensors: Mapping[str, Tensor], sidecar: Sidecar) -> None:
    """Write `path` (.safetensors), then its sidecar (.json) with the file's SHA-256.

    Folders that are missing are made. Where the disk is full, neither file nor folder is left.
    """
    with made_folder(path.parent):
        save_tensors(path, tensors)
        values = {**asdict(sidecar), "sha256": sha256_of(path)}
        try:
            content = json.dumps(values, indent=2) + "\n"
            write_atomically(path.with_suffix(".json"), content.encode())
        except BaseException:
            path.unlink()  # Nothing takes it without its sidecar.
            raise


def _absent(path: Path) -> InputError:
    beside = path.with_suffix(".json")
    if path.suffix == ".safetensors" and beside.is_file():
        # A folder of many weights is no run's, and must not be deleted for one of them.
        made_with = path.parent if (path.parent / "run.toml").is_file() else beside
        return InputError(
            f"{path}: is gone, though {beside.name} is there; restore the file, or delete "
            f"{made_with} and make it anew"
        )
    return InputError(
        f"{path}: no such weights file; `cebench pretrain` and `cebench weights import` make them"
    )


def load_weights(path: Path) -> Weights:
    """Read a weights file, or the weights.safetensors of a run directory.

    InputError when it or its sidecar is absent, damaged (one flipped bit suffices) or of another
    schema, and for the directory of a run that has no trunk.
    """
    if path.is_dir():
        path = _trunk_in(path)
    if not path.is_file():
        raise _absent(path)
    if path.suffix == ".json":
        raise InputError(f"{path}: is a sidecar; give {path.with_suffix('.safetensors').name}")
    sidecar = read_sidecar(path)
    if sha256_of(path) != sidecar.sha256:
        raise InputError(
            f"{path}: damaged: its SHA-256 is not that of {path.with_suffix('.json').name}; "
            "restore the file, or pretrain again with --no-resume"
        )
    try:
        with readable_by_name(path) as name:
            tensors = load_file(name)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from None
    return Weights(
        name=readable(f"{path.parent.name}/{path.stem}"), tensors=tensors, sidecar=sidecar
    )


def _trunk_in(run: Path) -> Path:
    trunk, model = run / "weights.safetensors", run / "model.safetensors"
    if not trunk.is_file() and model.is_file() and (method := without_trunk(read_sidecar(model))):
        raise InputError(
            f"{run}: {method} has no trunk, the run left model.safetensors alone, which "
            "`cebench inpaint`, `transfer --task inpainting` and `weights inspect` take"
        )
    return trunk


def without_trunk(sidecar: Sidecar) -> str:
    """The method of a whole network that has no CaffeNet trunk inside, "" of one that has it."""
    if sidecar.architecture == "inpainting-generator":
        return sidecar.method
    pooling = sidecar.recipe_values.get("pooling")
    return f"{sidecar.method} with pooling=none" if pooling == "none" else ""


def read_sidecar(path: Path) -> Sidecar:
    """The sidecar of the weights file `path`."""
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise InputError(
            f"{path}: has no {sidecar.name} beside it; cebench needs both files, "
            "`cebench weights import` makes them of another program's file"
        )
    try:
        return TypeAdapter(Sidecar).validate_json(sidecar.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise InputError(f"{sidecar}: not a weights sidecar: {where}") from None


def random_weights(seed: int) -> Weights:
    """CaffeNet trunk with initial weights of `seed`, as `pretrain --method random` has it."""
    generator = torch.Generator().manual_seed(torch_seed(seed, "random-trunk"))
    tensors = build_trunk(generator=generator).state_dict()
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
        sha256=hashlib.sha256(tensor_bytes(tensors)).hexdigest(),
    )
    return Weights(name="random", tensors=tensors, sidecar=sidecar)
