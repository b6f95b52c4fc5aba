"""How much arithmetic a pretraining is, for its dry run."""

from typing import Any

from cebench.training.estimates import Work

from .run_context import Inputs

GFLOP_PER_IMAGE = {
    "context": (6.0, 227),
    "autoencoder": (6.0, 227),
    "denoising-autoencoder": (6.0, 227),
    "context-gan": (3.7, 128),
    "imagenet": (4.9, 227),
    "motion": (9.8, 227),
    "egomotion": (10.1, 227),
    "relative-context": (97.6, 96),
    "kmeans-init": (1.5, 227),
}
"""Method -> (billions of operations of one image in one training step, at which side in pixels),
counted by torch.utils.flop_counter in the paper recipes. An image of relative-context is nine
patches, of motion and egomotion a pair."""
BYTES_PER_PIXEL = 400
"""Of a batch, for the values that the backward pass needs: 300 to 450 were measured."""
PARAMETER_BYTES = 60e6 * 16
"""At most: weights, gradients and two moments of AlexNet's size."""


def work_of(method: str, recipe: Any, inputs: Inputs) -> Work:
    """The work of `method`, whose arithmetic grows with the area of its crops."""
    if method not in GFLOP_PER_IMAGE:
        return Work()
    gflop, reference = GFLOP_PER_IMAGE[method]
    side = getattr(recipe, "side", getattr(recipe, "patch_side", reference))
    return Work(
        gflop=recipe.steps * recipe.batch_size * gflop * (side / reference) ** 2,
        photographs=inputs.count if inputs.decoded_bytes else 0,
        images_bytes=inputs.decoded_bytes,
        network_bytes=PARAMETER_BYTES + recipe.batch_size * side**2 * BYTES_PER_PIXEL,
    )
