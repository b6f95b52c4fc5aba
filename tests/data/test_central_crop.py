"""The crops of timm's and torchvision's own evaluation, pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from cebench.data.central_crop import resized_and_cropped
from cebench.models.backbone import LibraryCrop, Pixels
from cebench.models.backbones import build_backbone
from cebench.weights.files import Preprocessing

SIZES = [(375, 500), (500, 333), (60, 90), (224, 224), (641, 227)]


def images() -> list[np.ndarray]:
    """Noise at several scales, so that interpolation and place of the crop both show."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in SIZES]
    smooth = [np.asarray(im.resize((w, h))) for im, (h, w) in zip(coarse, SIZES, strict=True)]
    return [im // 2 + rng.integers(0, 128, im.shape, dtype=np.uint8) for im in smooth]


def seen(image: np.ndarray, pixels: Pixels, side: int) -> torch.Tensor:
    """What the network is given of an image by `geometry="library"`."""
    assert pixels.crop is not None
    crop = pixels.crop
    square = resized_and_cropped(image, side, crop.resized, crop.interpolation, squash=crop.squash)
    preprocessing = Preprocessing(
        range=(0, 1), mean_rgb=pixels.mean, std_rgb=pixels.std, side=side, library_crop=crop
    )
    return preprocessing(torch.from_numpy(square).permute(2, 0, 1)[None])[0]


@pytest.mark.parametrize(
    ("name", "squash", "interpolation"),
    [
        ("vit_tiny_patch16_224", False, "bicubic"),  # crop_pct 0.9
        ("resnet18.tv_in1k", False, "bilinear"),  # 0.875
        ("vit_small_patch14_dinov2", False, "bicubic"),  # 1.0
        ("tf_efficientnetv2_b3", True, "bicubic"),  # 0.9 of a square
    ],
)
def test_timms_own_transform_gives_the_same_pixels(
    name: str, squash: bool, interpolation: str
) -> None:
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config

    backbone = build_backbone(f"timm/{name}")
    crop = backbone.pixels.crop
    assert crop is not None
    assert (crop.squash, crop.interpolation) == (squash, interpolation)
    config = resolve_data_config(model=timm.create_model(name))
    theirs = create_transform(**config)
    for image in images():
        found = seen(image, backbone.pixels, backbone.side)
        torch.testing.assert_close(found, theirs(Image.fromarray(image)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side"), [("alexnet", 224), ("convnext_tiny", 224), ("efficientnet_b1", 240)]
)
def test_torchvisions_own_transform_gives_the_same_pixels(name: str, side: int) -> None:
    backbone = build_backbone(f"torchvision/{name}")
    assert backbone.side == side
    theirs = models.get_model_weights(name).IMAGENET1K_V1.transforms()
    for image in images():
        found = seen(image, backbone.pixels, side)
        torch.testing.assert_close(found, theirs(Image.fromarray(image)), rtol=0, atol=1e-5)


def test_another_side_keeps_the_share_that_is_cut_off() -> None:
    crop = build_backbone("torchvision/alexnet", side=112).pixels.crop
    assert crop == LibraryCrop(resized=128, interpolation="bilinear")
    assert build_backbone("caffenet-trunk").pixels.crop is None


def test_the_middle_of_a_wide_image_by_hand() -> None:
    """A shorter side of 4 changes nothing; the middle is rows 1 and 2, columns 3 and 4."""
    image = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(4, 8, 3)
    found = resized_and_cropped(image, 2, 4, "bilinear")
    assert np.array_equal(found, image[1:3, 3:5])
