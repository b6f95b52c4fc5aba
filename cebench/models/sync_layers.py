"""Layers whose result on one process's rows is that of the whole batch (`cebench.distributed`)."""

import torch
from torch import Tensor, nn

from cebench.distributed import (
    all_reduce_sum,
    all_reduce_sum_with_grad,
    local_slice,
    process_count,
)


class Dropout(nn.Dropout):
    """Dropout whose pattern belongs to the step, whatever the number of processes.

    Every process draws the pattern of the whole batch from torch's generator, which the loop seeds
    alike everywhere, and takes its rows.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        count = len(input) * process_count()
        kept = input.new_empty((count, *input.shape[1:])).bernoulli_(1 - self.p)
        return input * kept[local_slice(count)] / (1 - self.p)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the rows of all processes, be they equally many
    or not.
    """

    alone: bool = False
    """Whether the rows of this process are the whole batch, of which no other knows."""

    def forward(self, input: Tensor) -> Tensor:
        if self.alone or not self.training or process_count() == 1:
            return super().forward(input)
        dimensions = (0, 2, 3)
        own_count = input.numel() // input.shape[1]
        count = all_reduce_sum(torch.tensor(own_count, device=input.device))
        # bfloat16 has too few bits for sums.
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = all_reduce_sum_with_grad(values.sum(dimensions)) / count
        centred = values - mean[:, None, None]
        variance = all_reduce_sum_with_grad(centred.square().sum(dimensions)) / count
        self._follow(mean, variance * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normalised = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of this batch."""
        momentum = self.momentum or 0.0
        for running, current in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(current, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
