"""The square that an evaluation on ImageNet makes of an image, as timm and torchvision make it."""

from typing import Literal

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional as TF


def resized_and_cropped(
    image: np.ndarray,
    side: int,
    resized: int,
    interpolation: Literal["bilinear", "bicubic"],
    *,
    squash: bool = False,
) -> np.ndarray:
    """The centre, (side, side, 3), of an image (H, W, 3) uint8 resized by Pillow, with antialias.

    Equal to the evaluation of `timm.data.create_transform` and of torchvision's weights, without
    mean and deviation.

    Args:
        image: RGB.
        side: of the square in pixels.
        resized: shorter side before, rounded down on the other; a `side` above it is padded black.
        interpolation: of the resizing.
        squash: resize to a square of that side, whatever the aspect.
    """
    size = [resized, resized] if squash else [resized]
    kind = TF.InterpolationMode(interpolation)
    smaller = TF.resize(Image.fromarray(image), size, kind)
    return np.array(TF.center_crop(smaller, [side, side]))
