"""Learning by reconstruction: what the context encoder and the autoencoders have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.hole_masks import Holes
from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, process_count
from cebench.models.caffenet import preprocess
from cebench.models.context_encoder import AreaResize, ContextEncoder, visible_mean_colour
from cebench.models.foldable import folded_state_dict
from cebench.models.parameter_groups import scale_rates
from cebench.randomness import torch_seed
from cebench.weights.files import Preprocessing

from .crops import Crops, HoleBatches, byte_scale, sample_holes, save_samples, unit_scale
from .health import BASELINE, POOL5_ACTIVE, HealthCheck, reconstruction_symptoms
from .options.reconstruction import ReconstructionRecipe
from .run_context import Pretrained, RunContext
from .sources import Source, load_source
from .trunk_training import train_trunk

Counted = Literal["missing", "all"]
"""Which pixels the loss counts."""


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, side, side) uint8, and holes (N, 1, side, side) bool or None."""

    images: Tensor
    holes: Tensor | None


class Reconstruction:
    """Trains a ContextEncoder to restore images; `holes` says which pixels are taken away."""

    def __init__(
        self, crops: Crops, holes: Holes | None, counted: Counted, recipe: ReconstructionRecipe
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(crops.seed, "context-encoder"))
        network = network_of(recipe, generator)
        self.network = network.to(crops.device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.adam = torch.optim.AdamW(
            adam_groups(
                self.network, recipe.learning_rate, recipe.encoder_rate, recipe.weight_decay
            ),
            betas=(recipe.adam_beta1, 0.999),
            fused=True,
        )
        self.optimizers: dict[str, Optimizer] = {"adam": self.adam}
        self.crops, self.holes, self.recipe = crops, holes, recipe
        self.hole_batches = None
        if holes is not None:
            self.hole_batches = HoleBatches(holes, crops.seed, recipe.batch_size, crops.device)
        predicted = network.geometry.predicted_side
        resize = None if predicted == recipe.side else AreaResize(recipe.side, predicted)
        self.criterion = ReconstructionLoss(recipe.loss, counted, resize).to(crops.device)
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> Batch:
        """Random crops, mirrored half of the time, and their holes."""
        images = self.crops.batch(step, self.recipe.batch_size)
        return Batch(images, None if self.hole_batches is None else self.hole_batches.batch(step))

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One Adam step on the reconstruction loss.

        Also returned are the loss as a multiple of what the mean colour of the visible pixels
        would have, and the share of positive values in pool5: 1 and 0 are a network that has
        learned nothing and one that is dead.
        """
        loss, baseline, active = self.loss(batch.images, batch.holes)
        scale_rates(self.adam, self.recipe.rate_factor(step, self.recipe.steps))
        backward_and_step(loss, self.network, self.adam)
        total = all_reduce_sum(loss)
        return {
            "loss": total.clone(),
            BASELINE: total / all_reduce_sum(baseline).clamp(min=1e-12),
            POOL5_ACTIVE: all_reduce_sum(active / process_count()).clone(),
        }

    def _loss(self, images: Tensor, holes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, that of the mean colour, and the share of positive values in pool5."""
        context = visible_context(images, holes)
        base = visible_mean_colour(context, holes)
        with autocast(images.device, self.recipe.precision):
            features = self.network.encode(context)
            prediction = self.network.predict(features, base)
        loss, baseline = self.criterion(prediction.float(), images, holes, base)
        return loss, baseline, (features.detach() > 0).float().mean()


def network_of(
    recipe: ReconstructionRecipe, generator: torch.Generator | None = None
) -> ContextEncoder:
    """The network that `recipe` trains; see `ContextEncoder`."""
    return ContextEncoder(
        recipe.mixing_kernel,
        recipe.encoder_init,
        generator,
        up_kernel=recipe.up_kernel,
        pooling=recipe.pooling,
        side=recipe.side,
        residual=recipe.residual,
        batch_norm=recipe.batch_norm,
        input_divisor=recipe.input_divisor,
    )


def adam_groups(
    network: ContextEncoder, rate: float, encoder_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    """Parameter groups: encoder and decoder with their rates, only their weights decaying."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        kind = (name.startswith("encoder."), name.endswith("weight") and parameter.dim() > 1)
        groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * (encoder_rate if in_encoder else 1),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_encoder, decays), parameters in groups.items()
    ]


class ReconstructionLoss(nn.Module):
    """Equation 1 of the paper, normalised: the mean error over the pixels that count.

    Every missing pixel of the batch counts alike, as in the equation's sum: an image with a larger
    hole weighs more.

    Args:
        kind: `l2` or `l1`, of pixels on the scale [-1, 1].
        counted: the `missing` pixels, as in the paper, or `all`.
        resize: averages images to the side of the predictions, if that is another one; a target
            pixel then counts by the share of it that is missing.
    """

    def __init__(
        self,
        kind: Literal["l2", "l1"],
        counted: Counted,
        resize: AreaResize | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.counted, self.resize = kind, counted, resize

    def forward(
        self, prediction: Tensor, images: Tensor, holes: Tensor | None, base: Tensor
    ) -> tuple[Tensor, Tensor]:
        """This process's shares of the whole batch's mean errors: of the prediction, of `base`.

        Args:
            prediction: (N, 3, P, P), on the scale [-1, 1].
            images: (N, 3, H, W), 0..255.
            holes: (N, 1, H, W) bool, True = missing.
            base: (N, 3, 1, 1), a colour for each whole image, on the scale [-1, 1].
        """
        target = unit_scale(images if self.resize is None else self.resize(images))
        error = self._error(prediction, target)
        with torch.no_grad():
            base_error = self._error(base, target)
        if self.counted == "all" or holes is None:
            values = error.numel() * process_count()
            return error.sum() / values, base_error.sum() / values
        missing = holes if self.resize is None else self.resize(holes)
        count = 3 * all_reduce_sum(missing.sum())
        return (error * missing).sum() / count, (base_error * missing).sum() / count

    def _error(self, prediction: Tensor, target: Tensor) -> Tensor:
        error = prediction - target
        return error.square() if self.kind == "l2" else error.abs()


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
        source.images, recipe.side, recipe.held_out_images, run_context.seed, run_context.device
    )
    program = Reconstruction(crops, holes, counted, recipe)
    return train_trunk(
        program,
        recipe,
        run_context,
        label=label,
        data_fingerprint=source.fingerprint,
        data_order=source.order,
        pretrained=partial(_pretrained, program, source),
        images=crops.first,
        measure=partial(_save_samples, program, run_context) if len(crops.held_out) else None,
        prefetch=crops.prefetch,
        health=HealthCheck(run_context.run, label, recipe.steps, reconstruction_symptoms),
    )


def _pretrained(program: Reconstruction, source: Source, steps: int, seconds: float) -> Pretrained:
    model = folded_state_dict(program.network)
    trunk = {
        name.removeprefix("encoder."): tensor
        for name, tensor in model.items()
        if name.startswith("encoder.")
    }
    return Pretrained(
        trunk=trunk if program.recipe.pooling == "max" else None,
        model=model,
        architecture="context-encoder",
        preprocessing=Preprocessing(side=program.recipe.side),
        images=len(program.crops.training),
        data_fingerprint=source.fingerprint,
        steps=steps,
        seconds=seconds,
    )


@torch.no_grad()
def _save_samples(program: Reconstruction, run_context: RunContext, step: int) -> None:
    """Context, prediction, composite and truth of the held-out images, one row each."""
    truth = program.crops.samples()
    holes = None
    if program.holes is not None:
        holes = sample_holes(program.holes, run_context.seed, len(truth), run_context.device)
    prediction = byte_scale(program.network(visible_context(truth, holes), holes))
    columns = {
        "context": truth if holes is None else truth.masked_fill(holes, 127),
        "prediction": prediction,
        "composite": prediction if holes is None else torch.where(holes, prediction, truth),
        "truth": truth,
    }
    save_samples(run_context.run.path, step, columns, program.recipe.tier)
