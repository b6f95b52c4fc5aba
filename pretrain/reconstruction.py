"""Learning by reconstruction: what the context encoder and the autoencoders have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.hole_masks import Holes
from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, process_count
from cebench.models.caffenet import preprocess
from cebench.models.context_encoder import IMAGE_SIDE, ContextEncoder
from cebench.plots.sheets import plot_curves
from cebench.randomness import torch_seed
from cebench.training.loop import Schedule, train

from .crops import Crops, batch_holes, byte_scale, sample_holes, save_samples, unit_scale
from .run_context import Pretrained, PretrainingRecipe, RunContext
from .sources import load_source

Counted = Literal["missing", "all"]
"""Which pixels the loss counts."""


class ReconstructionRecipe(PretrainingRecipe):
    """How a reconstruction method trains, by Adam (protocol ledger: feature learning)."""

    loss: Literal["l2", "l1"] = "l2"
    """The paper says L2; the author later said that the AlexNet model used L1."""
    short_side: int = Field(default=256, ge=IMAGE_SIDE)
    """Pixels of the shorter image side before a random 227 px crop."""
    pooling: Literal["max", "none"] = "max"
    """`none`: strided convolutions instead (section 4); such an encoder does not transfer."""
    mixing_kernel: Literal[1, 3] = 1
    """Kernel of the stride-1 convolution behind the channel-wise layer; not stated."""
    up_kernel: Literal[3, 5] = 5
    """Kernel of the up-convolutions; not stated."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of Adam's first moment; not stated."""
    encoder_init: Literal["he", "caffenet"] = "he"
    """Initial weights of the encoder; not stated. CaffeNet's fillers lose most units to Adam."""


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, 227, 227) uint8, and holes (N, 1, 227, 227) bool or None."""

    images: Tensor
    holes: Tensor | None


class Reconstruction:
    """Trains a ContextEncoder to restore images; `holes` says which pixels are taken away."""

    def __init__(
        self, crops: Crops, holes: Holes | None, counted: Counted, recipe: ReconstructionRecipe
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(crops.seed, "context-encoder"))
        network = ContextEncoder(
            recipe.mixing_kernel,
            recipe.encoder_init,
            generator,
            up_kernel=recipe.up_kernel,
            pooling=recipe.pooling,
        )
        self.network = network.to(crops.device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.adam = torch.optim.Adam(
            self.network.parameters(),
            lr=recipe.learning_rate,
            betas=(recipe.adam_beta1, 0.999),
            fused=True,
        )
        self.optimizers: dict[str, Optimizer] = {"adam": self.adam}
        self.crops, self.holes, self.count = crops, holes, recipe.batch_size
        self.criterion = ReconstructionLoss(recipe.loss, counted)
        self.precision = recipe.precision
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> Batch:
        """Random 227 px crops, mirrored half of the time, and their holes."""
        images = self.crops.batch(step, self.count)
        if self.holes is None:
            return Batch(images, None)
        seed, device = self.crops.seed, self.crops.device
        return Batch(images, batch_holes(self.holes, seed, step, self.count, device))

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One Adam step on the reconstruction loss."""
        loss = self.loss(batch.images, batch.holes)
        backward_and_step(loss, self.network, self.adam)
        return {"loss": all_reduce_sum(loss).clone()}

    def _loss(self, images: Tensor, holes: Tensor | None) -> Tensor:
        context = visible_context(images, holes)
        with autocast(images.device, self.precision):
            prediction = self.network(context)
        loss: Tensor = self.criterion(prediction.float(), images, holes)
        return loss


class ReconstructionLoss(nn.Module):
    """Equation 1 of the paper, normalised: the mean error over the pixels that count.

    Args:
        kind: `l2` or `l1`, of pixels on the scale [-1, 1].
        counted: the `missing` pixels, as in the paper, or `all`.
    """

    def __init__(self, kind: Literal["l2", "l1"], counted: Counted) -> None:
        super().__init__()
        self.kind, self.counted = kind, counted

    def forward(self, prediction: Tensor, images: Tensor, holes: Tensor | None) -> Tensor:
        """This process's share of the whole batch's mean.

        Args:
            prediction: (N, 3, H, W), on the scale [-1, 1].
            images: (N, 3, H, W), 0..255.
            holes: (N, 1, H, W) bool, True = missing.
        """
        error = prediction - unit_scale(images)
        error = error.square() if self.kind == "l2" else error.abs()
        if self.counted == "all" or holes is None:
            return error.sum() / (error.numel() * process_count())
        return (error * holes).sum() / (3 * all_reduce_sum(holes.sum()))


def visible_context(images: Tensor, holes: Tensor | None) -> Tensor:
    """The network's input: mean-subtracted pixels, 0 (the mean) where they are missing."""
    context = preprocess(images).contiguous(memory_format=torch.channels_last)
    return context if holes is None else context.masked_fill_(holes, 0)


def pretrain_by_reconstruction(
    recipe: ReconstructionRecipe,
    run_context: RunContext,
    label: str,
    holes: Holes | None,
    counted: Counted,
) -> Pretrained:
    """Load the images, train, and leave samples/ and curves.png in the run directory."""
    source = load_source(
        run_context.data, run_context.exclude, recipe.voc_image_set, recipe.short_side
    )
    crops = Crops(
        source.images, IMAGE_SIDE, recipe.held_out_images, run_context.seed, run_context.device
    )
    program = Reconstruction(crops, holes, counted, recipe)
    seconds = train(
        program,
        run_context.run,
        Schedule.of(
            recipe,
            label=label,
            seed=run_context.seed,
            data_fingerprint=source.fingerprint,
            prefetch=crops.prefetch,
            samples_at={*recipe.samples_at, recipe.steps} if len(crops.held_out) else (),
        ),
        save_samples=lambda step: _save_samples(program, step, run_context),
    )
    plot_curves(run_context.run.metrics(), run_context.run.path / "curves.png", title=label)
    return Pretrained(
        trunk=program.network.encoder.state_dict() if recipe.pooling == "max" else None,
        model=program.network.state_dict(),
        architecture="context-encoder",
        images=len(crops.training),
        data_fingerprint=source.fingerprint,
        steps=recipe.steps,
        seconds=seconds,
    )


@torch.no_grad()
def _save_samples(program: Reconstruction, step: int, run_context: RunContext) -> None:
    """Context, prediction, composite and truth of the held-out images, one row each."""
    truth = program.crops.samples()
    holes = None
    if program.holes is not None:
        holes = sample_holes(program.holes, run_context.seed, len(truth), run_context.device)
    prediction = byte_scale(program.network(visible_context(truth, holes)))
    columns = {
        "context": truth if holes is None else truth.masked_fill(holes, 127),
        "prediction": prediction,
        "composite": prediction if holes is None else torch.where(holes, prediction, truth),
        "truth": truth,
    }
    save_samples(run_context.run.path, step, columns)
