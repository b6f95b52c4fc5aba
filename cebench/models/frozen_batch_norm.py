"""Batch normalisation that keeps the statistics that the weights came with."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze_statistics(network: nn.Module) -> None:
    """Put every batch normalisation into evaluation mode; call it after each `train()`."""
    for module in _batch_norms(network):
        module.eval()


def freeze_scales(network: nn.Module) -> None:
    """Train no scale and no shift of a batch normalisation."""
    for module in _batch_norms(network):
        module.requires_grad_(False)


def _batch_norms(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))
