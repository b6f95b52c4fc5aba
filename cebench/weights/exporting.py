"""`cebench weights export`: our weights under the names and in the files of other programs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from cebench.errors import InputError
from cebench.files import remove_leftovers, write_atomically
from cebench.models.backbones import OWN_TRUNKS, build_backbone
from cebench.models.caffenet import TRUNK_TENSORS, CaffeNetTrunk
from cebench.weights.caffe_writing import LayerToWrite, caffemodel_bytes
from cebench.weights.files import FC_TENSORS, Weights, load_weights
from cebench.weights.tensor_files import save_tensors

ALEXNET = "torchvision/alexnet"
FORMATS = {"torchvision": ".safetensors", "caffe": ".caffemodel", "safetensors": ".safetensors"}
"""What `--to` takes -> how its files end."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Result of an export: the written file and what could not be expressed."""

    path: Path
    names: dict[str, str]
    """Our name -> the name in the file."""
    unfit: dict[str, str]
    """Name in the file -> how its shape differs from that of the other program's network."""
    pixels: str
    """What the network takes."""

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.names)} tensors; takes {self.pixels}"]
        if self.unfit:
            lines.append(
                f"{len(self.unfit)} of them have other shapes than torchvision.models.alexnet, "
                "whose load_state_dict refuses them:"
            )
            lines += [f"  {name} {difference}" for name, difference in self.unfit.items()]
        return "\n".join(lines)


def export_weights(file: Path, to: str, out: Path, *, write: bool = True) -> Exported:
    """Write a weights file for another program; every number stays as it is, to the bit.

    Args:
        file: a weights file or the run directory that has one.
        to: `torchvision` (names of torchvision's networks; CaffeNet takes AlexNet's), `caffe` (a
            .caffemodel of format V2, conv1 for BGR) or `safetensors` (our names).
        out: file to write.
        write: False for a dry run, which checks the same and writes nothing.

    Raises:
        InputError: `out` exists or ends otherwise, or the format has no place for the network.
    """
    suffix = FORMATS[to]
    if out.suffix != suffix:
        raise InputError(f"--out {out}: files for {to} end in {suffix}")
    if out.exists():
        raise InputError(f"--out {out}: exists; choose another name or remove it")
    weights = load_weights(file)
    names, unfit = {name: name for name in weights.tensors}, dict[str, str]()
    if to == "caffe":
        content = _caffemodel(weights)
        save: Callable[[], None] = partial(write_atomically, out, content)
    else:
        if to == "torchvision":
            names, unfit = _torchvision_names(weights)
        named = {names[name]: value for name, value in weights.tensors.items()}
        save = partial(save_tensors, out, named)
    if write:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        save()
    return Exported(path=out, names=names, unfit=unfit, pixels=_pixels(weights, to))


def _caffemodel(weights: Weights) -> bytes:
    network = _caffenet(weights, "caffe")
    tensors = weights.tensors
    layers = []
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            weight = tensors[f"{name}.weight"]
            layers.append(
                LayerToWrite(
                    name,
                    weight.flip(1) if name == "conv1" else weight,
                    tensors[f"{name}.bias"],
                    layer.stride[0],
                    int(layer.padding[0]),
                    layer.groups,
                )
            )
    if set(FC_TENSORS) <= tensors.keys():
        layers += [
            LayerToWrite(n, tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in ("fc6", "fc7")
        ]
    return caffemodel_bytes(weights.sidecar.method, layers)


def _torchvision_names(weights: Weights) -> tuple[dict[str, str], dict[str, str]]:
    """Our names -> torchvision's, and which of those tensors its AlexNet would refuse."""
    architecture = weights.sidecar.architecture
    if architecture.startswith("torchvision/"):
        own = build_backbone(architecture, side=weights.sidecar.preprocessing.side)
        convolutions = {name: name for name in own.trunk.state_dict()}
        shapes: Mapping[str, Tensor] = {}
    else:
        _caffenet(weights, "torchvision")
        own = build_backbone(ALEXNET)
        shapes = own.trunk.state_dict()
        # Five convolutions in both, each a weight and a bias.
        convolutions = dict(zip(TRUNK_TENSORS, shapes, strict=True))
    heads = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in zip(("fc6", "fc7"), own.fully_connected, strict=False)
        for kind in ("weight", "bias")
    }
    names = {name: {**convolutions, **heads}[name] for name in weights.tensors}
    unfit = {
        theirs: f"is {tuple(weights.tensors[ours].shape)}, there {tuple(shapes[theirs].shape)}"
        for ours, theirs in names.items()
        if theirs in shapes and weights.tensors[ours].shape != shapes[theirs].shape
    }
    return names, unfit


def _caffenet(weights: Weights, to: str) -> CaffeNetTrunk:
    """The trunk that the weights are of; InputError for another network."""
    architecture = weights.sidecar.architecture
    if architecture not in OWN_TRUNKS:
        raise InputError(
            f"{weights.name}: holds a {architecture}; --to {to} takes a CaffeNet trunk, "
            "--to safetensors any network"
        )
    trunk = build_backbone(architecture).trunk
    assert isinstance(trunk, CaffeNetTrunk)
    return trunk


def _pixels(weights: Weights, to: str) -> str:
    seen = weights.sidecar.preprocessing
    squares = f"{seen.side} x {seen.side} pixels"
    if seen.contrast_rms is not None:
        return f"RGB less each image's own means, at RMS {seen.contrast_rms:g}, {squares}"
    flipped = to == "caffe"
    mean, std = (values[::-1] if flipped else values for values in (seen.mean_rgb, seen.std_rgb))
    low, high = seen.range
    scale = "" if set(std) == {1.0} else f", divided by {std}"
    return f"{'BGR' if flipped else 'RGB'} from {low:g} to {high:g} minus {mean}{scale}, {squares}"
