"""`kmeans-init`: no training; filters from patches of the layer below, scaled on images.

Source: Krähenbühl et al., ICLR 2016 (arXiv:1511.06856); a later row of Table 2's kind, 56.6 mAP
in classification and 45.6 in detection there.
"""

import time

import numpy as np

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import preprocess
from cebench.models.data_dependent import balance_gradient_ratios, initialise_from_data
from cebench.randomness import numpy_generator
from cebench.weights.rescaling import whole_images

from .options.initial_weights import SIDE, KmeansInitRecipe
from .run_context import Pretrained, RunContext
from .sources import load_source


def pretrain(recipe: KmeansInitRecipe, run_context: RunContext) -> Pretrained:
    """Draw the trunk from whole images, the only ones that are decoded."""
    generator = numpy_generator(run_context.seed, "kmeans-init")
    source = load_source(
        run_context.data,
        run_context.exclude,
        recipe.voc_image_set,
        recipe.short_side,
        sample=lambda count: generator.permutation(count)[: recipe.steps * recipe.batch_size],
    )
    started = time.monotonic()
    count = len(source.images)
    batches = [
        preprocess(whole_images(source.images, part, SIDE).to(run_context.device))
        for part in np.array_split(np.arange(count), -(-count // recipe.batch_size))
    ]
    trunk = build_trunk().eval().to(run_context.device)
    initialise_from_data(trunk, batches, recipe.filters, recipe.mean_output, run_context.seed)
    if recipe.balance:
        balance_gradient_ratios(trunk, batches[0], run_context.seed)
    return Pretrained(
        trunk={name: value.cpu() for name, value in trunk.state_dict().items()},
        model=None,
        images=count,
        data_fingerprint=source.fingerprint,
        steps=len(batches),
        seconds=time.monotonic() - started,
    )
