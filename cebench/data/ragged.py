"""Images of different sizes in one flat tensor, and random crops of them without a loop.

A decoded data set that fits in memory (VOC2007: 2.8 GB) is read once and then cropped on the
processor or the GPU, faster than a network can take the crops.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cebench.data.images import image_size, open_rgb


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
        return self.pixels.numel()

    def to(self, device: torch.device | str) -> "RaggedImages":
        tensors = (self.pixels, self.heights, self.widths, self.offsets)
        return RaggedImages(*(tensor.to(device) for tensor in tensors))

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
            (B, 3, size, size) float32 in 0..255.
        """
        index, x0, y0, scale, flip = (
            value.to(self.pixels.device) for value in (index, x0, y0, scale, flip)
        )
        widths = self.widths[index]
        left, right, along_x = _neighbours(x0, scale, widths, size, flip)
        top, bottom, along_y = _neighbours(y0, scale, self.heights[index], size)

        # Byte addresses split into a part per row and a part per column and channel.
        channels = torch.arange(3, device=self.pixels.device)
        columns = [(3 * x[:, :, None] + channels).flatten(1)[:, None, :] for x in (left, right)]
        start = self.offsets[index, None]
        rows = [(start + 3 * widths[:, None] * y)[:, :, None] for y in (top, bottom)]
        along_x = along_x.repeat_interleave(3, dim=1)[:, None, :]

        def row_samples(row: torch.Tensor) -> torch.Tensor:
            before, after = (self._bytes_at(row + column).float() for column in columns)
            return torch.lerp(before, after, along_x)

        crops = torch.lerp(row_samples(rows[0]), row_samples(rows[1]), along_y[:, :, None])
        return crops.view(-1, size, size, 3).permute(0, 3, 1, 2).contiguous()

    def integer_crops(
        self,
        index: torch.Tensor,
        y0: torch.Tensor,
        x0: torch.Tensor,
        flip: torch.Tensor,
        size: int,
    ) -> torch.Tensor:
        """Unscaled square crops.

        Args:
            index: (B,) int64, which image.
            y0: (B,) int64, top row; the crop must lie inside its image.
            x0: (B,) int64, left column.
            flip: (B,) bool, mirror left to right.
            size: side in pixels.

        Returns:
            (B, 3, size, size) uint8.
        """
        if self.pixels.is_cuda:  # B slices are cheap copies on the CPU but B launches on a GPU.
            return self._gathered_crops(index, y0, x0, flip, size)
        crops = torch.empty(len(index), size, size, 3, dtype=torch.uint8)
        places = (value.tolist() for value in (index, y0, x0))
        for crop, image, y, x in zip(crops, *places, strict=True):
            crop.copy_(self.image(image)[y : y + size, x : x + size])
        crops[flip] = crops[flip].flip(2)
        return crops.permute(0, 3, 1, 2).contiguous()

    def _gathered_crops(
        self,
        index: torch.Tensor,
        y0: torch.Tensor,
        x0: torch.Tensor,
        flip: torch.Tensor,
        size: int,
    ) -> torch.Tensor:
        """What `integer_crops` returns, without a loop over the crops."""
        index, y0, x0, flip = (v.to(self.pixels.device) for v in (index, y0, x0, flip))
        steps = torch.arange(size, device=self.pixels.device)
        columns = torch.where(flip[:, None], size - 1 - steps, steps) + x0[:, None]
        rows = (y0[:, None] + steps) * self.widths[index, None]
        byte = self.offsets[index, None, None] + 3 * (rows[:, :, None] + columns[:, None, :])
        return torch.stack([self._bytes_at(byte + channel) for channel in range(3)], dim=1)

    def _bytes_at(self, addresses: torch.Tensor) -> torch.Tensor:
        return self.pixels.index_select(0, addresses.flatten()).view(addresses.shape)


def load_ragged(
    paths: Sequence[Path],
    *,
    short_side: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> RaggedImages:
    """Decode image files in parallel, in the order given.

    Args:
        paths: the files.
        short_side: resize so that the shorter side has this many pixels (bilinear with
            antialias, aspect kept); None keeps the sizes.
        report: called with (images done, images in all).

    Raises:
        InputError: naming the first file that cannot be read.
    """
    sizes = [_target_size(image_size(path), short_side) for path in paths]
    ragged = _allocate([(height, width) for width, height in sizes])

    def decode(index: int) -> None:
        # Decoding a JPEG no smaller than twice the target changes nothing that the eye can see.
        image = open_rgb(paths[index], None if short_side is None else 2 * short_side)
        if image.size != sizes[index]:
            image = image.resize(sizes[index], Image.Resampling.BILINEAR)
        ragged.image(index).copy_(torch.tensor(np.asarray(image)))

    report(0, len(paths))
    pool = ThreadPoolExecutor()  # Pillow's decoders release the interpreter lock.
    try:
        for done, _ in enumerate(pool.map(decode, range(len(paths))), start=1):
            report(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return ragged


def _target_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    if short_side is None:
        return size
    width, height = size
    factor = short_side / min(size)
    return max(short_side, round(width * factor)), max(short_side, round(height * factor))


def _allocate(shapes: Sequence[tuple[int, int]]) -> RaggedImages:
    """Room for images of (height, width); the pixels are not set."""
    heights = torch.tensor([height for height, _ in shapes], dtype=torch.int64)
    widths = torch.tensor([width for _, width in shapes], dtype=torch.int64)
    ends = torch.cumsum(3 * heights * widths, dim=0)
    total = int(ends[-1]) if len(shapes) else 0
    pixels = torch.empty(total, dtype=torch.uint8)
    return RaggedImages(pixels, heights, widths, ends - 3 * heights * widths)


def _neighbours(
    start: torch.Tensor,
    scale: torch.Tensor,
    limit: torch.Tensor,
    size: int,
    flip: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pixel at or before each sample, the next, the fraction between; each (B, size)."""
    output = torch.arange(size, device=start.device).expand(len(start), size)
    if flip is not None:
        output = torch.where(flip[:, None], size - 1 - output, output)
    position = start[:, None].float() + (output + 0.5) * scale[:, None].float() - 0.5
    last = (limit - 1)[:, None]
    position = torch.minimum(position.clamp(min=0), last.float())
    before = position.long()
    return before, torch.minimum(before + 1, last), position - before
