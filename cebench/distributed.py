"""One training in one process or in several under torchrun: who computes what of a batch.

The batch of a step is the same for every number of processes. Each computes its own rows and
divides by what the whole batch holds; gradients are then summed, so that all processes take the
step that one process would have taken.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.errors import InputError


def process_count() -> int:
    """How many processes train together; 1 outside `processes`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this process is the one that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the other processes that torchrun started; nothing to do without torchrun.

    device: where this process computes. Numbers on a GPU travel by NCCL, on the CPU by gloo.
    """
    if not _under_torchrun():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        dist.barrier()  # A process that leaves early can bring down one that still listens to it.
    finally:
        dist.destroy_process_group()


def check_single_process(verb: str) -> None:
    """InputError under torchrun: `verb` runs in one process."""
    if _under_torchrun():
        raise InputError(f"{verb} runs in one process; start it without torchrun, one per device")


def _under_torchrun() -> bool:
    """Whether torchrun started more processes than this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def check_processes(batch_size: int, together: int) -> None:
    """InputError unless the processes that torchrun started share a batch evenly.

    together: images of a batch that stay in one process.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % (count * together):
        pairs = " in pairs" if together == 2 else ""
        raise InputError(
            f"batch_size={batch_size} does not divide among {count} processes{pairs}; "
            f"choose a multiple of {count * together}"
        )


def local_slice(count: int) -> slice:
    """This rank's slice of a batch of `count`; InputError unless ranks share it evenly."""
    share, rest = divmod(count, process_count())
    if rest:
        raise InputError(
            f"batch_size={count} does not divide among {process_count()} processes; "
            "choose a multiple"
        )
    first = share * dist.get_rank() if dist.is_initialized() else 0
    return slice(first, first + share)


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum of a value over the processes, without gradient."""
    value = value.detach()
    if process_count() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


def any_rank(condition: bool) -> bool:
    """Whether `condition` holds in any process, which all learn at the same step."""
    return bool(all_reduce_sum(torch.tensor(int(condition))))


def barrier() -> None:
    """Return when every process has come here."""
    any_rank(False)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes, in one message."""
    if process_count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    message = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(message)
    parts = message.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def backward_and_step(loss: Tensor, network: nn.Module, optimizer: Optimizer) -> None:
    """One step of `optimizer` along the whole batch's gradient; `loss` is this process's share."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    sum_gradients(network.parameters())
    optimizer.step()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        return all_reduce_sum(value)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return all_reduce_sum(gradient)


def all_reduce_sum_with_grad(value: Tensor) -> Tensor:
    """The sum of a value over the processes, through which gradients flow back to all of them."""
    summed: Tensor = _Sum.apply(value)
    return summed
