from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cebench.data.photos import Photo
from cebench.data.store.packing import prepare_store
from cebench.errors import InputError
from cebench.pretrain.crops import Crops
from cebench.pretrain.sources import bytes_of, find_images, load_source

SHORT_SIDE = 24


def blobs(seed: int, width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours: distinct seeds are distinct photos."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos in the classes cat and dog, one of them turned by its EXIF orientation."""
    folder = tmp_path / "photos"
    turned = Image.Exif()
    turned[0x0112] = 6
    for seed in range(6):
        path = folder / ("dog" if seed % 2 else "cat") / f"{seed}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        blobs(seed).save(path, exif=turned if seed == 3 else Image.Exif())
    return folder


@pytest.fixture
def store(photos: Path, tmp_path: Path) -> Path:
    prepare_store([photos], tmp_path / "store", short_side=SHORT_SIDE)
    return tmp_path / "store"


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Photos 0 and 4 under other names, sizes and qualities."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    blobs(0).resize((120, 80)).save(folder / "x.png")
    blobs(4).save(folder / "y.jpg", quality=60)
    return folder


@pytest.mark.parametrize("excluding", [False, True])
def test_a_store_gives_the_batches_fingerprint_and_labels_of_its_files(
    photos: Path, store: Path, held_out: Path, excluding: bool
) -> None:
    exclude = [held_out] if excluding else []
    files, packed = (load_source([d], exclude, "train", SHORT_SIDE) for d in (photos, store))
    assert len(packed.images) == len(files.images) == (4 if excluding else 6)
    assert packed.fingerprint == files.fingerprint
    assert packed.classes == files.classes == ("cat", "dog")
    assert files.labels is not None
    assert packed.labels is not None
    assert packed.labels.tolist() == files.labels.tolist()
    assert files.labels.tolist() == ([0, 1, 1, 1] if excluding else [0, 0, 0, 1, 1, 1])
    crops = [Crops(s.images, 20, 1, 0, torch.device("cpu")) for s in (files, packed)]
    for step in range(3):
        first, second = (c.batch(step, 8) for c in crops)
        assert torch.equal(first, second)


@pytest.mark.parametrize("packed", [False, True])
def test_a_sample_is_all_that_is_decoded_and_has_the_fingerprint_of_the_whole(
    photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    data = [store if packed else photos]
    whole = load_source(data, [], "train", SHORT_SIDE)
    decoded: list[str] = []
    resized = Photo.resized

    def noted(photo: Photo, short_side: int | None) -> Image.Image:
        decoded.append(photo.name)
        return resized(photo, short_side)

    monkeypatch.setattr(Photo, "resized", noted)
    sample = load_source(
        data, [], "train", SHORT_SIDE, sample=lambda count: np.array([count - 1, 0])
    )
    assert sorted(decoded) == ([] if packed else ["cat/0.jpg", "dog/5.jpg"])
    assert sample.fingerprint == whole.fingerprint
    assert len(sample.images) == 2
    assert torch.equal(sample.images.image(0), whole.images.image(5))
    assert torch.equal(sample.images.image(1), whole.images.image(0))


def test_exclusion_needs_no_source_once_the_store_is_made(
    photos: Path, store: Path, held_out: Path
) -> None:
    for path in photos.rglob("*.jpg"):
        path.unlink()
    found, excluded = find_images([store], [held_out], "train")
    assert (len(found), excluded) == (4, 2)


def test_photos_are_turned_as_a_viewer_shows_them(photos: Path) -> None:
    source = load_source([photos], [], "train", SHORT_SIDE)
    tall = source.images.heights > source.images.widths
    assert tall.tolist() == [False, False, False, False, True, False]


def test_labels_need_a_class_for_every_image(photos: Path) -> None:
    blobs(9).save(photos / "stray.png")
    source = load_source([photos], [], "train", SHORT_SIDE)
    assert source.labels is None
    assert source.classes == ()


def test_sizes_are_those_of_the_files_or_of_the_pixels(photos: Path, store: Path) -> None:
    on_disk = sum(path.stat().st_size for path in photos.rglob("*.jpg"))
    assert bytes_of(find_images([photos], [], "train")[0]) == on_disk
    assert bytes_of(find_images([store], [], "train")[0]) == 6 * 3 * 24 * 36


def test_a_store_of_another_size_says_how_to_make_the_right_one(photos: Path, store: Path) -> None:
    with pytest.raises(InputError, match="the recipe needs short_side 48") as caught:
        load_source([store], [], "train", 48)
    command = f"cebench data prepare {photos} --short-side 48 --out {store}-48"
    assert str(caught.value).endswith(command)


def test_a_store_of_another_image_set_of_voc_is_refused(
    tiny_voc: Path, photos: Path, tmp_path: Path
) -> None:
    sources, out = [photos, tiny_voc / "VOC2007"], tmp_path / "voc"
    prepare_store(sources, out, short_side=SHORT_SIDE, voc_image_set="val")
    load_source([out], [], "val", SHORT_SIDE)
    shown = f"cebench data prepare {photos} {sources[1]} --voc-image-set"
    with pytest.raises(InputError, match="image set val, the recipe asks for train") as caught:
        find_images([out], [], "train")
    assert str(caught.value).endswith(
        "--set voc_image_set=val, or make one: "
        f"{shown} train --short-side {SHORT_SIDE} --out {out}-train"
    )
    with pytest.raises(InputError, match=f"{shown} val --short-side 48 --out {out}-48"):
        load_source([out], [], "val", 48)


def test_a_store_without_photos_of_voc_suits_every_image_set(store: Path) -> None:
    assert len(find_images([store], [], "trainval")[0]) == 6


def test_a_store_stands_alone_and_is_finished(photos: Path, store: Path) -> None:
    with pytest.raises(InputError, match="a packed store stands alone"):
        find_images([photos, store], [], "train")
    (store / "manifest.json").unlink()
    with pytest.raises(InputError, match="an unfinished store"):
        find_images([store], [], "train")


def test_nothing_left_to_learn_is_a_mistake(photos: Path, store: Path) -> None:
    with pytest.raises(InputError, match="nothing is left to learn"):
        find_images([store], [photos], "train")


def test_a_fingerprint_knows_classes_only_where_they_are_learned(photos: Path, store: Path) -> None:
    def found(data: Path, by_class: bool) -> str:
        return load_source([data], [], "train", SHORT_SIDE, by_class=by_class).fingerprint

    before = {by_class: found(photos, by_class) for by_class in (False, True)}
    assert found(store, True) == before[True] != before[False]
    (photos / "cat" / "0.jpg").rename(photos / "dog" / "0.jpg")
    assert found(photos, False) == before[False]
    assert found(photos, True) != before[True]
