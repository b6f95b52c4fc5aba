from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from foreign_files import caffe_messages, caffe_net, fill_blob
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from cebench.errors import InputError
from cebench.weights.readers.caffe_folding import state_of
from cebench.weights.readers.caffemodel import parse_caffemodel, read_caffemodel
from cebench.weights.readers.content import DamagedError
from cebench.weights.readers.protobuf import MAX_FIELDS

WEIGHT = torch.arange(24.0).reshape(4, 3, 1, 2) / 7
BIAS = torch.tensor([1.5, -2.0, 3.25, 0.0])
FILE = Path("net.caffemodel")

REAL = [
    "caffe-tensorflow/examples/mnist/lenet_iter_10000.caffemodel",
    "cifar10_quick/examples/cifar10/cifar10_quick_iter_5000.caffemodel",
    *(f"mtcnn/code/codes/MTCNNv2/model/det{n}.caffemodel" for n in (1, 2, 3, 4)),
]


def old_net(version: int, packed: bool) -> Any:
    net = caffe_messages(packed)["Net"]()
    outer = net.layers.add(bottom=["data"], top=["conv2"])
    if version == 0:
        layer = outer.layer
        layer.name, layer.type, layer.group = "conv2", "conv", 2
    else:
        layer = outer
        layer.name, layer.type, layer.convolution_param.group = "conv2", 4, 2
    fill_blob(layer.blobs.add(), WEIGHT, legacy=True)
    fill_blob(layer.blobs.add(), BIAS, legacy=True)
    return net


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("version", [0, 1])
def test_old_formats_with_four_axes_and_groups(version: int, packed: bool) -> None:
    (layer,) = parse_caffemodel(old_net(version, packed).SerializeToString())
    assert (layer.name, layer.type, layer.groups) == ("conv2", "Convolution", 2)
    assert (layer.bottoms, layer.tops) == (("data",), ("conv2",))
    assert torch.equal(layer.blobs[0], WEIGHT)
    assert torch.equal(layer.blobs[1], BIAS.reshape(1, 1, 1, 4))
    state, _ = state_of([layer], FILE)
    assert torch.equal(state["conv2.bias"], BIAS)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shaped_blobs_packed_and_unpacked_float_and_double(
    packed: bool, dtype: torch.dtype
) -> None:
    blobs = [WEIGHT.to(dtype), BIAS.to(dtype)]
    layers = {"conv1": blobs, "ip1": [BIAS.to(dtype).reshape(2, 2)]}
    net = caffe_net(layers, packed, ip1="InnerProduct")
    net.layer[1].inner_product_param.transpose = True
    first, second = parse_caffemodel(net.SerializeToString())
    assert all(torch.equal(a, b) for a, b in zip(first.blobs, blobs, strict=True))
    assert second.blobs[0].dtype == dtype
    assert second.blobs[0].tolist() == [[1.5, 3.25], [-2.0, 0.0]]


def test_long_rows_of_unpacked_floats_are_read_whole() -> None:
    weight = torch.randn(1000, 3, 5, 7)
    content = caffe_net({"conv1": [weight]}, packed=False).SerializeToString()
    assert torch.equal(parse_caffemodel(content)[0].blobs[0], weight)


def test_normalisations_are_folded_into_the_layer_before_them() -> None:
    torch.manual_seed(0)
    mean, variance, gain, shift = (torch.rand(4) + 0.5 for _ in range(4))
    net = caffe_net(
        {
            "conv3": [WEIGHT, BIAS],
            "bn3": [mean * 3, variance * 3, torch.tensor([3.0])],
            "scale3": [gain, shift],
        },
        bn3="BatchNorm",
        scale3="Scale",
    )
    net.layer[1].batch_norm_param.eps = 0.01
    state, done = state_of(parse_caffemodel(net.SerializeToString()), FILE)
    images = torch.randn(2, 3, 4, 4)
    plain = F.conv2d(images, WEIGHT, BIAS)
    expected = F.batch_norm(plain, mean, variance, gain, shift, eps=0.01)
    torch.testing.assert_close(
        F.conv2d(images, state["conv3.weight"], state["conv3.bias"]), expected
    )
    assert done == {"conv3.weight": "bn3, scale3 folded in"}
    assert [*state] == ["conv3.weight", "conv3.bias"]


def test_a_normalisation_of_something_else_is_refused() -> None:
    net = caffe_net({"conv1": [WEIGHT], "relu1": [], "scale": [BIAS]}, relu1="ReLU", scale="Scale")
    with pytest.raises(InputError, match=r"scale \(Scale\) follows no convolution"):
        state_of(parse_caffemodel(net.SerializeToString()), FILE)
    net = caffe_net({"conv1": [WEIGHT], "bn": [BIAS[:2]] * 2 + [BIAS[:1]]}, bn="BatchNorm")
    with pytest.raises(InputError, match="bn has 2 channels, conv1 before it 4"):
        state_of(parse_caffemodel(net.SerializeToString()), FILE)


