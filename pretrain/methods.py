"""The pretext methods: each one's program, and what dry runs have to know of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import (
    autoencoder,
    context,
    context_gan,
    denoising,
    egomotion,
    imagenet,
    kmeans_init,
    motion,
    random,
    relative_context,
)
from .run_context import DataOptions, Inputs, Pretrained, RunContext
from .sources import inputs_of


@dataclass(frozen=True)
class Method:
    """A pretext method's program; its recipe is that of `options.RECIPES`."""

    pretrain: Callable[[Any, RunContext], Pretrained]
    inputs: Callable[[Any, DataOptions], Inputs] = inputs_of
    """Finds and checks what `pretrain` will read."""
    listed_files: Callable[[DataOptions], Sequence[Path]] = lambda given: ()
    """The files that --data names and does not hold."""
    together: int = 1
    """Images of a batch that one process takes together."""
    images_of_one: int = 1
    """Images of one unit of its `batch_size`, where that is a pair."""
    kept: Literal["weights", "model"] = "weights"
    """What is kept at the steps `weights_at`: the trunk, or the network where it has none."""
    answers: bool = False
    """Whether it measures on what is held out; the others draw it."""
    always_holds_out: bool = False
    """Whether it holds pairs out, which are counted in other units than what is learned from."""


METHODS = {
    "context": Method(context.pretrain),
    "context-gan": Method(context_gan.pretrain, kept="model"),
    "autoencoder": Method(autoencoder.pretrain),
    "denoising-autoencoder": Method(denoising.pretrain),
    "imagenet": Method(imagenet.pretrain, imagenet.inputs, answers=True),
    "relative-context": Method(relative_context.pretrain, answers=True),
    "motion": Method(
        motion.pretrain,
        motion.inputs,
        motion.listed_files,
        together=2,
        answers=True,
        always_holds_out=True,
    ),
    "egomotion": Method(
        egomotion.pretrain,
        egomotion.inputs,
        images_of_one=2,
        answers=True,
        always_holds_out=True,
    ),
    "kmeans-init": Method(kmeans_init.pretrain),
    "random": Method(random.pretrain, random.inputs),
    "random-he": Method(random.pretrain_he, random.inputs),
}
