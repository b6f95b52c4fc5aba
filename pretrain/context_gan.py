"""`context-gan`: the inpainting model of Table 1, an encoder-decoder against a discriminator.

Order and weights of the updates follow pathak22/context-encoder, train.lua and train_random.lua.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cebench.data.hole_masks import Holes
from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, process_count
from cebench.models.inpainting_gan import (
    FILL,
    Discriminator,
    InpaintingGenerator,
    central_square,
    predicted_side,
)
from cebench.models.parameter_groups import scale_rates
from cebench.plots.sheets import plot_curves
from cebench.randomness import torch_seed
from cebench.training.checkpoints import DataHashes
from cebench.training.loop import Schedule, train
from cebench.weights.files import Preprocessing

from .crops import Crops, HoleBatches, byte_scale, sample_holes, save_samples, unit_scale
from .health import ADVERSARIAL, DISCRIMINATOR, HealthCheck, adversary_symptoms
from .holes import holes_of
from .options.context_gan import ContextGanRecipe
from .run_context import Pretrained, RunContext
from .sources import load_source
from .weight_average import WeightAverage

OBJECTIVES = {"joint": (0.999, 0.001), "l2": (1.0, 0.0), "adversarial": (0.0, 1.0)}
"""Objective -> weights of reconstruction and of the adversary (section 5.1)."""


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, side, side) uint8 and holes (N, 1, side, side) bool, True = missing."""

    images: Tensor
    holes: Tensor


class ContextGan:
    """Trains a generator to fill holes, and a discriminator where the objective has an adversary.

    One process computes its rows of the batch; its losses are its share of the whole batch's.
    """

    def __init__(self, crops: Crops, holes: Holes, recipe: ContextGanRecipe) -> None:
        source = torch.Generator().manual_seed(torch_seed(crops.seed, "context-gan"))
        adam = partial(Adam, betas=(0.5, 0.999), fused=True)
        rate = recipe.learning_rate
        generator = InpaintingGenerator(recipe.side, recipe.region, recipe.bottleneck, source)
        self.generator = generator.to(crops.device)
        self.adam = adam(generator.parameters(), lr=rate * recipe.generator_rate_factor)
        self.modules: dict[str, nn.Module] = {"generator": self.generator}
        self.optimizers: dict[str, Optimizer] = {"generator": self.adam}
        self.average = None
        if recipe.average_decay:
            self.average = WeightAverage(self.generator, recipe.average_decay)
            self.modules["average"] = self.average
        self.predicted_side = predicted_side(recipe.side, recipe.region)
        self.weights = OBJECTIVES[recipe.objective]
        if recipe.objective != "l2":
            self.discriminator = Discriminator(self.predicted_side, source).to(crops.device)
            self.adversary = adam(self.discriminator.parameters(), lr=rate)
            self.modules["discriminator"] = self.discriminator
            self.optimizers["discriminator"] = self.adversary
        self.crops, self.holes, self.count = crops, holes, recipe.batch_size
        self.hole_batches = HoleBatches(holes, crops.seed, self.count, crops.device)
        self.recipe = recipe
        self.visible_weight, self.precision = recipe.visible_weight, recipe.precision
        self.cuda_graphs = recipe.cuda_graphs and crops.device.type == "cuda"
        translate = partial(compiled, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)
        self.predict = translate(self._predict)
        self.discriminator_loss = translate(self._discriminator_loss)
        self.generator_losses = translate(self._generator_losses)

    def batch(self, step: int) -> Batch:
        """Random crops, mirrored half of the time, and their holes."""
        return Batch(self.crops.batch(step, self.count), self.hole_batches.batch(step))

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One step of the discriminator, then one of the generator against the new one.

        The released code reuses in the second the discriminator's activations of before its step;
        recomputing them is the usual form of the same.
        """
        if self.cuda_graphs:  # All graphs of a step share its memory.
            torch.compiler.cudagraph_mark_step_begin()
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        for optimizer in self.optimizers.values():
            scale_rates(optimizer, factor)
        prediction = self.predict(batch.images, batch.holes)
        losses = {}
        if "discriminator" in self.modules:
            losses[DISCRIMINATOR] = self.discriminator_loss(prediction.detach(), batch.images)
            backward_and_step(losses[DISCRIMINATOR], self.discriminator, self.adversary)
            self.discriminator.requires_grad_(False)
        losses |= self.generator_losses(prediction, batch.images, batch.holes)
        backward_and_step(losses["loss"], self.generator, self.adam)
        if self.average is not None:
            self.average.follow(self.generator, step)
        if "discriminator" in self.modules:
            self.discriminator.requires_grad_(True)
        return {name: all_reduce_sum(loss).clone() for name, loss in losses.items()}

    @property
    def written(self) -> nn.Module:
        """The generator that is kept: the average where there is one."""
        return self.generator if self.average is None else self.average.network

    def _predict(self, images: Tensor, holes: Tensor) -> Tensor:
        """The generator's regions, (N, 3, P, P) float32 on [-1, 1]."""
        return self.predict_with(self.generator, images, holes)

    def predict_with(self, generator: nn.Module, images: Tensor, holes: Tensor) -> Tensor:
        """The regions that `generator` predicts, (N, 3, P, P) float32 on [-1, 1]."""
        with autocast(images.device, self.precision):
            prediction: Tensor = generator(visible_context(images, holes))
        return prediction.float()

    def _discriminator_loss(self, prediction: Tensor, images: Tensor) -> Tensor:
        """Cross-entropy of real regions as real plus that of predicted ones as predicted.

        Each kind has its own forward pass and with it its own batch statistics.
        """
        real = self._logits(self._region(unit_scale(images)))
        fake = self._logits(prediction)
        loss = minus_log_sigmoid(real).mean() + minus_log_sigmoid(-fake).mean()
        return loss / process_count()

    def _generator_losses(
        self, prediction: Tensor, images: Tensor, holes: Tensor
    ) -> dict[str, Tensor]:
        """The weighted loss, and for the log its parts: the unweighted mean squared error and the
        cross-entropy of predicted regions as real.
        """
        error = (prediction - self._region(unit_scale(images))).square()
        weighted = error * torch.where(self._region(holes), 1.0, self.visible_weight)
        losses = {"loss": self.weights[0] * weighted.mean(), "reconstruction": error.mean()}
        if "discriminator" in self.modules:
            losses[ADVERSARIAL] = minus_log_sigmoid(self._logits(prediction)).mean()
            losses["loss"] = losses["loss"] + self.weights[1] * losses[ADVERSARIAL]
        return {name: loss / process_count() for name, loss in losses.items()}

    def _logits(self, regions: Tensor) -> Tensor:
        with autocast(regions.device, self.precision):
            logits: Tensor = self.discriminator(regions)
        return logits.float()

    def _region(self, images: Tensor) -> Tensor:
        """What is predicted of (N, C, side, side)."""
        return central_square(images, self.predicted_side)


