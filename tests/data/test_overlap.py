import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cebench.data.images import image_files
from cebench.data.overlap import (
    SAME_PHOTO_CORRELATION,
    difference_signature,
    identify,
    same_files,
    same_identities,
    same_photos,
)
from cebench.data.photos import Photo
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Smooth blobs of colour: distinct seeds are distinct photos."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def recoded(image: Image.Image, factor: float = 1.0, quality: int = 75) -> Image.Image:
    size = (round(image.width * factor), round(image.height * factor))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.fixture
def held_out(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "held"
    folder.mkdir()
    for seed in range(6):
        photo(seed).save(folder / f"{seed}.png")
    return image_files(folder)


def test_copies_are_found_under_any_name_size_and_quality(
    tmp_path: Path, held_out: list[Path]
) -> None:
    shutil.copy(held_out[0], tmp_path / "holiday.png")
    recoded(photo(1), quality=40).save(tmp_path / "a.jpg")
    recoded(photo(2), factor=0.5).save(tmp_path / "b.jpg")
    photo(3).resize((128, 128)).save(tmp_path / "squeezed.png")
    photo(4).convert("L").save(tmp_path / "grey.png")
    photo(99).save(tmp_path / "new.png")
    candidates = [tmp_path / n for n in ("new.png", "grey.png", "a.jpg", "b.jpg", "holiday.png")]
    candidates.append(tmp_path / "squeezed.png")
    found = {path.name: same.stem for path, same in same_photos(candidates, held_out).items()}
    assert found == {
        "grey.png": "4",
        "a.jpg": "1",
        "b.jpg": "2",
        "holiday.png": "0",
        "squeezed.png": "3",
    }


def test_a_copy_whose_turn_is_in_its_pixels_is_found(tmp_path: Path) -> None:
    """A telephone stores photos turned; most programs that shrink them turn the pixels."""
    exif, paths = Image.Exif(), [tmp_path / "telephone.jpg", tmp_path / "album.jpg"]
    exif[0x0112] = 6
    photo(1).transpose(Image.Transpose.ROTATE_90).save(paths[0], exif=exif)
    photo(1).resize((80, 60)).save(paths[1])
    assert same_photos(paths[:1], paths[1:]) == {paths[0]: paths[1]}


def test_order_of_the_answer_is_that_of_the_candidates(held_out: list[Path]) -> None:
    assert list(same_photos(held_out[::-1], held_out)) == held_out[::-1]


def test_identities_do_what_the_files_did(tmp_path: Path, held_out: list[Path]) -> None:
    """A packed store keeps the identities; without the files they find the same photos."""
    shutil.copy(held_out[0], tmp_path / "copy.png")
    recoded(photo(1), factor=0.5).save(tmp_path / "small.jpg")
    photo(99).save(tmp_path / "new.png")
    candidates = [tmp_path / name for name in ("new.png", "small.jpg", "copy.png")]
    known, wanted = (identify([Photo(p) for p in paths]) for paths in (candidates, held_out))
    assert same_identities(known, wanted) == {1: 1, 2: 0}
    assert same_identities(known.select([2, 0]), wanted) == {0: 0}


def test_no_held_out_photos_no_overlap(held_out: list[Path]) -> None:
    assert same_photos(held_out, []) == {}
    assert same_photos([], held_out) == {}


def test_voc_ids_match_across_years_although_the_pixels_differ(tmp_path: Path) -> None:
    old, new = tmp_path / "VOC2007/JPEGImages", tmp_path / "VOC2012/JPEGImages"
    elsewhere = tmp_path / "photos"
    for number, folder in enumerate((old, new, elsewhere)):
        folder.mkdir(parents=True)
        photo(number).save(folder / ("2007_000032.jpg" if folder == new else "000032.jpg"))
    photo(7).save(new / "2008_000032.jpg")
    assert same_photos(
        [new / "2007_000032.jpg", new / "2008_000032.jpg"], [old / "000032.jpg"]
    ) == {new / "2007_000032.jpg": old / "000032.jpg"}
    # Six digits are a VOC id in a VOC folder only.
    assert same_photos([elsewhere / "000032.jpg"], [old / "000032.jpg"]) == {}


def test_plain_images_are_not_taken_for_each_other(tmp_path: Path) -> None:
    for name, value in (("black", 0), ("white", 255)):
        Image.new("RGB", (50, 50), (value,) * 3).save(tmp_path / f"{name}.png")
    assert same_photos([tmp_path / "black.png"], [tmp_path / "white.png"]) == {}


def test_a_broken_candidate_is_named(tmp_path: Path, held_out: list[Path]) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.jpg is not an image"):
        same_photos([tmp_path / "bad.jpg"], held_out)
    with pytest.raises(InputError, match=r"cannot read .*absent\.jpg"):
        same_photos([tmp_path / "absent.jpg"], held_out)


def test_signature_of_a_ramp_by_hand() -> None:
    """Brightness grows to the right only: all 256 differences across are equal, all down are 0."""
    ramp = Image.fromarray(np.tile(np.repeat(np.arange(17, dtype=np.uint8) * 10, 4), (68, 1)))
    signature = difference_signature(ramp)
    np.testing.assert_allclose(signature[:256], 1 / 16, rtol=1e-5)
    np.testing.assert_allclose(signature[256:], 0, atol=1e-6)


@pytest.mark.shared_data
def test_the_threshold_lies_between_real_copies_and_real_strangers(shared_data: Path) -> None:
    """Why 0.95: half size at JPEG quality 40 on one side, other photos on the other."""
    paths = image_files(shared_data / "VOCdevkit" / "VOC2007" / "JPEGImages")[::20]
    paths += image_files(shared_data / "unlabeled" / "imagenet1k")[::10]
    images = [Image.open(path).convert("RGB") for path in paths]
    signatures = np.stack([difference_signature(image) for image in images])
    for factor, quality in ((1.0, 40), (0.5, 40)):
        copies = [difference_signature(recoded(image, factor, quality)) for image in images]
        assert (signatures * np.stack(copies)).sum(1).min() > SAME_PHOTO_CORRELATION
    softened = [difference_signature(i.filter(ImageFilter.GaussianBlur(1))) for i in images]
    assert (signatures * np.stack(softened)).sum(1).min() > SAME_PHOTO_CORRELATION
    strangers = signatures @ signatures.T - 2 * np.eye(len(images))
    assert strangers.max() < 0.9


@pytest.mark.shared_data
def test_voc2012_photos_of_2007_are_byte_for_byte_those_of_voc2007(shared_data: Path) -> None:
    """The id rule states a fact."""
    old, new = (VocYear(shared_data / "VOCdevkit", year) for year in (2007, 2012))
    pairs = [
        (path, old.root / "JPEGImages" / path.name.removeprefix("2007_"))
        for path in image_files(new.root / "JPEGImages")
        if path.name.startswith("2007_")
    ]
    pairs = [(path, twin) for path, twin in pairs if twin.is_file()]
    assert len(pairs) > 100
    assert all(path.read_bytes() == twin.read_bytes() for path, twin in pairs)
    assert same_photos([pairs[0][0]], [pairs[0][1]]) == dict(pairs[:1])


def test_files_of_one_content_are_found_without_decoding(tmp_path: Path) -> None:
    contents = {"a": b"one", "b": b"two", "c": b"longer", "d": b"two", "e": b"six"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    a, b, c, d, e = (tmp_path / name for name in contents)
    assert same_files([a, b, c], [d, e]) == {b: d}
    assert same_files([a, c], [d, e]) == {}
    assert same_files([], [d]) == {}
