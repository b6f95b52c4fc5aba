"""Filling holes in images: the geometry between an image and a network, for the task and the verb.

A network sees squares of one side. An image of any other size is brought there and its prediction
brought back by one rule, `resize`; what is hidden is taken out before, so that it cannot leak.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cebench.data.hole_masks import middle
from cebench.data.resize import resize
from cebench.errors import InputError
from cebench.models.backbones import build_trunk, trunk_architecture
from cebench.models.caffenet import IMAGENET_MEAN_RGB, CaffeNetTrunk, preprocess
from cebench.models.context_encoder import IMAGE_SIDE, ContextEncoder
from cebench.models.inpainting_gan import PUBLISHED_FILL_RGB, InpaintingGenerator, predicted_side
from cebench.weights.files import Weights, read_sidecar
from cebench.weights.loading import load_module, load_trunk

Images = NDArray[np.uint8]
"""(N, H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing, the same in all images."""

FILL_RGB = tuple(round(value) for value in IMAGENET_MEAN_RGB)
"""What a hole looks like in pictures: the mean pixel, which a context encoder sees as 0."""

FILLING_ARCHITECTURES = ("context-encoder", "inpainting-generator")


class ContextFeatures(Protocol):
    """A network that describes what surrounds a hole."""

    layers: tuple[str, ...]
    """What `features` can be taken from; the first is the deepest part of the encoder."""

    def features(self, images: Images, hole: Hole, layer: str = "") -> NDArray[np.float32]:
        """(N, D), functions of the visible pixels alone; `layer` is the first one if empty."""


@runtime_checkable
class Inpainter(ContextFeatures, Protocol):
    """A network that fills holes."""

    side: int
    """Pixels of the squares that it sees."""
    window_share: float
    """Side of the central square in which it can fill, as a share of `side`; 1: everywhere."""

    def accepts(self, hole: Hole) -> bool:
        """Whether the network can predict all that is missing."""

    def fill(self, images: Images, hole: Hole) -> Images:
        """Images with the prediction in the hole and everything else untouched.

        What is in the hole never matters. The prediction is pasted into the context at the
        network's size and the result resized, so that the seam blends into what is visible.

        Raises:
            InputError: the network does not accept the hole.
        """


def model_file(path: Path) -> Path:
    """A weights file as it is; of a run directory the network that fills, else its trunk."""
    if not path.is_dir():
        return path
    model = path / "model.safetensors"
    if model.is_file() and read_sidecar(model).architecture in FILLING_ARCHITECTURES:
        return model
    return path / "weights.safetensors"


def load_inpainter(weights: Weights, device: torch.device) -> Inpainter:
    """The network in `weights`, for prediction.

    Raises:
        InputError: the weights are of an architecture that fills no holes.
    """
    values = weights.sidecar.recipe_values
    if weights.sidecar.architecture == "inpainting-generator":
        generator = InpaintingGenerator(values["side"], values["region"], values["bottleneck"])
        load_module(generator, weights, "inpainting-generator")
        return GeneratorInpainter(generator.eval().to(device), values["overlap"])
    if weights.sidecar.architecture not in FILLING_ARCHITECTURES:
        raise InputError(_no_decoder(weights))
    network = ContextEncoder(
        values.get("mixing_kernel", 1),
        up_kernel=values.get("up_kernel", 5),
        pooling=values.get("pooling", "max"),
        side=values.get("side", IMAGE_SIDE),
        residual=values.get("residual", "none"),
    )
    load_module(network, weights, "context-encoder")
    return ContextEncoderInpainter(network.eval().to(device))


def _no_decoder(weights: Weights) -> str:
    sidecar = weights.sidecar
    message = f"{weights.name}: holds a {sidecar.architecture} of method {sidecar.method}, which "
    if sidecar.method in ("context", "autoencoder", "denoising-autoencoder"):
        return message + (
            "has no decoder; name the run directory, or its model.safetensors, which has one"
        )
    return message + (
        "has no decoder and fills no holes: context, autoencoder and context-gan make networks "
        "that do"
    )


def load_context_features(weights: Weights, device: torch.device) -> ContextFeatures:
    """The network in `weights`, or the CaffeNet trunk of weights that fill no holes."""
    if weights.sidecar.architecture in FILLING_ARCHITECTURES:
        return load_inpainter(weights, device)
    trunk = build_trunk(trunk_architecture(weights.sidecar.architecture))
    load_trunk(trunk, weights)
    return TrunkFeatures(trunk.eval().to(device), weights.sidecar.preprocessing.mean_rgb)


class ContextEncoderInpainter:
    """A `ContextEncoder`, which predicts all of the pixels that it sees."""

    layers: tuple[str, ...] = ("pool5", "channel-wise")
    window_share = 1.0

    def __init__(self, network: ContextEncoder) -> None:
        self.network, self.side = network, network.side

    def accepts(self, hole: Hole) -> bool:
        return bool(hole.any() and not hole.all())

    @torch.no_grad()
    def fill(self, images: Images, hole: Hole) -> Images:
        _check_hole(self, hole)
        context, missing = visible_context(images, hole, self.side)
        device = _device(self.network)
        holes = torch.from_numpy(missing).to(device)
        prediction = self.network(_centred(context, device), holes)
        context[:, missing] = _pixels(prediction)[:, missing]
        return composite(images, hole, context)

    @torch.no_grad()
    def features(self, images: Images, hole: Hole, layer: str = "") -> NDArray[np.float32]:
        chosen = _chosen_layer(self, layer)
        context, _ = visible_context(images, hole, self.side)
        features = self.network.encode(_centred(context, _device(self.network)))
        if chosen == "channel-wise":
            features = self.network.channel_wise_fc(features)
        return _rows(features)


class GeneratorInpainter:
    """An `InpaintingGenerator`; one with region "center" fills within its central square alone.

    overlap: pixels of the predicted square, at each edge, that it was trained to see.
    """

    layers: tuple[str, ...] = ("bottleneck",)

    def __init__(self, generator: InpaintingGenerator, overlap: int) -> None:
        self.generator = generator
        self.side = generator.side
        self.central = generator.region == "center"
        predicted = predicted_side(self.side, generator.region)
        self.predicted = middle(self.side, predicted)
        filled = predicted - 2 * overlap if self.central else self.side
        self.square = middle(self.side, filled)
        self.window_share = filled / self.side

    def accepts(self, hole: Hole) -> bool:
        missing = network_hole(hole, self.side)
        inside = int(missing[self.square, self.square].sum())
        return bool(hole.any() and not hole.all()) and inside == int(missing.sum())

    @torch.no_grad()
    def fill(self, images: Images, hole: Hole) -> Images:
        _check_hole(self, hole)
        context, missing = self._context(images, hole)
        prediction = np.zeros_like(context)
        predicted = self.generator(self._input(context, missing))
        prediction[:, self.predicted, self.predicted] = _pixels(predicted)
        context[:, missing] = prediction[:, missing]
        return composite(images, hole, context)

    @torch.no_grad()
    def features(self, images: Images, hole: Hole, layer: str = "") -> NDArray[np.float32]:
        _chosen_layer(self, layer)
        _check_hole(self, hole)
        return _rows(self.generator.encode(self._input(*self._context(images, hole))))

    def _context(self, images: Images, hole: Hole) -> tuple[NDArray[np.float64], Hole]:
        return visible_context(images, hole, self.side, PUBLISHED_FILL_RGB)

    def _input(self, context: NDArray[np.float64], missing: Hole) -> Tensor:
        """(N, 3, side, side) on [-1, 1]; a central generator never sees any of its square."""
        shown = context.copy()
        hidden = missing.copy()
        if self.central:
            hidden[self.square, self.square] = True
        shown[:, hidden] = PUBLISHED_FILL_RGB
        pixels = torch.from_numpy(shown).permute(0, 3, 1, 2)
        return (pixels / 127.5 - 1).to(_device(self.generator), torch.float32)


class TrunkFeatures:
    """A CaffeNet trunk of any pretraining, which describes contexts and fills nothing."""

    layers: tuple[str, ...] = ("pool5",)

    def __init__(self, trunk: CaffeNetTrunk, mean_rgb: Sequence[float]) -> None:
        self.trunk = trunk
        self.mean_rgb = tuple(mean_rgb)

    @torch.no_grad()
    def features(self, images: Images, hole: Hole, layer: str = "") -> NDArray[np.float32]:
        _chosen_layer(self, layer)
        context, _ = visible_context(images, hole, fill_rgb=self.mean_rgb)
        return _rows(self.trunk(_centred(context, _device(self.trunk), self.mean_rgb)))


def network_hole(hole: Hole, side: int = IMAGE_SIDE) -> Hole:
    """Where a network misses pixels: (H, W) to (side, side), True = missing.

    A network pixel is missing if its centre lies in a missing pixel or a missing pixel's centre
    lies in it. Thus a thin hole stays a hole, and rows 36..91 of 128 are rows 64..162 of 227: the
    99 pixels of the authors' evaluation images.
    """
    height, width = hole.shape
    missing = hole[np.ix_(_containing(side, height), _containing(side, width))]
    y, x = hole.nonzero()
    missing[_containing(height, side)[y], _containing(width, side)[x]] = True
    return missing


def _containing(from_side: int, to_side: int) -> NDArray[np.int64]:
    """For each of `from_side` pixels, which of `to_side` pixels its centre lies in."""
    return (2 * np.arange(from_side) + 1) * to_side // (2 * from_side)


def visible_context(
    images: Images,
    hole: Hole,
    side: int = IMAGE_SIDE,
    fill_rgb: Sequence[float] = IMAGENET_MEAN_RGB,
) -> tuple[NDArray[np.float64], Hole]:
    """The visible pixels of images around a hole, at a network's size.

    Network pixels are averages of visible pixels alone: neither hidden pixels nor the colour that
    replaces them bleed into the context.

    Returns:
        context: (N, side, side, 3), 0..255, `fill_rgb` where missing.
        missing: (side, side).
    """
    visible = ~hole[..., None]
    share = resize(visible, side, side)
    # Where nothing is visible the network pixel is missing.
    context = resize(images * visible, side, side) / np.where(share > 0, share, 1)
    missing = network_hole(hole, side)
    context[:, missing] = fill_rgb
    return context, missing


def _check_hole(inpainter: Inpainter, hole: Hole) -> None:
    if inpainter.accepts(hole):
        return
    side, share = inpainter.side, inpainter.window_share
    if share == 1 or not hole.any() or hole.all():
        raise InputError(
            "the hole is empty or covers the image; part of each image must be missing"
        )
    square = round(side * share)
    raise InputError(
        f"these weights fill a hole within the central {square} x {square} of {side} x {side} "
        "pixels only, and this one reaches beyond it; take weights of region=image, or a hole "
        "that is central"
    )


def _chosen_layer(network: ContextFeatures, layer: str) -> str:
    if layer and layer not in network.layers:
        raise InputError(
            f"layer {layer!r}: these weights have {' and '.join(network.layers)}; name one of them"
        )
    return layer or network.layers[0]


def _centred(
    context: NDArray[np.float64],
    device: torch.device,
    mean_rgb: Sequence[float] = IMAGENET_MEAN_RGB,
) -> Tensor:
    """Contexts (N, 227, 227, 3) as a CaffeNet trunk's input (N, 3, 227, 227)."""
    return preprocess(
        torch.from_numpy(context).permute(0, 3, 1, 2).to(device, torch.float32), mean_rgb
    )


def _pixels(prediction: Tensor) -> NDArray[np.float64]:
    """(N, 3, h, w) on [-1, 1] to (N, h, w, 3) in 0..255."""
    scaled = (prediction.permute(0, 2, 3, 1).cpu().double().numpy() + 1) * 127.5
    clipped: NDArray[np.float64] = scaled.clip(0, 255)
    return clipped


def composite(images: Images, hole: Hole, filled: NDArray[np.float64]) -> Images:
    """The images with the hole's pixels of `filled`, (N, side, side, 3) in 0..255."""
    result = images.copy()
    result[:, hole] = np.rint(resize(filled, *hole.shape)[:, hole])
    return result


def _rows(features: Tensor) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = features.flatten(1).float().cpu().numpy()
    return flat


def _device(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device
