"""`cebench weights import`: a state dict that another program wrote becomes our weights file.

It happens once, before any transfer, so that transfer sees one format, one way of feeding pixels
and one SHA-256 per backbone, and the proof of what was taken over is read once by a person.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.backbones import CAFFENET, Backbone, build_backbone, is_foreign
from cebench.weights.files import (
    FC_TENSORS,
    Preprocessing,
    Sidecar,
    Weights,
    save_weights,
)
from cebench.weights.loading import LoadProof, load_backbone
from cebench.weights.readers.torch_files import read_state_dict

Triple = tuple[float, float, float]
_COUNTER = "num_batches_tracked"


class Description(BaseModel):
    """What a mapping file (TOML) says of another program's weights; every key has a usual value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the colours that the first convolution takes."""
    range: tuple[float, float] | None = None
    """What black and white are before the mean is subtracted, such as [0, 255]."""
    mean: Triple | None = None
    """In that range and in the order of `channels`."""
    std: Triple | None = None
    """What the pixels were divided by; a Caffe `scale` of 1/127.5 is 127.5."""
    side: PositiveInt | None = None
    """Side of the square images in pixels."""
    tensors: dict[str, str] = Field(default_factory=dict)
    """Our name of a tensor -> its name in the file, where they differ."""

    def rgb(self, values: Triple | None) -> Triple | None:
        """`values`, which are in the order of `channels`, as R, G, B."""
        if values is None or self.channels == "RGB":
            return values
        blue, green, red = values
        return red, green, blue


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was taken over."""

    path: Path
    sidecar: Sidecar
    proof: LoadProof
    transformed: dict[str, str]
    """Tensor -> what was done to it."""
    incomplete: tuple[str, ...] = ()
    """What the file lacks of fc6 and fc7 where it brings the rest: without it none is taken."""

    def __str__(self) -> str:
        unexpected = self.proof.unexpected
        lines = [f"{self.path}: {self.sidecar.architecture}, row {self.sidecar.method}"]
        lines.append(str(self.proof))
        for done, names in self._by_transformation().items():
            shown = names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more"]
            lines.append(f"transformed {', '.join(shown)}: {done}")
        lines += [f"unexpected {name}: left out" for name in unexpected]
        if self.incomplete:
            lines.append(f"fc6 and fc7 left out: the file has no {', '.join(self.incomplete)}")
        return "\n".join(lines)

    def _by_transformation(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name, done in self.transformed.items():
            names.setdefault(done, []).append(name)
        return names


def import_weights(
    file: Path,
    architecture: str,
    method: str,
    out: Path,
    *,
    mapping: Path | None = None,
    inside: str = "",
    prefix: str = "",
) -> Imported:
    """Write `file` as `out`/weights.safetensors with its sidecar, and prove what is in it.

    Args:
        file: a .safetensors file, or what torch.save wrote (opened without running any of it).
        architecture: `caffenet`, `torchvision/NAME` or `timm/NAME`.
        method: row of the tables.
        out: folder.
        mapping: a TOML file of `Description`.
        inside: key of the state dict in the file, where it holds more than that.
        prefix: what its names begin with, such as `module.`; names without it are left out.

    Raises:
        InputError: below full coverage of the trunk, or whatever else stands in the way.
    """
    path = _new_path(out)
    if not is_foreign(architecture) and architecture != "caffenet":
        raise InputError(
            f"--as {architecture}: expected caffenet, torchvision/NAME or timm/NAME, such as "
            "torchvision/alexnet"
        )
    description = _read_description(mapping)
    _check_range(description, architecture)
    backbone = build_backbone(architecture, side=description.side)
    state = _without_prefix(read_state_dict(file, inside), prefix, file)
    sources = _sources(state, backbone, description)
    tensors, transformed = _taken_over(state, sources, backbone, description, file)
    incomplete = _drop_incomplete_fc(tensors, transformed)
    if is_foreign(architecture):
        preprocessing = _preprocessing(description, backbone)
    else:
        preprocessing = Preprocessing()
        transformed |= _folded_into_conv1(tensors, description)
    sidecar = _sidecar(architecture, method, preprocessing, file, description)
    weights = Weights(name=str(file), tensors=tensors, sidecar=sidecar)
    _, proof = load_backbone(weights)
    taken = {sources[name] for name in tensors}
    proof = LoadProof(
        matched=proof.matched,
        unexpected=tuple(name for name in state if name not in taken),
        relative_response_change=proof.relative_response_change,
    )
    out.mkdir(parents=True, exist_ok=True)
    save_weights(path, tensors, sidecar)
    return Imported(
        path=path, sidecar=sidecar, proof=proof, transformed=transformed, incomplete=incomplete
    )


def _new_path(out: Path) -> Path:
    path = out / "weights.safetensors"
    if path.exists():
        raise InputError(f"{path}: exists; choose another --out or remove it")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out must be a folder")
    return path


def _sidecar(
    architecture: str,
    method: str,
    preprocessing: Preprocessing,
    file: Path,
    description: Description,
) -> Sidecar:
    return Sidecar(
        architecture=architecture if is_foreign(architecture) else CAFFENET,
        method=method,
        preprocessing=preprocessing,
        recipe="import",
        recipe_values={
            "file": file.name,
            "file_sha256": sha256_of(file),
            **description.model_dump(mode="json", exclude_defaults=True),
        },
        tier="imported",
        data="unknown",
        data_fingerprint=None,
        steps=None,
        seed=None,
        seconds=None,
    )


def _read_description(path: Path | None) -> Description:
    if path is None:
        return Description()
    try:
        return Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: no readable TOML file: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(Description.model_fields)
        raise InputError(f"{path}: {where}: {first['msg']}; its keys are {known}") from None


def _check_range(description: Description, architecture: str) -> None:
    """InputError for a range whose mean or std would be the usual one, of another range."""
    needed = ("mean", "std") if is_foreign(architecture) else ("mean",)
    absent = [key for key in needed if getattr(description, key) is None]
    if description.range is not None and absent:
        raise InputError(
            f"mapping: range without {' and '.join(absent)}: the usual ones belong to the usual "
            "range; state them in the range that you give"
        )


def _without_prefix(state: dict[str, Tensor], prefix: str, file: Path) -> dict[str, Tensor]:
    found = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    if not found:
        names = ", ".join(list(state)[:3])
        raise InputError(f"{file}: no name begins with {prefix!r}; they are {names}, ...")
    return found


def _sources(
    state: Mapping[str, Tensor], backbone: Backbone, description: Description
) -> dict[str, str]:
    """Our name of each tensor of the trunk, fc6 and fc7 -> its name in the file."""
    usual = {name: name for name in backbone.trunk.state_dict()}
    for ours, theirs in zip(("fc6", "fc7"), backbone.fully_connected, strict=False):
        usual |= {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    unknown = [name for name in description.tensors if name not in usual]
    if unknown:
        raise InputError(
            f"mapping: tensors: {unknown[0]!r} is none of ours; they are "
            f"{', '.join(list(usual)[:4])}, ..."
        )
    absent = [name for name in description.tensors.values() if name not in state]
    if absent:
        raise InputError(
            f"mapping: tensors: the file has no {absent[0]!r}; "
            f"it has {', '.join(list(state)[:4])}, ..."
        )
    return {**usual, **description.tensors}


def _taken_over(
    state: Mapping[str, Tensor],
    sources: Mapping[str, str],
    backbone: Backbone,
    description: Description,
    file: Path,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Our tensors, float32 and RGB, and what was done to them; what is missing is left out."""
    shapes = {name: value.shape for name, value in backbone.trunk.state_dict().items()}
    fc = [(4096, backbone.features), (4096,), (4096, 4096), (4096,)]
    shapes |= {name: torch.Size(s) for name, s in zip(FC_TENSORS, fc, strict=True)}
    first = next(n for n, m in backbone.trunk.named_modules() if isinstance(m, nn.Conv2d))
    tensors: dict[str, Tensor] = {}
    transformed: dict[str, str] = {}
    for ours, theirs in sources.items():
        if theirs not in state:
            if ours.endswith(_COUNTER):  # Older files lack it, and a frozen statistic ignores it.
                tensors[ours] = torch.zeros((), dtype=torch.int64)
            continue
        value, done = state[theirs], [f"named {theirs}"] if theirs != ours else []
        if value.is_floating_point() and value.dtype != torch.float32:
            done.append(f"{str(value.dtype).removeprefix('torch.')} to float32")
            value = value.float()
        if not value.isfinite().all():
            raise InputError(f"{file}: {theirs} holds values that are not finite")
        wanted = shapes[ours]
        if value.shape != wanted and _is_written_otherwise(value.shape, wanted):
            done.append(f"{tuple(value.shape)} to {tuple(wanted)}")
            value = value.reshape(wanted)
        if ours in FC_TENSORS and value.shape != wanted:
            raise InputError(
                f"{file}: {theirs} is {tuple(value.shape)} where {tuple(wanted)} is needed; take "
                "fc6 and fc7 out of the file to have them drawn anew"
            )
        if ours == f"{first}.weight" and description.channels == "BGR":
            done.append("BGR to RGB")
            value = value.flip(1)
        tensors[ours] = value.clone()
        transformed |= {ours: ", ".join(done)} if done else {}
    return tensors, transformed