def visible_context(images: Tensor, holes: Tensor) -> Tensor:
    """The generator's input: images 0..255 on [-1, 1], FILL where `holes` (N, 1, H, W) is True."""
    fill = torch.tensor(FILL, device=images.device)[:, None, None]
    return torch.where(holes, fill, unit_scale(images))


def minus_log_sigmoid(logits: Tensor) -> Tensor:
    """-log D of regions that D gives these logits; -log(1 - D) with the sign of logits changed."""
    return F.softplus(-logits)


def pretrain(recipe: ContextGanRecipe, run_context: RunContext) -> Pretrained:
    """Load the images, train, and leave samples/ and curves.png in the run directory."""
    holes = holes_of(
        recipe.mask, recipe.side, recipe.hole_side, recipe.region_image_set, run_context
    )
    source = load_source(
        run_context.data,
        run_context.exclude,
        recipe.voc_image_set,
        recipe.short_side,
        recipe.more_short_sides,
    )
    crops = Crops(
        source.images,
        recipe.side,
        recipe.held_out_images,
        run_context.seed,
        run_context.device,
        sizes=1 + len(recipe.more_short_sides),
    )
    program = ContextGan(crops, holes, recipe)
    seconds = _train(program, run_context, DataHashes(source.fingerprint, source.order))
    plot_curves(run_context.run.metrics(), run_context.run.path / "curves.png", title="context-gan")
    return _pretrained(program, source.fingerprint, recipe.steps, seconds)


def _train(program: ContextGan, run_context: RunContext, data: DataHashes) -> float:
    """Train to the last step, drawing and keeping on the way; returns the seconds of training."""
    recipe = program.recipe
    drawn = {*recipe.samples_at, recipe.steps} if len(program.crops.held_out) else set()
    health = HealthCheck(run_context.run, "context-gan", recipe.steps, adversary_symptoms)

    def at_step(step: int, seconds: float) -> None:
        if step in drawn:
            _save_samples(program, step, run_context)
        if step in recipe.weights_at:
            run_context.keep(_pretrained(program, data.fingerprint, step, seconds))
        health.check(step)

    return train(
        program,
        run_context.run,
        Schedule.of(
            recipe,
            label="context-gan",
            seed=run_context.seed,
            data_fingerprint=data.fingerprint,
            data_order=data.order,
            prefetch=program.crops.prefetch,
            samples_at={*drawn, *recipe.weights_at, *health.steps},
        ),
        save_samples=at_step,
    )


def _pretrained(
    program: ContextGan, data_fingerprint: str, steps: int, seconds: float
) -> Pretrained:
    side = program.recipe.side
    return Pretrained(
        trunk=None,
        model=program.written.state_dict(),
        architecture="inpainting-generator",
        preprocessing=Preprocessing(range=(-1.0, 1.0), mean_rgb=(0.0, 0.0, 0.0), side=side),
        images=len(program.crops.training),
        data_fingerprint=data_fingerprint,
        steps=steps,
        seconds=seconds,
    )


@torch.no_grad()
def _save_samples(program: ContextGan, step: int, run_context: RunContext) -> None:
    """Context, prediction, composite and truth of the held-out images, one row each.

    The prediction is shown in its place, visible pixels that it covers included; the composite
    takes missing pixels only.
    """
    truth = program.crops.samples()
    holes = sample_holes(program.holes, run_context.seed, len(truth), run_context.device)
    context = visible_context(truth, holes)
    prediction = program.predict_with(program.written, truth, holes)
    pasted = context.clone()
    central_square(pasted, prediction.shape[-1]).copy_(prediction)
    pasted = byte_scale(pasted)
    columns = {
        "context": byte_scale(context),
        "prediction": pasted,
        "composite": torch.where(holes, pasted, truth),
        "truth": truth,
    }
    save_samples(run_context.run.path, step, columns, program.recipe.tier)
