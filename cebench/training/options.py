"""Groups of options that several recipes share: how a step is computed, and SGD's."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from cebench.config import Options, Precision


class PrecisionOptions(Options):
    """In what arithmetic a network is computed."""

    precision: Precision = "fp32"
    """`bf16`: convolutions and matrix products in bfloat16, weights and sums in float32; `fp32`:
    float32, but on a GPU cuDNN's convolutions round their inputs to TF32, PyTorch's default."""


class ComputingOptions(PrecisionOptions):
    """How a training step is computed."""

    compile: bool = False
    """Whether torch.compile translates the network, once for every size of image; a minute each."""
    cuda_graphs: bool = False
    """Whether a compiled step is replayed as one CUDA graph: for small batches on a GPU."""

    @model_validator(mode="after")
    def _graphs_are_compiled(self) -> "ComputingOptions":
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs=true needs compile=true")
        return self


class SgdOptions(Options):
    """Stochastic gradient descent with momentum, as Caffe has it."""

    momentum: NonNegativeFloat = 0.9
    """Share of the last update that is repeated."""
    weight_decay: NonNegativeFloat = 5e-4
    """L2 penalty that SGD adds to the gradient; AdamW takes this share, times the rate, off each
    weight."""


class RateSchedule(Options):
    """How the learning rate rises and falls: from 0 to 1 times itself, constant, then linear."""

    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly to its value."""
    decay_from: float = Field(default=1, gt=0, le=1)
    """Share of the steps after which the learning rate falls linearly; 1: it never does."""
    final_rate: float = Field(default=0.02, ge=0, le=1)
    """What it falls to behind the last step, as a share of its value."""

    def rate_factor(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied by in `step` (from 0) of `steps`."""
        rising = (step + 1) / self.warmup_steps if step < self.warmup_steps else 1.0
        start = self.decay_from * steps
        if step <= start or start >= steps:
            return rising
        fallen = (step - start) / (steps - start)
        return rising * (1 - fallen * (1 - self.final_rate))


def rate_after_drops(step: int, every: int | None, share: float) -> float:
    """What a learning rate is multiplied by that falls to `share` of itself after `every` steps.

    Args:
        step: from 0.
        every: steps from one fall to the next; None or 0: it never falls.
        share: 0.1 for a tenth.
    """
    return share ** (step // every) if every else 1.0


class FineTuningOptions(SgdOptions, RateSchedule):
    """By what a network with weights is fine-tuned; the defaults are SGD alone, as published."""

    optimizer: Literal["sgd", "adamw", "by-network"] = "sgd"
    """`sgd`: with the options above; `adamw`: Adam (0.9, 0.999) with decoupled weight decay;
    `by-network`: `adamw` for a network with layer or RMS normalisation (ViT, Swin, ConvNeXt),
    else `sgd`."""
    adamw_learning_rate: PositiveFloat = 1e-4
    """Learning rate of AdamW at the first step, of the head and the last layers."""
    adamw_weight_decay: NonNegativeFloat = 0.05
    """Decoupled weight decay of AdamW; biases, scales and embeddings have none."""
    layer_decay: float = Field(default=1, gt=0, le=1)
    """AdamW's learning rate of each layer as a share of that of the layer above it."""
