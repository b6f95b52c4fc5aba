"""Batch normalisation folded into the convolution before it, as it is in eval mode."""

from torch import Tensor, nn


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals `conv` and then `norm` in eval mode.

    Args:
        conv: with or without bias and groups; unchanged.
        norm: of conv's output channels, with running statistics, with or without scale and shift.

    Returns:
        weight (out, in / groups, kh, kw) and bias (out,), of the dtype of conv's weight.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("batch normalisation without running statistics cannot be folded")
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double()
    if norm.affine:
        factor = factor * norm.weight.double()
    bias = shift * factor
    if norm.affine:
        bias = bias + norm.bias.double()
    weight = conv.weight.double() * factor[:, None, None, None]
    return weight.detach().to(conv.weight.dtype), bias.detach().to(conv.weight.dtype)
