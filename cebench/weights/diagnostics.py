"""What a backbone's layers do on images: `cebench weights inspect FILE --on IMAGES`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cebench.data.photos import Photo, find_photos
from cebench.models.diagnostics import LayerActivity, layer_activities
from cebench.weights.files import Preprocessing, Weights
from cebench.weights.loading import filled_backbone

MOST_IMAGES = 200
IMAGES_PER_BATCH = 20


def activities_on(weights: Weights, images: Path) -> list[LayerActivity]:
    """The layers of the backbone in `weights` on up to 200 of `images`, squashed to its side.

    A backbone of which nothing is left alive is shown too, which transfer refuses.

    Args:
        weights: of a backbone.
        images: a folder, or a VOC year folder (its val set); of more than 200 images every n-th.

    Raises:
        InputError: the backbone cannot be loaded, or there are no images.
    """
    backbone, _ = filled_backbone(weights)
    photos = find_photos([images], "val")
    chosen = photos[:: -(-len(photos) // MOST_IMAGES)]
    backbone.trunk.eval()
    return layer_activities(
        backbone, _batches(chosen, backbone.side, weights.sidecar.preprocessing)
    )


def activities_as_text(activities: Sequence[LayerActivity]) -> str:
    """One line a layer."""
    lines = ["  layer  channels    dead  always on  active  effective rank"]
    lines += [
        f"  {layer.layer:<6} {layer.channels:8} {layer.dead_share:7.1%} "
        f"{layer.always_on_share:10.1%} {layer.active_share:7.1%} {layer.effective_rank:15.1f}"
        for layer in activities
    ]
    return "\n".join(lines)


def _batches(photos: Sequence[Photo], side: int, preprocessing: Preprocessing) -> Iterator[Tensor]:
    for start in range(0, len(photos), IMAGES_PER_BATCH):
        squares = [
            np.array(photo.resized(None).resize((side, side), Image.Resampling.BILINEAR))
            for photo in photos[start : start + IMAGES_PER_BATCH]
        ]
        yield preprocessing(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2))
