from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from foreign_files import caffe_messages
from safetensors.torch import load_file
from torch import Tensor

from cebench.errors import InputError
from cebench.models.caffenet import CaffeNetTrunk
from cebench.weights.exporting import export_weights
from cebench.weights.files import load_weights, random_weights, save_weights
from cebench.weights.importing import import_weights


def ours(folder: Path, fc: bool = False) -> tuple[Path, dict[str, Tensor]]:
    weights = random_weights(3)
    tensors = dict(weights.tensors)
    if fc:
        tensors |= {"fc6.weight": torch.randn(4096, 9216), "fc6.bias": torch.randn(4096)}
        tensors |= {"fc7.weight": torch.randn(4096, 4096), "fc7.bias": torch.randn(4096)}
    save_weights(folder / "weights.safetensors", tensors, weights.sidecar)
    return folder, tensors


@pytest.mark.slow
def test_caffe_and_back_is_the_same_to_the_bit(tmp_path: Path) -> None:
    folder, tensors = ours(tmp_path, fc=True)
    exported = export_weights(folder, "caffe", tmp_path / "net.caffemodel")
    assert exported.pixels.startswith("BGR from 0 to 255 minus (104.00699, 116.66877, 122.67892)")
    import_weights(exported.path, None, None, tmp_path / "back", like="caffenet")
    back = load_weights(tmp_path / "back").tensors
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def test_protobuf_reads_what_the_writer_wrote(tmp_path: Path) -> None:
    folder, tensors = ours(tmp_path)
    path = export_weights(folder, "caffe", tmp_path / "net.caffemodel").path
    net = caffe_messages()["Net"]()
    net.ParseFromString(path.read_bytes())
    assert [layer.name for layer in net.layer] == [f"conv{n}" for n in range(1, 6)]
    assert [layer.convolution_param.group for layer in net.layer] == [1, 2, 1, 2, 2]
    weight = net.layer[3].blobs[0]
    assert list(weight.shape.dim) == [384, 192, 3, 3]
    assert torch.equal(torch.tensor(list(weight.data)), tensors["conv4.weight"].flatten())


@pytest.mark.slow
def test_torchvisions_names_and_back(tmp_path: Path) -> None:
    torch.manual_seed(1)
    alexnet = torchvision.models.alexnet()
    torch.save(alexnet.state_dict(), tmp_path / "alexnet.pth")
    import_weights(tmp_path / "alexnet.pth", "torchvision/alexnet", "imagenet", tmp_path / "w")
    exported = export_weights(tmp_path / "w", "torchvision", tmp_path / "a.safetensors")
    assert exported.unfit == {}
    missing = alexnet.load_state_dict(load_file(exported.path), strict=False)
    assert missing.missing_keys == ["classifier.6.weight", "classifier.6.bias"]
    import_weights(exported.path, "torchvision/alexnet", "imagenet", tmp_path / "back")
    first, back = load_weights(tmp_path / "w").tensors, load_weights(tmp_path / "back").tensors
    assert all(torch.equal(back[name], value) for name, value in first.items())


def test_caffenet_under_torchvisions_names_says_what_does_not_fit(tmp_path: Path) -> None:
    folder, tensors = ours(tmp_path)
    exported = export_weights(folder, "torchvision", tmp_path / "a.safetensors")
    assert exported.names["conv2.bias"] == "features.3.bias"
    assert exported.unfit["features.0.weight"] == "is (96, 3, 11, 11), there (64, 3, 11, 11)"
    assert "features.6.bias" not in exported.unfit
    assert "8 of them have other shapes than torchvision.models.alexnet" in str(exported)
    import_weights(exported.path, "caffenet", "random", tmp_path / "back")  # Found by shape.
    back = load_weights(tmp_path / "back").tensors
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def test_plain_safetensors_and_refusals(tmp_path: Path) -> None:
    folder, tensors = ours(tmp_path)
    out = export_weights(folder, "safetensors", tmp_path / "plain.safetensors").path
    CaffeNetTrunk().load_state_dict(load_file(out))
    assert all(torch.equal(load_file(out)[name], value) for name, value in tensors.items())
    with pytest.raises(InputError, match="exists; choose another name"):
        export_weights(folder, "safetensors", out)
    with pytest.raises(InputError, match=r"files for caffe end in \.caffemodel"):
        export_weights(folder, "caffe", out)
    weights = load_weights(folder)
    (tmp_path / "g").mkdir()
    for whole in ("context-encoder", "caffenet-classifier"):
        sidecar = replace(weights.sidecar, architecture=whole)
        save_weights(tmp_path / "g" / "weights.safetensors", {}, sidecar)
        with pytest.raises(InputError, match=f"holds a {whole}; --to caffe takes a CaffeNet"):
            export_weights(tmp_path / "g", "caffe", tmp_path / "c.caffemodel")
        with pytest.raises(InputError, match=f"holds a {whole}; --to torchvision takes a Caffe"):
            export_weights(tmp_path / "g", "torchvision", tmp_path / "c.safetensors")
