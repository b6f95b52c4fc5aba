"""One label image in every form that programs write; the truth is known to the pixel."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.palette import voc_palette
from cebench.errors import InputError

PALETTE = voc_palette()


@pytest.fixture
def labels() -> np.ndarray:
    """A person, a car and a line of void on background."""
    labels = np.zeros((40, 61), np.uint8)
    labels[5:25, 5:30], labels[25:38, 30:55], labels[4, 5:30] = 15, 7, 255
    return labels


def with_palette(indices: np.ndarray, colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(np.ascontiguousarray(colours).tobytes())
    return image


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width = values.shape
    each = np.unpackbits(values[:, :, None], axis=2)[:, :, 8 - bits :].reshape(height, -1)
    rows = np.pad(np.packbits(each, axis=1), ((0, 0), (1, 0)))  # each row begins with filter 0
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def forms(labels: np.ndarray) -> dict[str, Image.Image]:
    order = np.array([255, 7, 15, 0])
    place = np.zeros(256, np.uint8)
    place[order] = range(4)
    opaque = np.full((*labels.shape, 1), 255, np.uint8)
    return {
        "the devkit's palette": with_palette(labels, PALETTE),
        "any palette": with_palette(labels, np.random.default_rng(0).integers(0, 256, (256, 3))
                                    .astype(np.uint8) | 1),
        "grey": Image.fromarray(labels),
        "16 bits": Image.fromarray(labels.astype(np.uint16)),
        "equal channels": Image.fromarray(np.stack([labels] * 3, axis=2)),
        "grey and opaque": Image.fromarray(np.concatenate([labels[..., None], opaque], axis=2)),
        "colours": Image.fromarray(PALETTE[labels]),
        "colours and opaque": Image.fromarray(np.concatenate([PALETTE[labels], opaque], axis=2)),
        "palette in another order": with_palette(place[labels], PALETTE[order]),
        "quantized": Image.fromarray(PALETTE[labels]).quantize(8),
    }  # fmt: skip


@pytest.mark.parametrize("form", list(forms(np.zeros((2, 2), np.uint8))))
def test_every_form_has_the_same_labels(tmp_path: Path, labels: np.ndarray, form: str) -> None:
    path = tmp_path / "a.png"
    forms(labels)[form].save(path)
    read = read_label_image(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, labels)


def test_background_and_car_alone_are_colours_though_they_are_grey(tmp_path: Path) -> None:
    labels = np.array([[0, 7], [7, 0]], np.uint8)
    Image.fromarray(PALETTE[labels]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), labels)
    for value in (127, 129, 1):  # Of other greys the values are read, and refused where scored.
        grey = np.array([[0, 128], [value, 0]], np.uint8)
        for channels in (3, 2):
            pixels = np.stack([grey] * channels, axis=2)
            if channels == 2:
                pixels[..., 1] = 255
            Image.fromarray(pixels).save(tmp_path / "a.png")
            np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), grey)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_read_as_they_are(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (7, 13)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(grey_png(values, bits))
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), values)


def test_what_the_file_leaves_open_is_refused(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "a.png"
    mixed = PALETTE[[0, 15, 7, 0]].copy()
    mixed[3] = 9, 8, 7
    indices = (np.arange(16, dtype=np.uint8) % 4).reshape(4, 4)
    half = np.concatenate([PALETTE[labels], np.full((40, 61, 1), 128, np.uint8)], axis=2)
    for image, message in (
        (with_palette(indices, mixed), r"other indices, but index 3 has the colour \(9, 8, 7\)"),
        (Image.fromarray(np.full((4, 4, 3), (9, 8, 7), np.uint8)), r"colour \(9, 8, 7\) is none"),
        (Image.fromarray(half), "has transparent pixels"),
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), "label 300 is above 255"),
    ):
        image.save(path)
        with pytest.raises(InputError, match=message):
            read_label_image(path)
