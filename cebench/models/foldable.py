"""Layers in the form that trains, and the plain layers that compute the same afterwards.

A trunk is handed over as CaffeNet's ten tensors. It may train in another form: conv1 fed with
divided pixels, batch normalisation before each ReLU. `folded_state_dict` turns these into the
weights and biases of the plain layers.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import CaffeNetTrunk, he_weights
from cebench.models.folding import fold_batch_norm
from cebench.models.sync_layers import BatchNorm2d

CONVOLUTIONS = tuple(f"conv{n}" for n in range(1, 6))


class FoldableConv2d(nn.Conv2d):
    """A convolution of x / divisor, batch-normalised or not, that folds into a plain one.

    It computes what `plain` does (before normalisation), with weights `divisor` times as large. An
    optimizer whose step has a size of its own, such as Adam, then changes the first layer as fast
    as the others although its input is in 0..255.

    Args:
        plain: the convolution whose place it takes.
        divisor: of the input.
        batch_norm: whether an affine batch normalisation follows; it takes the place of the bias.
    """

    def __init__(self, plain: nn.Conv2d, divisor: float = 1, *, batch_norm: bool = False) -> None:
        super().__init__(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,  # type: ignore[arg-type]
            stride=plain.stride,  # type: ignore[arg-type]
            padding=plain.padding,  # type: ignore[arg-type]
            groups=plain.groups,
            bias=plain.bias is not None and not batch_norm,
        )
        self.divisor = divisor
        self.norm = BatchNorm2d(plain.out_channels) if batch_norm else None
        with torch.no_grad():
            self.weight.copy_(plain.weight * divisor)
            if self.bias is not None and plain.bias is not None:
                self.bias.copy_(plain.bias)

    def forward(self, input: Tensor) -> Tensor:
        # The weights are divided, not the many more pixels: the same product.
        weight = self.weight if self.divisor == 1 else self.weight / self.divisor
        output = F.conv2d(input, weight, self.bias, self.stride, self.padding, groups=self.groups)
        return output if self.norm is None else self.norm(output)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain convolution that computes the same in eval mode."""
        weight, bias = _folded(self, self.norm)
        return weight / self.divisor, bias


class FoldableConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with a batch normalisation behind it or without, that folds."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int, padding: int
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, padding=padding)
        self.norm: BatchNorm2d | None = None

    def normalise(self) -> None:
        """Put a batch normalisation behind the layer, in place of its bias."""
        self.norm = BatchNorm2d(self.out_channels)
        self.bias = None

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain layer that computes the same in eval mode."""
        # A convolution's weight counts the output channels first, a transposed one's second.
        twin = nn.Conv2d(self.in_channels, self.out_channels, self.kernel_size)  # type: ignore[arg-type]
        twin.weight, twin.bias = nn.Parameter(self.weight.transpose(0, 1)), self.bias
        weight, bias = _folded(twin, self.norm)
        return weight.transpose(0, 1).contiguous(), bias


def trainable_trunk(
    init: Literal["caffenet", "he"],
    *,
    batch_norm: bool,
    input_divisor: float,
    generator: torch.Generator | None,
) -> CaffeNetTrunk:
    """A trunk in the form that trains.

    Args:
        init: CaffeNet's fillers, or He's normals with biases of 0.
        batch_norm: see `make_trainable`.
        input_divisor: see `make_trainable`.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """
    trunk = build_trunk(generator=generator)
    if init == "he":
        he_weights(trunk, generator)
    make_trainable(trunk, input_divisor=input_divisor, batch_norm=batch_norm)
    return trunk


def make_trainable(trunk: CaffeNetTrunk, *, input_divisor: float, batch_norm: bool) -> None:
    """Replace conv1 to conv5 by foldable ones that start from the same weights.

    Args:
        trunk: changed in place.
        input_divisor: what conv1's input is divided by.
        batch_norm: whether each convolution is batch-normalised before its ReLU; the biases, also
            those of the reference fillers, are then the normalisation's, which start at 0.
    """
    for name in CONVOLUTIONS:
        divisor = input_divisor if name == "conv1" else 1
        layer = FoldableConv2d(getattr(trunk, name), divisor, batch_norm=batch_norm)
        setattr(trunk, name, layer)


def folded_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """State dict of the network with plain layers that computes the same in eval mode."""
    state = dict(network.state_dict())
    for name, layer in network.named_modules():
        if not isinstance(layer, FoldableConv2d | FoldableConvTranspose2d):
            continue
        prefix = f"{name}." if name else ""
        for key in [key for key in state if key.startswith(prefix)]:
            del state[key]
        state[f"{prefix}weight"], state[f"{prefix}bias"] = layer.folded()
    return state


def trunk_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of the trunk within that of a network which holds it as `trunk`."""
    prefix = "trunk."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _folded(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of `layer` and then `norm`, which may be absent, as may be the bias."""
    if norm is not None:
        return fold_batch_norm(layer, norm)
    weight = layer.weight.detach().clone()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().clone()
    return weight, bias
