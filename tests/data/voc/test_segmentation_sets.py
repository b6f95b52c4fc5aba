from pathlib import Path

import pytest

from cebench.data.voc.devkit import VocYear
from cebench.data.voc.segmentation_sets import SEG11VALID_YEARS, segmentation_ids, without
from cebench.errors import InputError

YEARS = dict.fromkeys(("2007", "2008", "2009", "2010", "2011"), 40)


def write_list(path: Path, ids: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{image_id}\n" for image_id in ids))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """VOC2011 val: 40 images of each year; VOC2012 val: one more; SBD has some of both."""
    val11 = [f"{year}_{number:06d}" for year, count in YEARS.items() for number in range(count)]
    sets = "ImageSets/Segmentation/val.txt"
    write_list(tmp_path / "VOCdevkit/VOC2011" / sets, val11)
    write_list(tmp_path / "VOCdevkit/VOC2012" / sets, [*val11, "2011_900000"])
    sbd = tmp_path / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (sbd / folder).mkdir(parents=True)
    write_list(sbd / "train.txt", ["2009_000003", "2011_000039", "2010_123456"])
    return tmp_path


def test_seg11valid_is_voc2011_val_without_sbd_train(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voc = VocYear(data / "VOCdevkit", 2012)
    ids = segmentation_ids(voc, "seg11valid", data / "VOCdevkit")
    assert "seg11valid has 198 images" in caplog.text
    assert "a part of it; expected 736" in caplog.text
    assert len(ids) == 200 - 2
    assert ids == sorted(ids)
    assert "2011_900000" not in ids
    assert not {"2009_000003", "2011_000039"} & {*ids}


def test_the_other_reading_is_the_given_years_val_without_sbd_train(data: Path) -> None:
    for year, count in ((2011, 198), (2012, 199)):
        voc = VocYear(data, year)
        assert len(segmentation_ids(voc, "val_without_sbd", data)) == count


def test_a_stored_list_of_that_name_is_taken(data: Path) -> None:
    write_list(data / "VOCdevkit/VOC2012/ImageSets/Segmentation/seg11valid.txt", ["2007_000001"])
    assert segmentation_ids(VocYear(data, 2012), "seg11valid", data) == ["2007_000001"]


def test_voc2007_ids_are_known_by_their_later_names(data: Path) -> None:
    write_list(data / "VOCdevkit/VOC2007/ImageSets/Segmentation/val.txt", ["000001", "000002"])
    write_list(data / "benchmark_RELEASE/dataset/train.txt", ["2007_000002"])
    assert segmentation_ids(VocYear(data, 2007), "val_without_sbd", data) == ["000001"]
    assert without(["2007_000001", "2008_000001"], 2012, ["000001"], 2007) == ["2008_000001"]


def test_what_is_missing_is_said_with_a_way_out(data: Path) -> None:
    (data / "benchmark_RELEASE/dataset/train.txt").unlink()
    voc = VocYear(data, 2012)
    with pytest.raises(
        InputError, match=r"needs both lists.*train.*or the list itself as .*seg11v"
    ):
        segmentation_ids(voc, "seg11valid", data)
    (data / "VOCdevkit/VOC2011").rename(data / "elsewhere")
    with pytest.raises(InputError, match=r"VOC2011 val without SBD train.*no VOC2011"):
        segmentation_ids(voc, "seg11valid", data)


def test_seg11valid_has_no_meaning_before_2011(data: Path) -> None:
    write_list(data / "VOCdevkit/VOC2007/ImageSets/Segmentation/val.txt", ["000001"])
    with pytest.raises(InputError, match="not of VOC2007"):
        segmentation_ids(VocYear(data, 2007), "seg11valid", data)


def test_complete_lists_must_give_the_known_736_images(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voc = VocYear(data, 2012)
    known = [f"{y}_{n:06d}" for y, count in SEG11VALID_YEARS.items() for n in range(count)]
    assert len(known) == 736
    write_list(data / "VOCdevkit/VOC2011/ImageSets/Segmentation/val.txt", [*known, "2010_123456"])
    write_list(data / "benchmark_RELEASE/dataset/train.txt", ["2009_700000", "2010_123456", "x"])
    assert segmentation_ids(voc, "seg11valid", data) == known
    assert not caplog.text
    # An image that SBD's list lost is one too many; so it is in a list stored by that name.
    write_list(data / "benchmark_RELEASE/dataset/train.txt", ["2009_700000", "x"])
    with pytest.raises(InputError, match=r"has 737 images, by year .*'2010': 102.*expected 736"):
        segmentation_ids(voc, "seg11valid", data)
    stored = data / "VOCdevkit/VOC2012/ImageSets/Segmentation/seg11valid.txt"
    write_list(stored, [*known, "2011_999999"])
    with pytest.raises(InputError, match="has 737 images"):
        segmentation_ids(voc, "seg11valid", data)


@pytest.mark.shared_data
def test_the_part_that_is_here_of_the_real_lists(shared_data: Path) -> None:
    voc = VocYear(shared_data, 2012)
    validation = voc.ids("val", "Segmentation")
    ids = segmentation_ids(voc, "val_without_sbd", shared_data)
    assert set(ids) <= set(validation)
    learned = (shared_data / "benchmark_RELEASE/dataset/train.txt").read_text().split()
    assert set(validation) - set(ids) == set(validation) & set(learned)
