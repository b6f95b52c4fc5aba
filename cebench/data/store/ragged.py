"""Images of different sizes in one flat tensor, and random crops of them without a loop.

A decoded data set is read once (or lies in a packed store) and then cropped on the GPU where it
fits there, else on the processor, faster than a network can take the crops.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from cebench.data.images import resized_size
from cebench.data.photos import Photo
from cebench.data.specks import is_speck, specks_warning

_SHARE_OF_FREE_MEMORY = 0.6

logger = logging.getLogger("cebench")

_Neighbours = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""For each sample the pixel at or before it, the next one, the fraction between; each (B, size)."""


@dataclass(frozen=True)
class RaggedImages:
    """N images back to back; all four tensors live on one device."""

    pixels: torch.Tensor
    """(sum of 3 * H * W,) uint8, each image in row, column, RGB order."""
    heights: torch.Tensor
    """(N,) int64, pixels."""
    widths: torch.Tensor
    """(N,) int64, pixels."""
    offsets: torch.Tensor
    """(N,) int64, where in `pixels` each image starts."""

    @classmethod
    def from_arrays(cls, images: Sequence[np.ndarray]) -> "RaggedImages":
        """Copy (H, W, 3) uint8 arrays."""
        ragged = _allocate([(image.shape[0], image.shape[1]) for image in images])
        for index, image in enumerate(images):
            ragged.image(index).copy_(torch.tensor(image))
        return ragged

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.pixels.numel()

    def to(self, device: torch.device | str) -> "RaggedImages":
        """The same images on `device`."""
        tensors = (self.pixels, self.heights, self.widths, self.offsets)
        return RaggedImages(*(tensor.to(device) for tensor in tensors))

    def to_if_fits(self, device: torch.device) -> "RaggedImages":
        """On `device` if that leaves it 40 % of its free memory, else as they are.

        Crops are asked for in the same way in both cases: `integer_crops(..., device=device)`.
        """
        if device.type != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        return self.to(device) if self.nbytes <= _SHARE_OF_FREE_MEMORY * free else self

    def select(self, index: np.ndarray) -> "RaggedImages":
        """The images `index`, (M,) int64, in that order; the pixels are shared."""
        layout = (self.heights, self.widths, self.offsets)
        return RaggedImages(self.pixels, *(values[torch.from_numpy(index)] for values in layout))

    def image(self, index: int) -> torch.Tensor:
        """Image `index` as a view, (H, W, 3) uint8."""
        height, width = int(self.heights[index]), int(self.widths[index])
        return self.pixels[int(self.offsets[index]) :][: 3 * height * width].view(height, width, 3)

    def bilinear_crops(
        self,
        index: torch.Tensor,
        x0: torch.Tensor,
        y0: torch.Tensor,
        scale: torch.Tensor,
        flip: torch.Tensor,
        size: int,
    ) -> torch.Tensor:
        """Square crops, point-sampled between the four nearest pixels, without antialias.

        Output pixel i samples the source at x0 + (i + 0.5) * scale - 0.5, where pixel centres are
        whole numbers; a sample outside the image takes its border's value.

        Args:
            index: (B,) int64, which image.
            x0: (B,) float, left edge of the crop in source pixels.
            y0: (B,) float, top edge of the crop in source pixels.
            scale: (B,) float, source pixels per output pixel.
            flip: (B,) bool, mirror left to right.
            size: side of the output in pixels.

        Returns:
            (B, 3, size, size) float32 in 0..255, channels last in memory.
        """
        index, x0, y0, scale, flip = (
            value.to(self.pixels.device) for value in (index, x0, y0, scale, flip)
        )
        along_x = _neighbours(x0, scale, self.widths[index], size, flip)
        along_y = _neighbours(y0, scale, self.heights[index], size)
        # A loop over the crops is fastest on the CPU, but launches too much on a GPU.
        sample = self._gathered_samples if self.pixels.is_cuda else self._looped_samples
        crops = sample(index, along_x, along_y)
        return crops.view(-1, size, size, 3).permute(0, 3, 1, 2)

    def _gathered_samples(
        self, index: torch.Tensor, along_x: _Neighbours, along_y: _Neighbours
    ) -> torch.Tensor:
        """Samples (B, size, 3 * size) between four pixels each, all crops at once."""
        left, right, across = _per_channel(along_x)
        start, width = self.offsets[index, None], self.widths[index, None]
        top, bottom = (start + 3 * width * y for y in along_y[:2])

        def column_samples(column: torch.Tensor) -> torch.Tensor:
            above, below = (
                self._bytes_at(row[:, :, None] + column[:, None]).float() for row in (top, bottom)
            )
            return torch.lerp(above, below, along_y[2][:, :, None])

        return torch.lerp(column_samples(left), column_samples(right), across[:, None])

    def _looped_samples(
        self, index: torch.Tensor, along_x: _Neighbours, along_y: _Neighbours
    ) -> torch.Tensor:
        """Samples as `_gathered_samples` returns them: rows are mixed, then columns picked."""
        left, right, across = _per_channel(along_x)
        top, bottom, down = along_y
        (x0, x1), (y0, y1) = (left.amin(1), right.amax(1)), (top[:, 0], bottom[:, -1])
        # Lists of rows: indexing a tensor within the loop would take longer than its work.
        columns = [(x - x0[:, None]).unbind() for x in (left, right)]
        rows = [(y - y0[:, None]).unbind() for y in (top, bottom)]
        boxes = zip(*(value.tolist() for value in (index, y0, y1 + 1, x0, x1 + 1)), strict=True)
        crops = torch.empty(len(index), top.shape[1], left.shape[1])
        for i, (image, first, last, start, stop) in enumerate(boxes):
            source = self.image(image).flatten(1)[first:last, start:stop]
            above, below = (source.index_select(0, places[i]).float() for places in rows)
            mixed = above.lerp_(below, down[i, :, None])
            before, after = (mixed.index_select(1, places[i]) for places in columns)
            torch.lerp(before, after, across[i], out=crops[i])
        return crops

    def integer_crops(
        self,
        index: torch.Tensor,
        y0: torch.Tensor,
        x0: torch.Tensor,
        flip: torch.Tensor,
        size: int,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """Unscaled square crops.

        Args:
            index: (B,) int64, which image.
            y0: (B,) int64, top row; the crop must lie inside its image.
            x0: (B,) int64, left column.
            flip: (B,) bool, mirror left to right.
            size: side in pixels.
            device: where the crops go, by default where the images are. From the host's memory to
                a GPU they are copied while both go on working.

        Returns:
            (B, 3, size, size) uint8.
        """
        device = self.pixels.device if device is None else torch.device(device)
        if self.pixels.is_cuda:  # B slices are cheap copies on the CPU but B launches on a GPU.
            return self._gathered_crops(index, y0, x0, flip, size).to(device)
        inside = (y0 + size <= self.heights[index]) & (x0 + size <= self.widths[index])
        if not inside.all():
            raise ValueError(f"a crop of {size} pixels reaches out of its image")
        shape = (len(index), 3, size, size)
        crops = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
        places = (value.tolist() for value in (index, y0, x0, flip))
        for planes, image, y, x, mirrored in zip(crops.numpy(), *places, strict=True):
            crop = self.image(image)[y : y + size, x : x + size].numpy()
            cv2.split(cv2.flip(crop, 1) if mirrored else crop, list(planes))
        return crops.to(device, non_blocking=True)

    def _gathered_crops(
        self,
        index: torch.Tensor,
        y0: torch.Tensor,
        x0: torch.Tensor,
        flip: torch.Tensor,
        size: int,
    ) -> torch.Tensor:
        """Crops as `integer_crops` returns them, without a loop over the crops."""
        index, y0, x0, flip = (v.to(self.pixels.device) for v in (index, y0, x0, flip))
        steps = torch.arange(size, device=self.pixels.device)
        columns = torch.where(flip[:, None], size - 1 - steps, steps) + x0[:, None]
        rows = (y0[:, None] + steps) * self.widths[index, None]
        byte = self.offsets[index, None, None] + 3 * (rows[:, :, None] + columns[:, None, :])
        return torch.stack([self._bytes_at(byte + channel) for channel in range(3)], dim=1)

    def _bytes_at(self, addresses: torch.Tensor) -> torch.Tensor:
        return self.pixels.index_select(0, addresses.flatten()).view(addresses.shape)


def load_ragged(
    photos: Sequence[Path | Photo],
    *,
    short_side: int | None = None,
    square: int | None = None,
    to_square: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> RaggedImages:
    """Decode image files in parallel, in the order given.

    Args:
        photos: the files; a path alone is not turned by its EXIF orientation.
        short_side: resize so that the shorter side has this many pixels (bilinear with
            antialias, aspect kept); None keeps the sizes.
        square: side to which the whole image is squashed then, see `squashed`; None: it is not.
        to_square: what makes the square instead, of the image as stored, (H, W, 3) uint8.
        report: called with (images done, images in all).

    Raises:
        InputError: naming the first file that cannot be read.
    """
    files = [photo if isinstance(photo, Photo) else Photo(photo) for photo in photos]
    if square:
        ragged = _allocate([(square, square)] * len(files))
    else:
        stored = [photo.dimensions() for photo in files]
        _warn_of_specks(files, stored, short_side)
        sizes = [resized_size(size, short_side) for size in stored]
        ragged = _allocate([(height, width) for width, height in sizes])

    def decode(index: int) -> None:
        pixels = np.array(files[index].resized(None if square else short_side))
        if square:
            pixels = to_square(pixels) if to_square else squashed(pixels, short_side, square)
        ragged.image(index).copy_(torch.from_numpy(pixels))

    report(0, len(files))
    pool = ThreadPoolExecutor()  # Pillow's decoders release the interpreter lock.
    try:
        for done, _ in enumerate(pool.map(decode, range(len(files))), start=1):
            report(done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    return ragged


def _warn_of_specks(
    files: Sequence[Photo], sizes: Sequence[tuple[int, int]], short_side: int | None
) -> None:
    """A line in the log where images would be enlarged to blurs."""
    if short_side is None:
        return
    specks = [i for i, size in enumerate(sizes) if is_speck(size, short_side)]
    if specks:
        shown, size = files[specks[0]].shown, sizes[specks[0]]
        logger.warning(specks_warning(len(specks), len(files), shown, size, short_side))


def join_ragged(parts: Sequence[RaggedImages]) -> RaggedImages:
    """The images of all `parts`, one part after the other; one part is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.nbytes for part in parts[:-1])]).tolist()
    return RaggedImages(
        torch.cat([part.pixels for part in parts]),
        torch.cat([part.heights for part in parts]),
        torch.cat([part.widths for part in parts]),
        torch.cat([part.offsets + start for part, start in zip(parts, starts, strict=True)]),
    )


def squashed(image: np.ndarray, short_side: int | None, side: int) -> np.ndarray:
    """The whole image (H, W, 3) uint8 as a square of `side`, whatever its aspect.

    OpenCV's bilinear samples without antialias, first to the shorter side and then to the square,
    rounded once. Source: fair_self_supervision_benchmark, data/data_transformation.py (`scale`,
    `global_resize`), which does not round.
    """
    pixels: np.ndarray = image.astype(np.float32)
    height, width = image.shape[:2]
    if short_side and min(height, width) != short_side:
        larger = max(height, width) * short_side // min(height, width)
        size = (short_side, larger) if width < height else (larger, short_side)
        pixels = cv2.resize(pixels, size)
    squares: np.ndarray = np.rint(cv2.resize(pixels, (side, side))).astype(np.uint8)
    return squares


def ragged_layout(
    shapes: Sequence[tuple[int, int]],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heights, widths and offsets of images of (height, width) that lie back to back."""
    heights, widths = torch.tensor(shapes, dtype=torch.int64).reshape(-1, 2).unbind(1)
    sizes = 3 * heights * widths
    return heights, widths, torch.cumsum(sizes, dim=0) - sizes


def _allocate(shapes: Sequence[tuple[int, int]]) -> RaggedImages:
    """Room for images of (height, width); the pixels are not set."""
    total = sum(3 * height * width for height, width in shapes)
    return RaggedImages(torch.empty(total, dtype=torch.uint8), *ragged_layout(shapes))


def _per_channel(along_x: _Neighbours) -> _Neighbours:
    """Neighbours by byte within a row of pixels instead of by pixel; each (B, 3 * size)."""
    left, right, across = along_x
    channels = torch.arange(3, device=left.device)
    left, right = ((3 * x[:, :, None] + channels).flatten(1) for x in (left, right))
    return left, right, across.repeat_interleave(3, dim=1)


def _neighbours(
    start: torch.Tensor,
    scale: torch.Tensor,
    limit: torch.Tensor,
    size: int,
    flip: torch.Tensor | None = None,
) -> _Neighbours:
    """The pixel at or before each sample, the next, the fraction between; each (B, size)."""
    output = torch.arange(size, device=start.device).expand(len(start), size)
    if flip is not None:
        output = torch.where(flip[:, None], size - 1 - output, output)
    position = start[:, None].float() + (output + 0.5) * scale[:, None].float() - 0.5
    last = (limit - 1)[:, None]
    position = torch.minimum(position.clamp(min=0), last.float())
    before = position.long()
    return before, torch.minimum(before + 1, last), position - before
