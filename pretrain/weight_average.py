"""An exponential average of a network's weights over its steps."""

import copy

import torch
from torch import nn


class WeightAverage(nn.Module):
    """A copy of a network that follows it: average += (1 - decay) * (network - average).

    Parameters and the statistics of normalisations are averaged. The first steps have a shorter
    memory, decay at most (1 + step) / (10 + step), so that the initial weights do not linger.

    Args:
        network: what is followed.
        decay: share of the average that a step keeps, below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network, self.decay = copy.deepcopy(network).requires_grad_(False), decay

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Move towards `network` as it is after `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        theirs = network.state_dict()
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], 1 - decay)
            else:
                tensor.copy_(theirs[name])
