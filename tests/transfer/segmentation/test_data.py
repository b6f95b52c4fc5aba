from pathlib import Path

import numpy as np
import pytest
import torch
from segmentation_scenes import CPU, SIZES, program, recipe, train_data

from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.sbd import Sbd
from cebench.errors import InputError
from cebench.models.caffenet import preprocess
from cebench.transfer.segmentation.data import (
    SegmentationSet,
    check_sides,
    find_images,
    find_sets,
    fingerprint,
    load,
    network_pixels,
    resize_labels,
    sample_crops,
)
from cebench.transfer.segmentation.prediction import write_label_png
from cebench.transfer.segmentation.recipe import SegmentationSetsRecipe, TrainData
from cebench.weights.files import Preprocessing


def sets_of(
    data: Path, year: int, kind: TrainData, train_set: str, test_set: str, test_images: int
) -> tuple[SegmentationSet, SegmentationSet]:
    recipe = SegmentationSetsRecipe(
        tier="smoke",
        year=year,
        train_data=kind,
        train_set=train_set,
        test_set=test_set,
        test_images=test_images,
    )
    return find_sets(recipe, data)


def test_crops_are_squares_of_image_and_labels_alike(devkit: Path) -> None:
    data = train_data(devkit)
    labels = data.labels_as_seen()
    pairs = sample_crops(data.images_as_seen(CPU), labels, 40, 32, 0, 3)
    bright = torch.stack([image[:, :, 0] > 125 for image, _ in pairs])
    dogs = torch.stack([labels for _, labels in pairs])
    sure = dogs != 255
    assert bright.shape == dogs.shape == (40, 32, 32)
    assert ((bright == (dogs == 12)) | ~sure).float().mean() > 0.98  # JPEG blurs the border.
    # The dog is on the left of its image, so on the right of a mirrored one.
    edges = [(d[:, 0] == 12).all() != (d[:, -1] == 12).all() for d in dogs]
    left = [bool((d[:, 0] == 12).all()) for d, edge in zip(dogs, edges, strict=True) if edge]
    assert 0 < sum(left) < len(left)
    again = sample_crops(data.images_as_seen(CPU), labels, 40, 32, 0, 3)
    assert all(
        torch.equal(a, b)
        for one, two in zip(pairs, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    sizes = list(zip(data.images.widths.tolist(), data.images.heights.tolist(), strict=True))
    check_sides(data.origin.photographs(), sizes, 64)
    with pytest.raises(InputError, match=r"000002\.jpg is seen at 64 x 128 and has no crop of 70"):
        check_sides(data.origin.photographs(), sizes, 70)


def test_a_dry_run_reads_from_headers_whether_crops_fit(devkit: Path) -> None:
    """A photograph is 64 x 128 pixels; at a shorter side of 80 it has crops of 70."""
    assert find_images(recipe(crop=64), devkit)["train"]
    assert find_images(recipe(crop=70, short_side=80), devkit)["train"]
    with pytest.raises(InputError, match=r"is seen at 64 x 128 and has no crop of 70"):
        find_images(recipe(crop=70), devkit)


def test_labels_are_resized_to_the_image_without_mixing() -> None:
    labels = np.array([[0, 0, 12, 12], [0, 0, 12, 12], [255, 255, 3, 3], [255, 255, 3, 3]], "uint8")
    assert resize_labels(labels, 2, 2).tolist() == [[0, 12], [255, 3]]
    assert resize_labels(labels, 4, 4) is labels
    large = resize_labels(
        np.random.default_rng(0).choice([0, 20, 255], (50, 70)).astype("uint8"), 33, 46
    )
    assert large.shape == (33, 46)
    assert set(np.unique(large)) <= {0, 20, 255}


def test_the_network_sees_resized_images_and_labels_of_one_size(devkit: Path) -> None:
    data = train_data(devkit, short_side=24)
    assert [tuple(labels.shape) for labels in data.labels_as_seen()] == [(24, 32), (48, 24)]
    assert [labels.shape for labels in data.labels] == [(96, 128), (128, 64)]
    subject = program(data)
    for image, labels in subject.batch(0):
        assert image.shape[-2:] == labels.shape[-2:]


@pytest.mark.parametrize(("train_set", "test_set"), [("trainval", "val"), ("train", "train")])
def test_sets_that_share_an_image_are_refused(devkit: Path, train_set: str, test_set: str) -> None:
    with pytest.raises(InputError, match="share"):
        sets_of(devkit, 2012, "voc", train_set, test_set, 0)


def test_a_part_of_an_overlapping_test_set_is_refused_too(devkit: Path) -> None:
    with pytest.raises(InputError, match="share 2 images"):
        sets_of(devkit, 2012, "voc", "train", "trainval", 1)


def test_labels_of_segmentation_class_aug_come_first_for_aug(devkit: Path) -> None:
    extra = devkit / "VOC2012" / "SegmentationClassAug"
    extra.mkdir()
    write_label_png(extra / "2008_000001.png", np.full((96, 128), 7, np.uint8))
    kinds: tuple[TrainData, ...] = ("voc", "aug")
    found = {kind: sets_of(devkit, 2012, kind, "train", "val", 0)[0] for kind in kinds}
    assert {kind: int(part.labels(0)[0, 0]) for kind, part in found.items()} == {
        "voc": 12,
        "aug": 7,
    }
    np.testing.assert_array_equal(found["aug"].labels(1), found["voc"].labels(1))
    assert fingerprint(found["aug"], found["voc"]) != fingerprint(found["voc"], found["voc"])


def test_the_set_without_sbds_photographs_may_be_scored_after_learning_sbd(
    devkit: Path, sbd: Path
) -> None:
    with pytest.raises(InputError, match="share 2 images"):
        sets_of(devkit, 2012, "sbd", "train", "trainval", 0)
    (devkit / "VOC2012/ImageSets/Segmentation/val.txt").write_text("".join(f"{i}\n" for i in SIZES))
    _, test = sets_of(devkit, 2012, "sbd", "train", "val_without_sbd", 0)
    assert test.ids == ("2008_000003",)


def test_voc2007_ids_are_known_by_their_later_names(tiny_voc: Path, sbd: Path) -> None:
    # Both trees lie in one folder; 000001 of VOC2007 is 2007_000001 in SBD.
    (sbd / "train.txt").write_text("2007_000001\n")
    with pytest.raises(InputError, match="2007_000001"):
        sets_of(tiny_voc, 2007, "sbd", "train", "val", 0)


def test_sbd_is_found_beside_the_devkit(devkit: Path, sbd: Path) -> None:
    for data in (devkit, devkit.parent, devkit / "VOC2012"):
        train_set, test_set = sets_of(data, 2012, "sbd", "train", "val", 0)
        assert isinstance(train_set.source, Sbd)
        assert train_set.ids == ("2008_000001", "2008_000002")
        assert test_set.ids == ("2008_000003",)
    assert load(train_set, 0).labels[0].tolist()[0] == [12] * 64 + [0] * 64


def test_missing_sbd_says_where_it_was_looked_for(devkit: Path) -> None:
    with pytest.raises(InputError, match=r"benchmark_RELEASE.*beside the VOCdevkit"):
        sets_of(devkit, 2012, "sbd", "train", "val", 0)


def test_a_label_image_of_another_size_is_named(devkit: Path) -> None:
    wrong = devkit / "VOC2012" / "SegmentationClass" / "2008_000002.png"
    write_label_png(wrong, np.zeros((20, 30), np.uint8))
    with pytest.raises(InputError, match=r"2008_000002\.png is 30 x 20 but its photograph"):
        train_data(devkit)


def test_the_fingerprint_knows_labels_and_roles(devkit: Path) -> None:
    sets = sets_of(devkit, 2012, "voc", "train", "val", 0)
    first = fingerprint(*sets)
    assert fingerprint(sets[1], sets[0]) != first
    label_file = sets[1].label_files()[0]
    labels = read_label_image(label_file)
    labels[0, 0] = 1
    write_label_png(label_file, labels)
    assert fingerprint(*sets) != first


def test_test_images_are_spread_over_the_list(tmp_path: Path, devkit: Path) -> None:
    everything = tmp_path / "list.txt"
    everything.write_text("".join(f"2009_{i:06d}\n" for i in range(10)))
    _, part = sets_of(devkit, 2012, "voc", "train", str(everything), 3)
    assert part.ids == ("2009_000000", "2009_000003", "2009_000006")


def test_pixels_of_caffenet_are_the_same_bits_in_the_same_order_in_memory() -> None:
    images = torch.randint(0, 256, (2, 3, 37, 53), generator=torch.Generator().manual_seed(0))
    found, expected = network_pixels(images.byte(), Preprocessing()), preprocess(images.byte())
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()
