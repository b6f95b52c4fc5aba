import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.verify import OFFICIAL_COUNTS, ClassCount, Findings, data_sets_at
from cebench.errors import InputError


def verify_tree(path: Path) -> tuple[Findings, ...]:
    return tuple(verify(lambda done, total: None) for verify in data_sets_at(path).values())


def test_a_whole_devkit_is_counted(tiny_voc: Path) -> None:
    (found,) = verify_tree(tiny_voc)
    assert (found.kind, found.images, found.boxes, found.difficult) == ("VOC2007", 3, 4, 2)
    assert found.problems == ()
    assert found.masks == 1
    # A frame of one pixel around 20 x 20 in an image of 60 x 80.
    assert (found.pixels, found.void_pixels) == (4800, 22 * 22 - 400)
    assert found.void_share == pytest.approx((22 * 22 - 400) / 4800)
    assert found.sets["Main/train"] == 2
    assert found.sets["Segmentation/val"] == 1
    assert "Main/dog_train" not in found.sets
    assert found.per_class["dog"] == ClassCount(2, 1, 2, 1, pixels=400)
    assert found.per_class["sheep"] == ClassCount()


def test_every_missing_or_broken_file_has_its_line(tiny_voc: Path) -> None:
    root = tiny_voc / "VOC2007"
    (root / "JPEGImages" / "000001.jpg").unlink()
    (root / "Annotations" / "000002.xml").write_text("<annotation>")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "JPEGImages" / "000003.jpg")
    (root / "SegmentationClass" / "000001.png").unlink()
    (root / "ImageSets" / "Main" / "extra.txt").write_text("")
    (found,) = verify_tree(tiny_voc)
    assert found.images == 2
    expected = [
        "extra.txt is empty",
        "JPEGImages/000001.jpg does not exist",
        "SegmentationClass/000001.png does not exist",
        "000002.xml is no readable XML",
        "000003: the annotation is for 50 x 50 pixels, the image has 9 x 9",
    ]
    assert len(found.problems) == len(expected)
    for line, part in zip(found.problems, expected, strict=True):
        assert part in line
        assert "\n" not in line


def test_both_label_images_of_a_photograph_are_read(tiny_voc: Path) -> None:
    root = tiny_voc / "VOC2007"
    (root / "SegmentationClassAug").mkdir()
    own = root / "SegmentationClass" / "000001.png"
    shutil.copy(own, root / "SegmentationClassAug" / "000001.png")
    (found,) = verify_tree(tiny_voc)
    assert (found.masks, found.problems) == (1, ())
    (root / "SegmentationClassAug" / "000001.png").write_text("nothing")
    (found,) = verify_tree(tiny_voc)
    assert [line for line in found.problems if "SegmentationClassAug/000001.png" in line]
    assert (found.masks, len(found.problems)) == (1, 1)


def test_answers_of_a_test_set_may_be_withheld(tiny_voc: Path) -> None:
    main = tiny_voc / "VOC2007" / "ImageSets" / "Main"
    (main / "test.txt").write_text("000004\n")
    image = tiny_voc / "VOC2007" / "JPEGImages" / "000004.jpg"
    shutil.copy(image.with_name("000001.jpg"), image)
    (found,) = verify_tree(tiny_voc)
    assert found.images == 4
    assert found.problems == ()


def test_a_devkit_beside_a_folder_of_images_gives_both(tiny_voc: Path) -> None:
    unlabeled = tiny_voc.parent / "unlabeled"
    unlabeled.mkdir()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(unlabeled / "a.png")
    (unlabeled / "b.jpg").write_bytes(b"no image")
    devkit, images = verify_tree(tiny_voc.parent)
    assert (devkit.kind, images.kind, images.images) == ("VOC2007", "images", 1)
    assert len(images.problems) == 1
    assert "b.jpg is not an image" in images.problems[0]


def test_beside_a_devkit_linked_folders_count_and_hidden_files_do_not(tiny_voc: Path) -> None:
    elsewhere = tiny_voc / "VOC2007" / "JPEGImages"
    for name in ("photos", "notes/.cache"):
        (tiny_voc.parent / name).mkdir(parents=True)
    (tiny_voc.parent / "photos" / "linked").symlink_to(elsewhere)
    shutil.copy(elsewhere / "000001.jpg", tiny_voc.parent / "notes" / ".cache")
    assert list(data_sets_at(tiny_voc.parent)) == ["VOC2007", "photos"]


def test_a_year_without_a_readable_image_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "VOC2012").mkdir()
    (found,) = verify_tree(tmp_path)
    assert found.problems == (f"{tmp_path / 'VOC2012'}: no readable image",)


def test_every_image_of_a_shard_is_decoded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, content in (("0.png", whole), ("1.png", whole[:-20])):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for place in (tmp_path, tmp_path / "0.tar"):
        (found,) = verify_tree(place)
        assert (found.kind, found.images) == ("shards", 1)
        (problem,) = found.problems
        assert "1.png is truncated or damaged" in problem


def test_what_is_no_data_set_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no images below"):
        verify_tree(tmp_path)
    with pytest.raises(InputError, match="does not exist; expected a VOCdevkit"):
        verify_tree(tmp_path / "absent")


@pytest.mark.shared_data
def test_a_real_sbd_tree_is_counted(shared_data: Path) -> None:
    (found,) = verify_tree(shared_data / "benchmark_RELEASE")
    assert (found.kind, found.images, found.masks, found.problems) == ("SBD", 80, 80, ())
    assert sum(found.sets.values()) == 80


def test_official_train_and_val_are_trainval() -> None:
    for kind in ("VOC2007", "VOC2011", "VOC2012"):
        of = OFFICIAL_COUNTS[kind]
        assert of["Segmentation/train"] + of["Segmentation/val"] == of["Segmentation/trainval"]
    assert OFFICIAL_COUNTS["VOC2012"]["Segmentation/seg11valid"] == 736
