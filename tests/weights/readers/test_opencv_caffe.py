"""Activations of real nets against OpenCV 4's reader of Caffe's files; OpenCV 5 has none.

Also what `weights export --to caffe` writes, read there with its grouped convolutions.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cebench.models.caffenet import CaffeNetTrunk, he_weights
from cebench.weights.exporting import export_weights
from cebench.weights.files import random_weights, save_weights
from cebench.weights.readers.caffe_folding import state_of
from cebench.weights.readers.caffemodel import read_caffemodel

pytestmark = pytest.mark.skipif(
    int(cv2.__version__.partition(".")[0]) > 4, reason="OpenCV 5 reads no Caffe files"
)


def answers(net: "cv2.dnn.Net", images: Tensor, layer: str) -> Tensor:
    net.setInput(images.numpy())
    return torch.from_numpy(np.array(net.forward(layer)))


def read(folder: Path, prototxt: str, model: str) -> tuple["cv2.dnn.Net", dict[str, Tensor]]:
    net = cv2.dnn.readNetFromCaffe(str(folder / prototxt), str(folder / model))
    return net, state_of(read_caffemodel(folder / model), folder / model)[0]


def test_lenet(foreign_files: Path) -> None:
    folder = foreign_files / "caffe-tensorflow" / "examples" / "mnist"
    net, state = read(folder, "lenet.prototxt", "lenet_iter_10000.caffemodel")
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    x = images
    for name in ("conv1", "conv2"):
        x = F.max_pool2d(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]), 2)
    x = F.relu(F.linear(x.flatten(1), state["ip1.weight"], state["ip1.bias"]))
    x = F.linear(x, state["ip2.weight"], state["ip2.bias"])
    torch.testing.assert_close(answers(net, images, "ip2"), x, rtol=1e-3, atol=1e-3)


def test_mtcnns_first_net(foreign_files: Path) -> None:
    folder = foreign_files / "mtcnn" / "code" / "codes" / "MTCNNv2" / "model"
    net, state = read(folder, "det1.prototxt", "det1.caffemodel")
    images = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    x = images
    for number in (1, 2, 3):
        x = F.conv2d(x, state[f"conv{number}.weight"], state[f"conv{number}.bias"])
        x = F.prelu(x, state[f"PReLU{number}.weight"])
        x = F.max_pool2d(x, 2, ceil_mode=True) if number == 1 else x
    for name in ("conv4-1", "conv4-2"):
        expected = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])
        torch.testing.assert_close(answers(net, images, name), expected, rtol=1e-3, atol=1e-4)


def old_layer(name: str, kind: str, below: str, settings: str = "") -> str:
    """A layer in format V1, whose types are words without quotes."""
    top = below if kind == "RELU" else name
    return f'layers {{ name: "{name}" type: {kind} bottom: "{below}" top: "{top}" {settings} }}\n'


def cifar10_quick() -> str:
    convolution = "convolution_param { num_output: %d pad: 2 kernel_size: 5 }"
    pooling = "pooling_param { pool: %s kernel_size: 3 stride: 2 }"
    product = "inner_product_param { num_output: %d }"
    return 'input: "data" input_dim: 3 input_dim: 3 input_dim: 32 input_dim: 32\n' + "".join(
        [
            old_layer("conv1", "CONVOLUTION", "data", convolution % 32),
            old_layer("pool1", "POOLING", "conv1", pooling % "MAX"),
            old_layer("relu1", "RELU", "pool1"),
            old_layer("conv2", "CONVOLUTION", "pool1", convolution % 32),
            old_layer("relu2", "RELU", "conv2"),
            old_layer("pool2", "POOLING", "conv2", pooling % "AVE"),
            old_layer("conv3", "CONVOLUTION", "pool2", convolution % 64),
            old_layer("relu3", "RELU", "conv3"),
            old_layer("pool3", "POOLING", "conv3", pooling % "AVE"),
            old_layer("ip1", "INNER_PRODUCT", "pool3", product % 64),
            old_layer("ip2", "INNER_PRODUCT", "ip1", product % 10),
        ]
    )


def test_an_old_net_of_four_axes(foreign_files: Path, tmp_path: Path) -> None:
    model = foreign_files / "cifar10_quick/examples/cifar10/cifar10_quick_iter_5000.caffemodel"
    (tmp_path / "deploy.prototxt").write_text(cifar10_quick())
    net, state = read(tmp_path, "deploy.prototxt", str(model))
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 100 - 50
    x = F.conv2d(images, state["conv1.weight"], state["conv1.bias"], padding=2)
    x = F.relu(F.max_pool2d(x, 3, 2, ceil_mode=True))
    for name in ("conv2", "conv3"):
        x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=2))
        x = F.avg_pool2d(x, 3, 2, ceil_mode=True)
    for name in ("ip1", "ip2"):
        x = F.linear(x.flatten(1), state[f"{name}.weight"], state[f"{name}.bias"])
    torch.testing.assert_close(answers(net, images, "ip2"), x, rtol=1e-3, atol=1e-3)


PROTOTXT = """input: "data" input_shape { dim: 1 dim: 3 dim: 115 dim: 115 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 96 kernel_size: 11 stride: 4 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1"
  lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
  convolution_param { num_output: 256 pad: 2 kernel_size: 5 group: 2 } }
"""


def test_an_exported_trunk_answers_there_as_here(tmp_path: Path) -> None:
    trunk = CaffeNetTrunk().eval()
    he_weights(trunk, torch.Generator().manual_seed(0))
    save_weights(tmp_path / "weights.safetensors", trunk.state_dict(), random_weights(0).sidecar)
    export_weights(tmp_path, "caffe", tmp_path / "net.caffemodel")
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    images = torch.rand(1, 3, 115, 115, generator=torch.Generator().manual_seed(1)) * 255 - 120
    with torch.no_grad():
        ours = trunk.conv2(trunk.norm1(trunk.pool1(F.relu(trunk.conv1(images)))))
    theirs = answers(net, images.flip(1).contiguous(), "conv2")
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)
