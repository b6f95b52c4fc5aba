"""Time FCN-32s in training and test, fc6 in two forms, and the confusion matrix against others.

Run: python benchmarks/segmentation.py [--threads 2] [--device cuda] [--size 375x500] [--bf16]
The floor counts multiplications of convolutions only, at the rate of a large matrix product on the
same machine. torchmetrics is timed where it is installed.
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from alternation import medians, print_ratios
from evaluators import CLASSES, confusion_by_class, segmentation_input
from torch import Tensor, nn

from cebench.devices import autocast, choose_device
from cebench.metrics.segmentation import confusion_matrix
from cebench.models import fcn
from cebench.models.fcn import FCN, segmentation_cross_entropy

NUM_CLASSES = CLASSES + 1
CROPS = (8, 96, 96)
"""Images, height and width of a pass of the short recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="375x500", help="height x width of a whole image")
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    precision = "bf16" if given.bf16 else "fp32"
    rate = matrix_product_rate(device, torch.bfloat16 if given.bf16 else torch.float32)
    print(
        f"torch {torch.__version__}, {given.threads} threads: {rate / 1e9:.0f} GFLOP/s {precision}"
    )
    height, width = map(int, given.size.split("x"))
    network = FCN().to(device)
    for count, rows, columns in ((1, height, width), CROPS):
        images = torch.randn(count, 3, rows, columns, device=device) * 60
        labels = torch.randint(0, NUM_CLASSES, (count, rows, columns), device=device)
        step = partial(training_step, network, images, labels, given.bf16)
        label = partial(test, network, images, given.bf16)
        ways = {"training": synchronised(step), "test": synchronised(label)}
        times = medians(ways, rounds=3)
        forward = flops(network, images)
        for name, seconds in times.items():
            floor = forward / rate * (3 if name == "training" else 1)
            print(
                f"{name}, {count} x {rows} x {columns}: {count / seconds:.2f} images/s, "
                f"{100 * floor / seconds:.0f} % of the floor's"
            )
    if device.type == "cpu":
        compare_fc6(network.head.fc6)
    compare_confusion()


def matrix_product_rate(device: torch.device, dtype: torch.dtype, side: int = 2048) -> float:
    """FLOP/s of a square product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / medians({"product": synchronised(lambda: a @ b)})["product"]


def synchronised(way: Callable[[], Tensor]) -> Callable[[], None]:
    """`way`, and a wait for the device."""

    def run() -> None:
        way()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def training_step(network: FCN, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """One pass; without an optimizer step, which the protocol takes after twenty."""
    network.train()
    with autocast(images.device, "bf16" if bf16 else "fp32"):
        scores = network(images)
    loss = segmentation_cross_entropy(scores, labels)
    loss.backward()
    return loss


@torch.no_grad()
def test(network: FCN, images: Tensor, bf16: bool) -> Tensor:
    """The labels of the images."""
    network.eval()
    with autocast(images.device, "bf16" if bf16 else "fp32"):
        scores = network(images)
    return scores.float().argmax(1)


def flops(network: FCN, images: Tensor) -> float:
    """Multiplications and additions of the convolutions in a forward pass."""
    total = 0.0
    copy = FCN().to("meta")

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += 2 * output.numel() * layer.weight[0].numel()

    for layer in copy.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    copy(images.to("meta"))
    return total


def compare_fc6(fc6: nn.Conv2d) -> None:
    """As convolution and as matrix product, forward and backward, over the positions it takes."""
    for rows, columns in ((3, 4), (6, 8), (8, 12), (13, 17)):
        features = torch.randn(1, 256, rows + 5, columns + 5, requires_grad=True)
        ways = {}
        for name, limit in (("product", 10**9), ("convolution", 0)):
            ways[name] = partial(_fc6_step, fc6, features, limit)
        print_ratios(f"fc6 at {rows * columns} positions", medians(ways, rounds=3))


def _fc6_step(fc6: nn.Conv2d, features: Tensor, limit: int) -> None:
    fcn._UNFOLDED_POSITIONS = limit
    fc6.zero_grad(set_to_none=True)
    fcn._convolve(fc6, features).sum().backward()


def compare_confusion() -> None:
    """40 label images of 375 x 500; stops where two counts differ."""
    pairs = [segmentation_input(np.random.default_rng(seed)) for seed in range(40)]
    ways = {
        "ours": lambda: sum(confusion_matrix(*pair, NUM_CLASSES) for pair in pairs),
        "bincount per class": lambda: sum(confusion_by_class(*pair) for pair in pairs),
    }
    if find_spec("torchmetrics"):
        ways["torchmetrics"] = lambda: by_torchmetrics(pairs)
    counts = [way() for way in ways.values()]
    if not all(np.array_equal(count, counts[0]) for count in counts):
        raise SystemExit("the confusion matrices differ")
    print_ratios(f"confusion matrix, {len(pairs)} images", medians(ways))


def by_torchmetrics(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Its class, updated image by image as its users do."""
    from torchmetrics.classification import MulticlassConfusionMatrix

    metric = MulticlassConfusionMatrix(NUM_CLASSES, ignore_index=255)
    for truth, guess in pairs:
        metric.update(torch.from_numpy(guess), torch.from_numpy(truth))
    return metric.compute().numpy()


if __name__ == "__main__":
    main()
