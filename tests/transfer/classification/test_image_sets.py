from pathlib import Path

import pytest
from classification_scenes import recipe, run

from cebench.errors import InputError


def test_sets_that_share_an_image_are_refused(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train set trainval and test set test share 3 images"):
        run(recipe(train_set="trainval", test_set="test"), devkit, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", "", "the list .*list.txt is empty"),
        ("list.txt", "000003\n000003\n", "line 2: 000003 is listed twice"),
        ("list.txt", "../../secret\n", "is no VOC image id"),
        ("list.txt", "000009\n", "000009.xml does not exist, but an image set names 000009"),
        ("vals", None, "no image set .*vals.txt; VOC2007 has in ImageSets/Main: test, train"),
    ],
)
def test_bad_lists_are_named(
    devkit: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    given = name
    if content is not None:
        given = str(tmp_path / name)
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        run(recipe(test_set=given), devkit, tmp_path / "run")


def test_an_absent_and_a_truncated_image_are_named(devkit: Path, tmp_path: Path) -> None:
    path = devkit / "VOC2007" / "JPEGImages" / "000004.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"000004\.jpg"):
        run(recipe(), devkit, tmp_path / "run")
    path.unlink()
    with pytest.raises(InputError, match=r"000004\.jpg does not exist"):
        run(recipe(), devkit, tmp_path / "run")


def test_an_image_without_a_label_is_named(devkit: Path, tmp_path: Path) -> None:
    labels = devkit / "VOC2007" / "ImageSets" / "Main" / "cat_val.txt"
    labels.write_text("000003 -1\n")
    with pytest.raises(InputError, match=r"cat_val\.txt has no line for 000004"):
        run(recipe(), devkit, tmp_path / "run")


def test_classes_without_positives_are_said_and_left_out(
    devkit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="cebench"):
        run(recipe(test_crops=1), devkit, tmp_path / "run")
    train, test = (record.message for record in caplog.records)
    assert train.startswith("train: no image shows aeroplane, bicycle,")
    assert "dog" not in train
    assert test.startswith("val: no image shows aeroplane,")
    assert test.endswith("they are left out of the means")


def test_a_test_set_without_any_object_is_refused(tiny_voc: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image shows an object"):
        run(recipe(), tiny_voc, tmp_path / "run")


@pytest.mark.slow
def test_the_fingerprint_follows_pixels_labels_and_lists(devkit: Path, tmp_path: Path) -> None:
    plain = run(recipe(), devkit, tmp_path / "a").data_fingerprint
    assert run(recipe(), devkit, tmp_path / "b", seed=1).data_fingerprint == plain
    labels = devkit / "VOC2007" / "ImageSets" / "Main" / "cat_val.txt"
    labels.write_text(labels.read_text().replace("000003 -1", "000003 1"))
    assert run(recipe(), devkit, tmp_path / "c").data_fingerprint != plain


@pytest.mark.parametrize("option", ["train_set", "test_set"])
def test_a_set_that_shows_nothing_is_refused(devkit: Path, tmp_path: Path, option: str) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("000003\n")
    others = {"train_set": "train", "test_set": "train", option: str(empty)}
    with pytest.raises(InputError, match=r"empty\.txt: no image shows an object of any class"):
        run(recipe(**others), devkit, tmp_path / "run")
