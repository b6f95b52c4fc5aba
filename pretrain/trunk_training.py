"""The training of a method that makes a trunk: what is measured and kept on the way, the curves."""

import logging
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.models.parameter_groups import sgd_or_adamw
from cebench.plots.sheets import plot_curves
from cebench.training.loop import Program, Schedule, train
from cebench.weights.rescaling import rescaled_trunk

from .health import HealthCheck
from .options.egomotion import EgomotionRecipe
from .options.imagenet import ImagenetRecipe
from .options.motion import MotionRecipe
from .options.shared import TrunkRecipe
from .run_context import Pretrained, RunContext

logger = logging.getLogger("cebench")

IMAGES_TO_RESCALE_ON = 8
"""Half of a batch of the published code: the ratios are means over thousands of units."""


def optimizer_of(
    recipe: EgomotionRecipe | ImagenetRecipe | MotionRecipe, network: nn.Module
) -> Optimizer:
    """What trains `network` as `recipe` says; see `sgd_or_adamw`."""
    return sgd_or_adamw(
        network,
        recipe.optimizer,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
    )


def train_trunk(
    program: Program,
    recipe: TrunkRecipe,
    run_context: RunContext,
    *,
    label: str,
    data_fingerprint: str,
    pretrained: Callable[[int, float], Pretrained],
    images: Callable[[int], Tensor],
    measure: Callable[[int], None] | None,
    data_order: str = "",
    prefetch: int = 0,
    health: HealthCheck | None = None,
) -> Pretrained:
    """Train to the last step; leaves curves.png and the trunks of `weights_at` in the run folder.

    Args:
        program: what trains.
        recipe: its steps, and at which of them something is measured or kept.
        run_context: of the run.
        label: name of the method in messages and above the curves.
        data_fingerprint: hash of what it learns from.
        pretrained: what is kept after a number of steps and of seconds.
        images: so many images learned from, (N, 3, side, side), 0..255, the same in every process:
            what the trunk is rescaled on.
        measure: called with the number of finished steps at `samples_at` and at the end, the
            modules in eval mode; None where nothing is held out.
        data_order: hash of its order, see `Schedule`.
        prefetch: threads that make batches ahead.
        health: looks at the newest losses at its own steps.

    Returns:
        What is kept after the last step.
    """
    measured = {*recipe.samples_at, recipe.steps} if measure else set()

    def kept(step: int, seconds: float) -> Pretrained:
        made = pretrained(step, seconds)
        if recipe.rescale and made.trunk is not None:
            return _rescaled(made, images(IMAGES_TO_RESCALE_ON), run_context.seed)
        return made

    def at_step(step: int, seconds: float) -> None:
        if measure and step in measured:
            measure(step)
        if step in recipe.weights_at:
            run_context.keep(kept(step, seconds))
        if health:
            health.check(step)

    seconds = train(
        program,
        run_context.run,
        Schedule.of(
            recipe,
            label=label,
            seed=run_context.seed,
            data_fingerprint=data_fingerprint,
            data_order=data_order,
            prefetch=prefetch,
            samples_at={*measured, *recipe.weights_at, *(health.steps if health else ())},
        ),
        save_samples=at_step,
    )
    plot_curves(run_context.run.metrics(), run_context.run.path / "curves.png", title=label)
    return kept(recipe.steps, seconds)


def _rescaled(made: Pretrained, images: Tensor, seed: int) -> Pretrained:
    """`made` with its trunk rescaled; as it is, with a warning, where a layer is dead."""
    assert made.trunk is not None
    trunk = rescaled_trunk(made.trunk, made.trunk_architecture, images, seed)
    if trunk is None:
        logger.warning("the trunk is not rescaled: a layer has no gradient, it may be dead")
        return made
    return replace(made, trunk=trunk)
