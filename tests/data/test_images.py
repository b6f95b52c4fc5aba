import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cebench.data import images
from cebench.data.images import (
    image_files,
    image_size,
    open_resized,
    open_rgb,
    read_image,
    resized_size,
    write_png,
)
from cebench.errors import InputError


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_png_comes_back_as_it_was_written(tmp_path: Path) -> None:
    image = noise(7, 11, 3)
    path = tmp_path / "new" / "folder" / "a.png"
    write_png(path, image)
    read = read_image(path)
    np.testing.assert_array_equal(read, image)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert image_size(path) == (11, 7)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = noise(5, 6)
    write_png(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))


def test_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    plain = Image.new("RGB", (16, 16), (200, 40, 90))
    plain.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    read = read_image(tmp_path / "cmyk.jpg").astype(int)
    assert np.abs(read - (200, 40, 90)).max() <= 3


def test_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "p.png")[2, 2].tolist() == [10, 20, 30]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    rgba = noise(4, 4, 4)
    write_png(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), rgba[:, :, :3])


def test_exif_orientation_is_applied_unless_the_file_is_vocs(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by a quarter
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (30, 20, 3)
    assert read_image(tmp_path / "turned.jpg", upright=False).shape == (20, 30, 3)


def png_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(60, 80, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_damaged_byte_of_a_png_is_found(tmp_path: Path) -> None:
    """Pillow alone decodes a third of these without a word: it skips the CRC of pixel chunks."""
    whole = png_bytes()
    for place in np.linspace(8, len(whole) - 1, 60).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        path = tmp_path / f"{place}.png"
        path.write_bytes(bytes(damaged))
        for read in (read_image, image_size, lambda p: open_resized(p, 20)):
            if read is image_size and place > 40:
                continue
            with pytest.raises(InputError, match=rf"{place}\.png"):
                read(path)


def test_a_png_that_ends_early_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for end in (20, 40, -13, -1):
        path.write_bytes(png_bytes()[:end])
        with pytest.raises(InputError, match=r"a\.png"):
            read_image(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path, suffix: str) -> None:
    """v >> 8 undoes the usual widening v * 257 exactly."""
    grey = noise(4, 5)
    grey[0, :3] = 0, 255, 156
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    read = read_image(tmp_path / f"deep.{suffix}")
    np.testing.assert_array_equal(read, np.stack([grey] * 3, axis=2))


def test_sixteen_bit_colour_keeps_its_high_bytes(tmp_path: Path) -> None:
    """Pillow cannot write such a PNG: 1 x 1 pixel of 3 x 16 bits, by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 65535, 300, 7)))
    path = tmp_path / "deep.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))
    assert read_image(path).tolist() == [[[255, 1, 0]]]


def test_thirty_two_bits_have_no_known_range(tmp_path: Path) -> None:
    for name, kind in (("whole.tif", np.int32), ("real.tif", np.float32)):
        Image.fromarray(np.full((4, 4), 1, kind)).save(tmp_path / name)
        with pytest.raises(InputError, match=r"\.tif has 32 bits per channel"):
            read_image(tmp_path / name)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    image = noise(5, 6, 3)
    Image.fromarray(image).save(tmp_path / "really-a.png")
    (tmp_path / "really-a.png").rename(tmp_path / "a.JPEG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.JPEG"), image)
    # Pillow would start Ghostscript on this one.
    (tmp_path / "b.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(InputError, match=r"b\.jpg is not an image"):
        read_image(tmp_path / "b.jpg")


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert read_image(tmp_path / "a.gif")[1, 1].tolist() == [255, 0, 0]


def turned_raster(shown: np.ndarray, orientation: int) -> np.ndarray:
    """What is stored where `shown` is what a viewer shows.

    The EXIF standard names where row 0 and column 0 of the raster lie in the picture.
    """
    sides = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}
    raster = shown
    row, column = sides[orientation]
    flips = {"b": 0, "r": 1}
    for side in (row, column):
        if side in flips:
            raster = np.flip(raster, flips[side])
    if row in "lr":
        raster = raster.transpose(1, 0, 2)
    return np.ascontiguousarray(raster)


@pytest.mark.parametrize("name", ["turned.png", "turned.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_a_viewer_shows(tmp_path: Path, orientation: int, name: str) -> None:
    """Pillow turns a TIFF itself: turned twice, a portrait lies on its side."""
    shown = noise(16, 24, 3) // 4
    shown[:8, :8] += 160  # a bright corner at the top left
    raster = turned_raster(shown, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    Image.fromarray(raster).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), shown)
    assert image_size(path) == (24, 16)
    assert image_size(path, 8) == (12, 8)
    assert open_resized(path, 8).size == (12, 8)
    as_stored = shown if path.suffix == ".tif" else raster
    np.testing.assert_array_equal(read_image(path, upright=False), as_stored)


def chunks(png: bytes) -> list[bytes]:
    """The chunks of a PNG, signature first."""
    parts, place = [png[:8]], 8
    while place < len(png):
        end = place + 12 + int.from_bytes(png[place : place + 4])
        parts.append(png[place:end])
        place = end
    return parts


def test_a_png_may_say_its_orientation_behind_its_pixels_and_is_decoded_for_no_other_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif, path = Image.Exif(), tmp_path / "a.png"
    exif[0x0112] = 6
    image, words = Image.fromarray(noise(20, 30, 3)), PngInfo()
    words.add_itxt("XML:com.adobe.xmp", 'tiff:Orientation="8"')
    image.save(path, pnginfo=words)
    assert image_size(path) == (20, 30)
    image.save(path, exif=exif)
    parts = sorted(chunks(path.read_bytes()), key=lambda chunk: chunk[4:8] == b"eXIf")
    path.write_bytes(b"".join([*parts[:-2], parts[-1], parts[-2]]))
    assert [chunk[4:8] for chunk in chunks(path.read_bytes())[-2:]] == [b"eXIf", b"IEND"]
    assert image_size(path) == (20, 30)
    assert read_image(path).shape == (30, 20, 3)
    image.save(path)
    monkeypatch.setattr(images, "_load", None)
    assert image_size(path) == (30, 20)


def test_a_line_that_enlarging_would_make_a_giant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    Image.new("L", (1, 3000)).save(path)
    assert open_resized(path, 8).size == (8, 24000)
    with pytest.raises(InputError, match="its 1 x 3000 pixels become 256 x 768000 at a shorter"):
        open_resized(path, 256)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_orientation_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(8, 9, 3)).save(path, exif=b"Exif\0\0MM\0*garbage")
    assert open_rgb(path, upright=True).size == (9, 8)


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an image"),
        (b"<html>404 Not Found</html>", "is not an image"),
        (jpeg_bytes()[:-300], "is truncated or damaged"),
        (jpeg_bytes()[:30], "is not an image|is truncated|cannot open"),
    ],
    ids=["empty", "html", "truncated", "header only"],
)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file_and_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "no.jpg")
    with pytest.raises(InputError, match="cannot open"):
        read_image(tmp_path)


def test_an_image_too_large_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "large.png", noise(60, 60, 3))
    for limit in (1000, 3000):  # beyond twice its limit Pillow refuses, below that it warns
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match=r"large\.png is too large"):
            read_image(tmp_path / "large.png")


def test_reduced_decoding_keeps_enough_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(320, 480, 3)).save(path)
    assert open_rgb(path).size == (480, 320)
    assert open_rgb(path, at_least=80).size == (120, 80)
    assert open_rgb(path, at_least=81).size == (240, 160)


def test_a_jpeg_resized_while_it_is_decoded_looks_as_if_it_were_decoded_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jpg"
    blobs = Image.fromarray(noise(30, 40, 3)).resize((640, 480), Image.Resampling.BICUBIC)
    blobs.save(path, quality=95)
    whole = open_rgb(path).resize((80, 60), Image.Resampling.BILINEAR)
    fast = open_resized(path, 60)
    assert fast.size == (80, 60)
    difference = np.abs(np.asarray(fast).astype(float) - np.asarray(whole))
    assert 0 < difference.mean() < 2  # decoded at 1/8, no larger than asked for, it is 3.7


def test_the_longer_side_is_rounded_to_the_nearest_pixel() -> None:
    assert resized_size((31, 17), 8) == (15, 8)  # 14.6
    assert resized_size((30, 17), 8) == (14, 8)  # 14.1
    assert resized_size((17, 31), 34) == (34, 62)


def test_image_files_are_found_below_sorted_and_not_hidden(tmp_path: Path) -> None:
    for name in ("b/2.JPEG", "a.png", "b/1.jpg", "notes.txt", ".thumbs/c.png", "b/._1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)]
    assert names == ["a.png", "b/1.jpg", "b/2.JPEG"]
    assert image_files(tmp_path / "a.png") == [tmp_path / "a.png"]


def test_a_folder_without_images_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"found no images below .*\.png"):
        image_files(tmp_path)
    with pytest.raises(InputError, match="is no folder of images"):
        image_files(tmp_path / "absent")


def test_linked_folders_are_followed_and_loops_and_dead_links_named(tmp_path: Path) -> None:
    (tmp_path / "store" / "n01").mkdir(parents=True)
    (tmp_path / "store" / "n01" / "a.jfif").touch()
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / "n01").symlink_to(tmp_path / "store" / "n01")
    assert image_files(chosen) == [chosen / "n01" / "a.jfif"]
    (tmp_path / "store" / "n01" / "up").symlink_to(tmp_path / "store")
    with pytest.raises(InputError, match=r"n01/up: the link leads back to .*store"):
        image_files(tmp_path / "store")
    (chosen / "n02").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"n02: the link leads nowhere"):
        image_files(chosen)
