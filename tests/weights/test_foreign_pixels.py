"""A CaffeNet that another program fed: its pixels, its names and its axes on import."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cebench.models.caffenet import CaffeNetTrunk, caffenet_fillers, preprocess
from cebench.weights.files import load_weights
from cebench.weights.importing import import_weights
from cebench.weights.loading import load_trunk

CAFFE = """
channels = "BGR"
range = {range}
mean = {mean}
std = {std}

[tensors]
"conv1.weight" = "conv1.blob0"
"conv1.bias" = "conv1.blob1"
"fc6.weight" = "fc6.blob0"
"fc6.bias" = "fc6.blob1"
"""


def caffe_like(trunk: CaffeNetTrunk) -> dict[str, Tensor]:
    """The trunk as Caffe keeps it, in blobs of four axes; fc7 is absent."""
    state = {name: value.clone() for name, value in trunk.state_dict().items()}
    state["conv1.blob0"], state["conv1.blob1"] = state.pop("conv1.weight"), state.pop("conv1.bias")
    state["conv2.bias"] = state["conv2.bias"].reshape(1, 1, 1, -1)
    state["fc6.blob0"], state["fc6.blob1"] = torch.zeros(4096, 9216), torch.zeros(4096)
    return state


@pytest.mark.parametrize(
    "seen",
    [
        {"range": [0, 255], "mean": [104.0, 117.0, 123.0], "std": [127.5, 100.0, 60.0]},
        {"range": [0, 1], "mean": [0.41, 0.46, 0.48], "std": [0.5, 0.4, 0.25]},
        {"range": [-1, 1], "mean": [-0.2, -0.1, 0.1], "std": [1.0, 0.8, 0.5]},
    ],
    ids=["0..255", "0..1", "-1..1"],
)
def test_caffe_weights_give_the_same_features_from_rgb_pixels(
    tmp_path: Path, seen: dict[str, list[float]]
) -> None:
    """Theirs: BGR minus a mean, over a deviation. Ours: what every CaffeNet here is fed."""
    theirs = CaffeNetTrunk().eval()
    generator = torch.Generator().manual_seed(0)
    caffenet_fillers(theirs, generator)
    with torch.no_grad():
        theirs.conv1.weight.mul_(20)
    file, out = tmp_path / "caffe.pth", tmp_path / "out"
    torch.save(caffe_like(theirs), file)
    (tmp_path / "names.toml").write_text(CAFFE.format(**seen))
    mapping = tmp_path / "names.toml"
    imported = import_weights(file, "caffenet", "imagenet", out, mapping=mapping)
    ours = CaffeNetTrunk()
    load_trunk(ours, load_weights(out))
    pixels = torch.randint(0, 256, (1, 3, 227, 227), generator=generator).float()
    low, high = seen["range"]
    mean, std = torch.tensor([seen["mean"], seen["std"]])[:, :, None, None]
    bgr = (low + (high - low) / 255 * pixels.flip(1) - mean) / std
    with torch.no_grad():
        torch.testing.assert_close(
            ours.eval()(preprocess(pixels)), theirs(bgr), rtol=1e-3, atol=1e-4
        )
    assert imported.transformed["conv1.weight"] == "named conv1.blob0, BGR to RGB"
    assert imported.transformed["conv2.bias"] == "(1, 1, 1, 256) to (256,)"
    # fc6 without fc7 is of no use to a classifier.
    assert "fc6.weight" not in load_weights(out).tensors
    assert imported.proof.unexpected == ("fc6.blob0", "fc6.blob1")
    assert str(imported).endswith("fc6 and fc7 left out: the file has no fc7.weight, fc7.bias")
    assert "fc6.weight" not in imported.transformed