def net_bytes() -> bytes:
    return caffe_net({"conv1": [WEIGHT, BIAS]}).SerializeToString()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (net_bytes()[:-3], "truncated or damaged"),
        (b"\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "bytes where 0 are left"),
        (b"\xff" * 12, "a number that does not end"),
        (b"\x0b", "a field of unknown kind 3"),
        (b"\x00\x00", "number 0"),
        (b"\x0a\x03net", r"no weights in it \(0 layers\)"),
        (b"\xa2\x06\x00" * 10_001, "more than 10,000 layers"),
        (b"\x08\x00" * (MAX_FIELDS + 1), "more than 1,000,000 fields"),
    ],
)
def test_damaged_files_are_named(content: bytes, message: str) -> None:
    with pytest.raises(DamagedError, match=message):
        parse_caffemodel(content)


@pytest.mark.parametrize("axes", [(5,), (2**62, 4), (-1,), (1,) * 40])
def test_a_shape_that_its_numbers_do_not_fill_is_refused(axes: tuple[int, ...]) -> None:
    net = caffe_net({"conv1": [BIAS]})
    del net.layer[0].blobs[0].shape.dim[:]
    net.layer[0].blobs[0].shape.dim.extend(axes)
    with pytest.raises(DamagedError, match="a blob of "):
        parse_caffemodel(net.SerializeToString())


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    for content, message in (
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Quota", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b'{"metadata": {}}', "is JSON; give the file of tensors"),
        (b"junk", r"net\.caffemodel: not a \.caffemodel: "),
    ):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_caffemodel(tmp_path / FILE)


@settings(max_examples=300)
@given(st.data())
def test_mutated_files_end_in_layers_or_one_error(data: st.DataObject) -> None:
    content = bytearray(net_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        layers = parse_caffemodel(bytes(content[:cut]) + data.draw(st.binary(max_size=20)))
    except DamagedError:
        return
    assert sum(blob.numel() for layer in layers for blob in layer.blobs) <= len(content)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", REAL)
def test_real_files_read_as_protobuf_reads_them(foreign_files: Path, name: str) -> None:
    net = caffe_messages()["Net"]()
    net.ParseFromString((foreign_files / name).read_bytes())
    theirs = [layer for layer in (*net.layer, *net.layers) if layer.blobs]
    ours = [layer for layer in read_caffemodel(foreign_files / name) if layer.blobs]
    assert [layer.name for layer in ours] == [layer.name for layer in theirs]
    for layer, expected in zip(ours, theirs, strict=True):
        for blob, wanted in zip(layer.blobs, expected.blobs, strict=True):
            numbers = np.array(wanted.data, dtype=np.float32)
            assert np.array_equal(blob.flatten().numpy(), numbers)


def convolution(
    x: NDArray[np.float64], weight: Tensor, bias: Tensor, pad: int = 0
) -> NDArray[np.float64]:
    """Sums over windows, spelled out: (C, H, W) to (O, H', W')."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
    sums = np.einsum("chwij,ocij->ohw", windows, weight.double().numpy())
    return sums + bias.double().numpy()[:, None, None]


def pooled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maxima of 2 x 2."""
    channels, height, width = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))


@pytest.mark.shared_data
def test_lenets_answers_equal_an_explicit_computation(foreign_files: Path) -> None:
    state, _ = state_of(read_caffemodel(foreign_files / REAL[0]), FILE)
    digit = np.random.default_rng(0).random((1, 28, 28))
    x = digit
    for name in ("conv1", "conv2"):
        x = pooled(convolution(x, state[f"{name}.weight"], state[f"{name}.bias"]))
    hidden = np.maximum(
        state["ip1.weight"].double().numpy() @ x.ravel() + state["ip1.bias"].double().numpy(), 0
    )
    scores = state["ip2.weight"].double().numpy() @ hidden + state["ip2.bias"].double().numpy()
    y = torch.from_numpy(digit[None]).float()
    for name in ("conv1", "conv2"):
        y = F.max_pool2d(F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"]), 2)
    y = F.relu(F.linear(y.flatten(1), state["ip1.weight"], state["ip1.bias"]))
    y = F.linear(y, state["ip2.weight"], state["ip2.bias"])[0]
    np.testing.assert_allclose(y, scores, rtol=1e-4, atol=1e-4)