def _is_written_otherwise(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether only the axes are written otherwise, the numbers being in the same order.

    Caffe writes (1, 1, C, D) and (1, 1, 1, C) where others write (C, D) and (C), and fc6 may be a
    convolution over the whole map, (4096, 256, 6, 6).
    """
    axes = [n for n in shape if n > 1]
    if len(wanted) == 2 and len(axes) == 4 and axes[2] == axes[3]:
        axes = [axes[0], math.prod(axes[1:])]
    return axes == [*wanted]


def _drop_incomplete_fc(tensors: dict[str, Tensor], transformed: dict[str, str]) -> tuple[str, ...]:
    """Take fc6 and fc7 out unless all four tensors are there; returns those that some lack."""
    missing = tuple(name for name in FC_TENSORS if name not in tensors)
    if not missing:
        return ()
    for name in FC_TENSORS:
        tensors.pop(name, None)
        transformed.pop(name, None)
    return missing if len(missing) < len(FC_TENSORS) else ()


def _preprocessing(description: Description, backbone: Backbone) -> Preprocessing:
    """As described, otherwise as the library trained: ImageNet's statistics on [0, 1]."""
    return Preprocessing(
        range=description.range or (0.0, 1.0),
        mean_rgb=description.rgb(description.mean) or (0.485, 0.456, 0.406),
        std_rgb=description.rgb(description.std) or (0.229, 0.224, 0.225),
        side=backbone.side,
    )


def _folded_into_conv1(tensors: dict[str, Tensor], description: Description) -> dict[str, str]:
    """Change conv1 so that it takes what every CaffeNet here takes; returns what was done.

    Theirs sees (a x + low - m) / s of a pixel x in 0..255, ours x - M: a / s goes into the weights
    and (a M + low - m) / s into the bias. At padded borders, which are 0 for both, M stands for m.
    """
    if not {"conv1.weight", "conv1.bias"} <= tensors.keys():
        return {}  # Refused as missing by the proof.
    ours = Preprocessing()
    low, high = description.range or ours.range
    means = description.rgb(description.mean) or ours.mean_rgb
    stds = description.rgb(description.std) or ours.std_rgb
    usual, mean, std = (torch.tensor(v, dtype=torch.float64) for v in (ours.mean_rgb, means, stds))
    factor = (high - low) / 255 / std
    shift = factor * usual + (low - mean) / std
    if bool((factor == 1).all() and (shift == 0).all()):
        return {}
    weight = tensors["conv1.weight"].double()
    tensors["conv1.bias"] = (
        tensors["conv1.bias"].double() + (weight * shift[:, None, None]).sum((1, 2, 3))
    ).float()
    tensors["conv1.weight"] = (weight * factor[:, None, None]).float()
    done = "takes RGB, 0..255, minus the mean pixel of all rows"
    return {"conv1 (weight and bias)": done}
