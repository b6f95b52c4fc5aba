"""`cebench weights import`: weights that another program wrote become our weights file.

It happens once, before any transfer, so that transfer sees one format, one way of feeding pixels
and one SHA-256 per backbone, and the proof of what was taken over is read once by a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.files import check_one_line, sha256_of
from cebench.models.backbone import Backbone, position_count
from cebench.models.backbones import CAFFENET, CAFFENET_WITHOUT_GROUPS, build_backbone, is_foreign
from cebench.models.caffenet import FC_UNITS, CaffeNetTrunk
from cebench.weights.descriptions import PRESETS, Description, Preset, read_description
from cebench.weights.files import (
    COUNTER,
    FC_TENSORS,
    Preprocessing,
    Sidecar,
    Weights,
    new_path,
    save_weights,
)
from cebench.weights.foreign_pixels import check_range, fold_into_conv1, preprocessing_of
from cebench.weights.foreign_tensors import (
    Wanted,
    check_is_dense_float,
    check_is_not_deeper,
    check_prefix,
    found_by_shape,
    in_shape,
)
from cebench.weights.loading import LoadProof, check_covers, first_of, load_backbone
from cebench.weights.readers.state_dicts import ForeignState, read_state_dict

GENERATOR = "inpainting-generator"
TRUNKS = {"caffenet": CAFFENET, "caffenet-nogroups": CAFFENET_WITHOUT_GROUPS}
"""Name for `--as` -> architecture of our own trunks."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Result of an import: the written file and its proof."""

    path: Path
    sidecar: Sidecar
    proof: LoadProof
    transformed: dict[str, str]
    """Tensor -> what was done to it."""
    incomplete: tuple[str, ...] = ()
    """What the file lacks of fc6 and fc7 where it brings the rest: without it none is taken."""

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.sidecar.architecture}, row {self.sidecar.method}"]
        lines.append(str(self.proof))
        for done, names in self._by_transformation().items():
            lines.append(f"transformed {first_of(names)}: {done}")
        lines += [f"unexpected {first_of(names)}: left out" for names in self._by_part()]
        if self.incomplete:
            lines.append(f"fc6 and fc7 left out: the file has no {', '.join(self.incomplete)}")
        return "\n".join(lines)

    def _by_transformation(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name, done in self.transformed.items():
            names.setdefault(done, []).append(name)
        return names

    def _by_part(self) -> list[list[str]]:
        """What was left out, together by the first part of its name: a decoder, a projector."""
        names: dict[str, list[str]] = {}
        for name in self.proof.unexpected:
            names.setdefault(name.partition(".")[0], []).append(name)
        return [*names.values()]


def import_weights(
    file: Path,
    architecture: str | None,
    method: str | None,
    out: Path,
    *,
    like: str | None = None,
    mapping: Path | None = None,
    inside: str = "",
    prefix: str = "",
    seed: int | None = None,
    write: bool = True,
) -> Imported:
    """Write `file` as weights in the folder `out` with their sidecar, and prove what is in them.

    A trunk becomes weights.safetensors, an inpainting generator model.safetensors.

    Args:
        file: .safetensors, .caffemodel, Torch7's .t7, or what torch.save wrote (opened without
            running any of it).
        architecture: `caffenet`, `caffenet-nogroups`, `inpainting-generator`, `torchvision/NAME`
            or `timm/NAME`; that of the preset if None.
        method: row of the tables; that of the preset if None.
        out: folder.
        like: name of a preset, see `PRESETS`: a published file whose form and pixels are known.
        mapping: a TOML file of `Description`; what it says counts before the preset.
        inside: keys of the state dict in the file, where it holds more than that.
        prefix: what its names begin with, such as `module.`; names without it are left out.
        seed: of the pretraining, where the row has several; None: the file is the only one.
        write: False for a dry run, which proves the same and writes nothing.

    Raises:
        InputError: below full coverage of the trunk, or whatever else stands in the way.
    """
    preset = preset_of(like, architecture, method)
    known = (*TRUNKS, GENERATOR)
    if not is_foreign(preset.architecture) and preset.architecture not in known:
        raise InputError(
            f"--as {preset.architecture}: expected {', '.join(known)}, torchvision/NAME or "
            "timm/NAME, such as torchvision/alexnet"
        )
    if mapping and preset.architecture == GENERATOR:
        raise InputError(f"--mapping {mapping}: {GENERATOR} is read by its layers; leave it out")
    path = new_path(out, "model" if preset.architecture == GENERATOR else "weights")
    description = read_description(mapping, preset.description)
    check_range(description, preset.architecture)
    state = _without_prefix(read_state_dict(file, inside), prefix, file)
    if preset.architecture == GENERATOR:
        from cebench.weights.generators import generator_weights

        tensors, values, proof, transformed = generator_weights(state, file)
        pixels = Preprocessing(range=(-1.0, 1.0), mean_rgb=(0.0, 0.0, 0.0), side=values["side"])
        sidecar = _sidecar(preset, pixels, file, values)
        imported = Imported(path=path, sidecar=sidecar, proof=proof, transformed=transformed)
    else:
        tensors, imported = _trunk(state, preset, description, file, path)
    if seed is not None:
        imported = replace(imported, sidecar=_of_seed(imported.sidecar, seed))
    if write:
        save_weights(path, tensors, imported.sidecar)
    return imported


def preset_of(like: str | None, architecture: str | None, method: str | None) -> Preset:
    """What `--like`, `--as` and `--method` say together."""
    check_one_line(method or "", "--method")
    if like is None:
        if architecture is None or method is None:
            raise InputError("--as and --method are missing; give both, or --like NAME")
        if not method.strip():
            raise InputError("--method: is empty; give the name of your row in the tables")
        return Preset(architecture, method, Description())
    if like not in PRESETS:
        raise InputError(f"--like {like}: expected one of {', '.join(PRESETS)}")
    preset = PRESETS[like]
    if architecture not in (None, preset.architecture):
        raise InputError(
            f"--as {architecture}: --like {like} is a {preset.architecture}; leave one of them out"
        )
    return Preset(preset.architecture, method or preset.method, preset.description)


def _trunk(
    state: ForeignState, preset: Preset, description: Description, file: Path, path: Path
) -> tuple[dict[str, Tensor], Imported]:
    """Our tensors of a trunk, and the account of it."""
    foreign = is_foreign(preset.architecture)
    backbone = build_backbone(
        TRUNKS.get(preset.architecture, preset.architecture),
        side=description.side,
        positions=position_count(state.tensors, description.tensors),
    )
    wanted = _wanted(state, backbone, description, file)
    tensors, transformed = _taken_over(state, wanted, backbone, description, file)
    incomplete = _drop_incomplete_fc(tensors, transformed)
    taken = {wanted[name].source for name in tensors}
    if foreign:
        preprocessing = preprocessing_of(description, backbone)
    else:
        preprocessing = Preprocessing()
        _check_groups(tensors, preset, file)
        transformed |= fold_into_conv1(tensors, description)
    own, architecture = backbone.trunk.state_dict(), backbone.architecture
    others = {name: value for name, value in state.tensors.items() if name not in taken}
    check_covers(tensors, own, str(file), architecture, [*others])
    check_is_not_deeper(others, own, architecture, file)
    values = description.model_dump(mode="json", exclude_defaults=True)
    sidecar = _sidecar(preset, preprocessing, file, values)
    _, proof = load_backbone(Weights(name=str(file), tensors=tensors, sidecar=sidecar))
    if f"{proof.relative_response_change:.2f}" == "0.00":
        raise InputError(
            f"{file}: pool5 differs from that of random weights by 0.00 of its norm: these are "
            "the initial weights of an untrained network; for that row there is --weights random"
        )
    proof = LoadProof(
        matched=proof.matched,
        unexpected=tuple(others),
        relative_response_change=proof.relative_response_change,
    )
    return tensors, Imported(
        path=path, sidecar=sidecar, proof=proof, transformed=transformed, incomplete=incomplete
    )


def _sidecar(
    preset: Preset, preprocessing: Preprocessing, file: Path, values: Mapping[str, Any]
) -> Sidecar:
    return Sidecar(
        architecture=TRUNKS.get(preset.architecture, preset.architecture),
        method=preset.method,
        preprocessing=preprocessing,
        recipe="import",
        recipe_values={"file": file.name, "file_sha256": sha256_of(file), **values},
        tier="imported",
        data="unknown",
        data_fingerprint=None,
        steps=None,
        seed=None,
        seconds=None,
    )


def _of_seed(sidecar: Sidecar, seed: int) -> Sidecar:
    """The sidecar of one pretraining among several: they differ in seed and file alone."""
    return replace(
        sidecar,
        seed=seed,
        recipe_excluded_from_hash=("file", "file_sha256"),
        recipe_sha256="",
    )


def _without_prefix(state: ForeignState, prefix: str, file: Path) -> ForeignState:
    found = [name for name in state.tensors if name.startswith(prefix)]
    if not found:
        names = ", ".join(list(state.tensors)[:3])
        raise InputError(f"{file}: no name begins with {prefix!r}; they are {names}, ...")
    done = {name.removeprefix(prefix): text for name, text in state.done.items()}
    tensors = {name.removeprefix(prefix): state.tensors[name] for name in found}
    return ForeignState(tensors, done, prefix)


def _wanted(
    state: ForeignState, backbone: Backbone, description: Description, file: Path
) -> dict[str, Wanted]:
    """Our name of each tensor of the trunk, fc6 and fc7 -> its shape and its name in the file."""
    own = backbone.trunk.state_dict()
    wanted = {name: Wanted(value.shape, name) for name, value in own.items()}
    fc = [(FC_UNITS, backbone.features), (FC_UNITS,), (FC_UNITS, FC_UNITS), (FC_UNITS,)]
    shapes = {name: torch.Size(s) for name, s in zip(FC_TENSORS, fc, strict=True)}
    if description.fully_connected:
        for ours, theirs in zip(("fc6", "fc7"), backbone.fully_connected, strict=False):
            for kind in ("weight", "bias"):
                wanted[f"{ours}.{kind}"] = Wanted(shapes[f"{ours}.{kind}"], f"{theirs}.{kind}")
    _check_names(state.tensors, wanted, description)
    wanted |= {n: Wanted(wanted[n].shape, theirs) for n, theirs in description.tensors.items()}
    sources = [wanted[name].source for name in own]
    check_prefix(state.tensors, sources, file, state.prefix)
    if isinstance(backbone.trunk, CaffeNetTrunk):
        by_shape = found_by_shape(state.tensors, wanted)
        wanted |= {name: Wanted(wanted[name].shape, theirs) for name, theirs in by_shape.items()}
    return wanted


def _check_names(
    state: Mapping[str, Tensor], wanted: Mapping[str, Wanted], description: Description
) -> None:
    """InputError where a mapping names a tensor that we or the file do not have."""
    for ours, theirs in description.tensors.items():
        if ours not in wanted:
            raise InputError(
                f"mapping: tensors: {ours!r} is none of ours; they are "
                f"{', '.join(list(wanted)[:4])}, ..."
            )
        if theirs not in state:
            raise InputError(
                f"mapping: tensors: the file has no {theirs!r}; "
                f"it has {', '.join(list(state)[:4])}, ..."
            )


def _taken_over(
    state: ForeignState,
    wanted: Mapping[str, Wanted],
    backbone: Backbone,
    description: Description,
    file: Path,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Our tensors, float32 and RGB, and what was done to them; what is missing is left out."""
    first = next(n for n, m in backbone.trunk.named_modules() if isinstance(m, nn.Conv2d))
    tensors: dict[str, Tensor] = {}
    transformed: dict[str, str] = {}
    for ours, want in wanted.items():
        if want.source not in state.tensors:
            if ours.endswith(COUNTER):  # Older files lack it, and a frozen statistic ignores it.
                tensors[ours] = torch.zeros((), dtype=torch.int64)
            continue
        done = [f"named {want.source}"] if want.source != ours else []
        done += [state.done[want.source]] if want.source in state.done else []
        value = state.tensors[want.source]
        if not ours.endswith(COUNTER):
            value = _in_form(value, want, done, file)
        if ours in FC_TENSORS and value.shape != want.shape:
            raise InputError(
                f"{file}: {want.source} is {tuple(value.shape)} where {tuple(want.shape)} is "
                "needed; say fully_connected = false in --mapping to have fc6 and fc7 drawn anew"
            )
        if ours == f"{first}.weight" and description.channels == "BGR":
            done.append("BGR to RGB")
            value = value.flip(1)
        tensors[ours] = value.clone()
        transformed |= {ours: ", ".join(done)} if done else {}
    return tensors, transformed


def _in_form(value: Tensor, want: Wanted, done: list[str], file: Path) -> Tensor:
    """A tensor as float32 in our shape; appends what that took to `done`."""
    check_is_dense_float(want.source, value, file)
    if value.dtype != torch.float32:
        done.append(f"{str(value.dtype).removeprefix('torch.')} to float32")
        value = value.float()
    shaped = in_shape(value, want.shape)
    if shaped.shape != value.shape:
        done.append(f"{tuple(value.shape)} to {tuple(shaped.shape)}")
    return shaped


def _check_groups(tensors: Mapping[str, Tensor], preset: Preset, file: Path) -> None:
    """InputError where only the number of groups is another, naming the trunk that fits."""
    inputs = {"caffenet": 48, "caffenet-nogroups": 96}
    found = tensors["conv2.weight"].shape[1:2] if "conv2.weight" in tensors else ()
    for name, channels in inputs.items():
        if name != preset.architecture and tuple(found) == (channels,):
            raise InputError(
                f"{file}: its conv2 takes {channels} channels, so it is a {name}; give --as {name}"
            )


def _drop_incomplete_fc(tensors: dict[str, Tensor], transformed: dict[str, str]) -> tuple[str, ...]:
    """Take fc6 and fc7 out unless all four tensors are there; returns those that some lack."""
    missing = tuple(name for name in FC_TENSORS if name not in tensors)
    if not missing:
        return ()
    for name in FC_TENSORS:
        tensors.pop(name, None)
        transformed.pop(name, None)
    return missing if len(missing) < len(FC_TENSORS) else ()
