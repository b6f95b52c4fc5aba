"""Data-dependent initialisation and rescaling of networks without normalisation layers.

Source: Krähenbühl, Doersch, Donahue, Darrell, ICLR 2016 (arXiv:1511.06856), and its code,
philkr/magic_init, magic_init.py.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn

from cebench.models.caffenet import data_dependent_init
from cebench.randomness import numpy_generator, torch_seed

Filters = Literal["kmeans", "pca", "normal"]
"""Where a layer's filters come from: centres of k-means on whitened patches of its inputs, their
principal directions, or normal numbers."""
Layer = nn.Conv2d | nn.Linear
PATCHES = 20_000
"""Patches of a layer's inputs that its filters are made of, at most."""


class _Reached(Exception):  # noqa: N818 - it ends a forward pass early, nothing is wrong
    pass


def parameter_layers(network: nn.Module) -> list[Layer]:
    """The convolutions and linear layers, in the order in which they were put in."""
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@torch.no_grad()
def initialise_from_data(
    network: nn.Module, batches: Sequence[Tensor], filters: Filters, bias: float, seed: int
) -> None:
    """Draw every layer from its inputs, then scale it: mean `bias`, deviation 1 in each channel.

    Args:
        network: each of its layers is used once, in order; changed in place.
        batches: images as the network takes them, in parts.
        filters: see `Filters`.
        bias: mean of each channel before its ReLU; the published code has 0.1.
        seed: of the filters.
    """
    for number, layer in enumerate(parameter_layers(network)):
        inputs = [_input_of(network, layer, images) for images in batches]
        generator = numpy_generator(seed, "data-dependent", number)
        drawn = [_filters(p, layer, filters, generator) for p in _patches(layer, inputs, generator)]
        values = torch.from_numpy(np.concatenate(drawn)).to(layer.weight)
        layer.weight.copy_(values.view_as(layer.weight))
        if layer.bias is not None:
            layer.bias.zero_()
        # One kind of layer or the other, which its type variable cannot say.
        data_dependent_init([layer], inputs, lambda layer, x: layer(x), bias)  # type: ignore[type-var]


def _input_of(network: nn.Module, layer: Layer, images: Tensor) -> Tensor:
    found: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0])
        raise _Reached

    handle = layer.register_forward_pre_hook(keep)
    try:
        network(images)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[0]


def _patches(
    layer: Layer, inputs: Sequence[Tensor], generator: np.random.Generator
) -> list[NDArray[np.float64]]:
    """What a layer's filters see, (P, fan-in) for each of its groups: a sample of the positions."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    parts: list[list[Tensor]] = [[] for _ in range(groups)]
    for x in inputs:
        for part, channels in zip(parts, x.chunk(groups, dim=1), strict=True):
            rows = channels
            if isinstance(layer, nn.Conv2d):
                sizes: dict[str, Any] = {"padding": layer.padding, "stride": layer.stride}
                rows = F.unfold(channels, layer.kernel_size, **sizes).transpose(1, 2).flatten(0, 1)
            count = min(len(rows), PATCHES // len(inputs))
            index = torch.from_numpy(generator.choice(len(rows), count, replace=False))
            part.append(rows[index.to(rows.device)])
    return [torch.cat(part).double().cpu().numpy() for part in parts]


def _filters(
    patches: NDArray[np.float64], layer: Layer, filters: Filters, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Filters of one group, (outputs, fan-in); normal where patches are fewer than filters."""
    outputs = len(layer.weight) // (layer.groups if isinstance(layer, nn.Conv2d) else 1)
    if filters == "normal" or min(patches.shape) < outputs:
        return generator.standard_normal((outputs, patches.shape[1]))
    centred = patches - patches.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    variances, directions = variances[-outputs:], directions[:, -outputs:]
    scale = np.where(variances < 1e-6, 0, 1 / np.sqrt(np.maximum(variances, 0) + 1e-3))
    whitening = directions * scale
    if filters == "pca":
        return whitening.T.copy()
    white = centred @ whitening
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)
    clusters = MiniBatchKMeans(
        outputs, batch_size=10 * outputs, n_init=1, random_state=int(generator.integers(2**31))
    )
    found: NDArray[np.float64] = clusters.fit(white).cluster_centers_ @ whitening.T
    found /= np.maximum((centred @ found.T).std(0), 1e-8)[:, None]
    return found


def gradient_ratios(network: nn.Module, images: Tensor, seed: int = 0) -> Tensor:
    """sqrt(mean(dW ** 2) / mean(W ** 2)) of each layer, (K,), for a normal gradient of the output.

    The gradient belongs to `seed` and is the same in every call.
    """
    weights = [layer.weight for layer in parameter_layers(network)]
    with torch.enable_grad():
        output = network(images)
        generator = torch.Generator().manual_seed(torch_seed(seed, "gradient-ratio"))
        noise = torch.randn(output.shape, generator=generator).to(output)
        gradients = torch.autograd.grad(output, weights, noise)
    pairs = zip(gradients, weights, strict=True)
    return torch.stack([(g.square().mean() / w.detach().square().mean()).sqrt() for g, w in pairs])


def balance_gradient_ratios(
    network: nn.Module, images: Tensor, seed: int = 0, rounds: int = 30, tolerance: float = 0.01
) -> Tensor:
    """Scale the layers until all learn at one rate; returns their ratios, which then agree.

    Each round multiplies a layer's weights by sqrt(ratio / target) and its biases by that and by
    the change of its inputs; the target is the geometric mean of the ratios, times the output's
    deviation ** (1 / K), which brings the output to deviation 1. A homogeneous network (no local
    response normalisation) computes the same up to one factor.

    Args:
        network: each of its K layers is used once, in order; changed in place.
        images: (N, ...) as the network takes them.
        seed: of the gradient at the output, see `gradient_ratios`.
        rounds: at most.
        tolerance: relative deviation of a ratio from the target that ends it.
    """
    layers = parameter_layers(network)
    input_scales = _rescale(network, layers, images, torch.ones(len(layers)), {})
    ratios = gradient_ratios(network, images, seed)
    for _ in range(rounds):
        deviation = _output_deviation(network, images)
        target = ratios.log().mean().exp() * deviation ** (1 / len(layers))
        if ((ratios / target - 1).abs() < tolerance).all():
            break
        scales = (ratios / target).sqrt()
        input_scales = _rescale(network, layers, images, scales, input_scales)
        ratios = gradient_ratios(network, images, seed)
    return ratios


@torch.no_grad()
def _rescale(
    network: nn.Module,
    layers: Sequence[Layer],
    images: Tensor,
    scales: Tensor,
    before: dict[int, Tensor],
) -> dict[int, Tensor]:
    """Multiply the layers by `scales` from the input upwards; returns their mean absolute inputs.

    before: these means as they were; empty the first time, when the biases follow nothing.
    """
    now: dict[int, Tensor] = {}
    handles = []
    for number, layer in enumerate(layers):

        def change(layer: Any, inputs: tuple[Tensor, ...], number: int = number) -> None:
            now[number] = inputs[0].abs().mean()
            layer.weight *= scales[number]
            if layer.bias is not None:
                layer.bias *= scales[number] * now[number] / before.get(number, now[number])

        handles.append(layer.register_forward_pre_hook(change))
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return now


@torch.no_grad()
def _output_deviation(network: nn.Module, images: Tensor) -> Tensor:
    """Standard deviation of the output per channel, averaged."""
    output: Tensor = network(images)
    return output.transpose(0, 1).flatten(1).std(1).mean()
