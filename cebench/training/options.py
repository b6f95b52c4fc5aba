"""Groups of options that several recipes share: how a step is computed, and SGD's."""

from pydantic import NonNegativeFloat, model_validator

from cebench.config import Options
from cebench.devices import Precision


class PrecisionOptions(Options):
    """In what arithmetic a network is computed."""

    precision: Precision = "fp32"
    """`bf16`: convolutions and matrix products in bfloat16, weights and sums in float32."""


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
    """L2 penalty, added to the gradient."""
