from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOC_CLASSES, VocYear
from cebench.data.voc.palette import voc_palette
from cebench.errors import InputError

DOG, PERSON = VOC_CLASSES.index("dog"), VOC_CLASSES.index("person")


@pytest.fixture
def voc(tiny_voc: Path) -> VocYear:
    return VocYear(tiny_voc, 2007)


def write_xml(
    voc: VocYear, objects: str, size: str = "<size><width>80</width><height>60</height></size>"
) -> Path:
    path = voc.root / "Annotations" / "000001.xml"
    path.write_text(f"<annotation>{size}{objects}</annotation>")
    return path


def one_object(box: tuple[float | str, ...], name: str = "dog", extra: str = "") -> str:
    corners = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def test_boxes_lose_one_pixel_at_the_upper_left_and_none_at_the_lower_right(voc: VocYear) -> None:
    """The devkit's 11..30 inclusive are 20 columns, which begin at 10 and end before 30."""
    first = voc.annotation("000001")
    assert (first.width, first.height) == (80, 60)
    assert first.boxes.tolist() == [[10, 20, 30, 40], [0, 0, 80, 60]]
    assert first.boxes.dtype == np.float32
    assert first.labels.tolist() == [DOG, PERSON]
    assert first.difficult.tolist() == [False, True]


def test_a_box_of_one_pixel_has_area_one(voc: VocYear) -> None:
    second = voc.annotation("000002")
    assert second.boxes.tolist() == [[4, 5, 5, 6], [59, 39, 64, 48]]
    assert second.truncated.tolist() == [True, False]


def test_an_image_without_objects_has_empty_arrays(voc: VocYear) -> None:
    third = voc.annotation("000003")
    assert third.boxes.shape == (0, 4)
    assert third.labels.shape == third.difficult.shape == third.truncated.shape == (0,)
    assert third.labels.dtype == np.int64
    assert third.difficult.dtype == np.bool_


def test_the_box_cuts_the_object_out_of_its_label_image(voc: VocYear) -> None:
    x0, y0, x1, y1 = voc.annotation("000001").boxes[0].astype(int)
    labels = voc.segmentation("000001")
    assert (labels[y0:y1, x0:x1] == 1 + DOG).all()
    assert np.count_nonzero(labels == 1 + DOG) == (x1 - x0) * (y1 - y0)
    assert set(np.unique(labels)) == {0, 1 + DOG, 255}
    assert SEGMENTATION_CLASSES[1 + DOG] == "dog"


def test_absent_flags_are_0_parts_are_ignored_and_floats_are_kept(voc: VocYear) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    write_xml(voc, one_object(("10.5", " 3 ", "20.25", "44"), "person", extra=part))
    person = voc.annotation("000001")
    assert person.boxes.tolist() == [[9.5, 2, 20.25, 44]]
    assert person.labels.tolist() == [PERSON]
    assert not person.difficult[0]
    assert not person.truncated[0]


@pytest.mark.parametrize(
    "box",
    [
        (0, 1, 5, 5),  # 0 is left of the first pixel
        (1, 1, 81, 5),
        (1, 1, 5, 61),
        (9, 1, 8, 5),
        (1, 7, 5, 6),
        (-3, -3, -1, -1),
    ],
)
def test_a_box_that_is_empty_or_outside_names_xml_object_and_size(
    voc: VocYear, box: tuple[float | str, ...]
) -> None:
    path = write_xml(voc, one_object(box))
    with pytest.raises(InputError, match=r"of a dog is empty or outside the 80 x 60") as caught:
        voc.annotation("000001")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (one_object((1, 1, 5, 5), name="unicorn"), "'unicorn' is none of the 20 VOC classes"),
        (one_object((1, 1, "wide", 5)), "bndbox/xmax is 'wide', expected a number"),
        (one_object((1, 1, "nan", 5)), "bndbox/xmax is 'nan', expected a finite number"),
        ("<object><name>dog</name></object>", "bndbox/xmin is missing"),
        (
            one_object((1, 1, 5, 5), extra="<difficult>maybe</difficult>"),
            "difficult is 'maybe', expected 0 or 1",
        ),
    ],
)
def test_a_bad_field_is_named(voc: VocYear, xml: str, message: str) -> None:
    write_xml(voc, xml)
    with pytest.raises(InputError, match=message):
        voc.annotation("000001")


def test_a_bad_image_size_is_named(voc: VocYear) -> None:
    write_xml(voc, "", size="")
    with pytest.raises(InputError, match="size/width is missing"):
        voc.annotation("000001")
    write_xml(voc, "", size="<size><width>0</width><height>5</height></size>")
    with pytest.raises(InputError, match="image size is 0 x 5"):
        voc.annotation("000001")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation><size>",
        "not xml",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
        '<?xml version="1.0" encoding="no-such"?><annotation/>',
    ],
    ids=["empty", "cut off", "text", "entity", "encoding"],
)
def test_broken_xml_is_named_in_one_line(voc: VocYear, text: str) -> None:
    path = voc.root / "Annotations" / "000001.xml"
    path.write_text(text)
    with pytest.raises(InputError, match="is no readable XML") as caught:
        voc.annotation("000001")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_files_are_named_with_their_image(voc: VocYear) -> None:
    for suffix, folder, read in (
        (".jpg", "JPEGImages", voc.image),
        (".xml", "Annotations", voc.annotation),
        (".png", "SegmentationClass", voc.segmentation),
    ):
        (voc.root / folder / f"000001{suffix}").unlink()
        with pytest.raises(InputError, match=f"000001.{suffix[1:]} does not exist"):
            read("000001")


@pytest.mark.parametrize("up", ["", "..", "VOC2007"])
def test_the_devkit_its_parent_or_the_year_itself_may_be_given(tiny_voc: Path, up: str) -> None:
    assert VocYear(tiny_voc / up, 2007).ids("val") == ["000003"]


def test_a_missing_year_names_those_that_exist(tiny_voc: Path) -> None:
    (tiny_voc / "VOC2010").mkdir()
    with pytest.raises(InputError, match="has no VOC2012: it holds VOC2007, VOC2010"):
        VocYear(tiny_voc, 2012)
    with pytest.raises(InputError, match="it holds none"):
        VocYear(tiny_voc / "VOC2007" / "JPEGImages", 2007)
    with pytest.raises(InputError, match="does not exist"):
        VocYear(tiny_voc / "nowhere", 2007)


def test_sets_are_read_in_order_whatever_their_line_ends(voc: VocYear) -> None:
    path = voc.root / "ImageSets" / "Main" / "odd.txt"
    path.write_bytes("\ufeff000003 \r\n\r\n  000001  1\r\n000002".encode())
    assert voc.ids("odd") == voc.ids(path) == voc.ids(str(path)) == ["000003", "000001", "000002"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("000001\n../../secret\n", "line 2: '../../secret' is no VOC image id"),
        ("000001\n000001\n", "line 2: 000001 is listed twice"),
        ("\xff\xfe", "is no VOC image id"),
    ],
)
def test_a_bad_list_is_named(voc: VocYear, content: str, message: str) -> None:
    path = voc.root / "ImageSets" / "Main" / "bad.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        voc.ids("bad")
    assert str(path) in str(caught.value)


def test_an_unknown_set_names_those_that_exist(voc: VocYear) -> None:
    with pytest.raises(InputError, match=r"ImageSets/Main: test, train, trainval, val;"):
        voc.ids("validation")
    with pytest.raises(InputError, match=r"ImageSets/Segmentation: train, trainval, val;"):
        voc.ids("test", kind="Segmentation")


def test_ids_cannot_leave_the_devkit(voc: VocYear) -> None:
    with pytest.raises(InputError, match="is no VOC image id"):
        voc.image_path("../../secret")


def test_class_labels_from_files_and_from_boxes_agree(voc: VocYear) -> None:
    ids = voc.ids("trainval")
    labels = voc.class_labels("trainval", ids)
    assert labels.shape == (3, 20)
    assert labels.dtype == np.int8
    assert labels[:, DOG].tolist() == [1, 0, -1]
    assert labels[:, PERSON].tolist() == [0, 1, -1]
    others = [c for c in range(20) if c not in (DOG, PERSON)]
    assert (labels[:, others] == -1).all()
    list_file = voc.root / "ImageSets" / "Main" / "trainval.txt"
    np.testing.assert_array_equal(voc.class_labels(list_file, ids), labels)


def test_class_labels_are_read_from_the_files_where_these_exist(voc: VocYear) -> None:
    path = voc.root / "ImageSets" / "Main" / "sheep_val.txt"
    path.write_text("000003  1\n")
    assert voc.class_labels("val", ["000003"])[0, VOC_CLASSES.index("sheep")] == 1
    path.write_text("000003  2\n")
    with pytest.raises(InputError, match=r"sheep_val.txt: 000003 has '2', expected 1, 0 or -1"):
        voc.class_labels("val", ["000003"])
    path.write_text("000001 -1\n")
    with pytest.raises(InputError, match=r"sheep_val.txt has no line for 000003"):
        voc.class_labels("val", ["000003"])


def test_label_values_outside_voc_are_named(voc: VocYear) -> None:
    Image.fromarray(np.full((60, 80), 77, np.uint8)).save(voc.segmentation_path("000001"))
    with pytest.raises(InputError, match=r"000001.png: label 77 is none of VOC's"):
        voc.segmentation("000001")


def test_sbd_labels_as_png_fill_the_gaps_and_the_devkits_own_come_first(voc: VocYear) -> None:
    folder = voc.root / "SegmentationClassAug"
    folder.mkdir()
    for image_id in ("000001", "000002"):
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(folder / f"{image_id}.png")
    assert (voc.segmentation("000002") == 9).all()
    assert voc.segmentation("000001").shape == (60, 80)


def test_palette_has_the_devkits_colours() -> None:
    palette = voc_palette()
    assert palette.shape == (256, 3)
    assert palette[0].tolist() == [0, 0, 0]
    assert palette[1].tolist() == [128, 0, 0]  # aeroplane
    assert palette[15].tolist() == [192, 128, 128]  # person
    assert palette[20].tolist() == [0, 64, 128]  # tvmonitor
    assert palette[255].tolist() == [224, 224, 192]  # void


def test_pixels_and_labels_equal_torchvisions_readers(voc: VocYear) -> None:
    reader = torchvision.datasets.VOCSegmentation(voc.root.parent.parent, "2007", "train")
    image, labels = reader[0]
    np.testing.assert_array_equal(voc.image("000001"), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(voc.segmentation("000001"), np.asarray(labels))


@pytest.mark.shared_data
@pytest.mark.parametrize("image_set", ["train", "val", "test"])
def test_every_real_annotation_loads_and_explains_the_class_files(
    shared_data: Path, image_set: str
) -> None:
    voc = VocYear(shared_data / "VOCdevkit", 2007)
    ids = voc.ids(image_set)
    derived = voc.class_labels(voc.root / "ImageSets" / "Main" / f"{image_set}.txt", ids)
    np.testing.assert_array_equal(derived, voc.class_labels(image_set, ids))


@pytest.mark.shared_data
def test_real_boxes_agree_with_torchvisions_reader(shared_data: Path) -> None:
    voc = VocYear(shared_data / "VOCdevkit", 2007)
    reader = torchvision.datasets.VOCDetection(shared_data, "2007", "val")
    for index, image_id in list(enumerate(voc.ids("val")))[::100]:
        image, target = reader[index]
        np.testing.assert_array_equal(voc.image(image_id), np.asarray(image.convert("RGB")))
        objects = target["annotation"]["object"]
        theirs = [[int(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
        ours = voc.annotation(image_id)
        np.testing.assert_array_equal(ours.boxes + np.array([1, 1, 0, 0]), theirs)
        assert [VOC_CLASSES[label] for label in ours.labels] == [o["name"] for o in objects]


@pytest.mark.shared_data
def test_the_palette_is_that_of_the_real_label_images(shared_data: Path) -> None:
    voc = VocYear(shared_data / "VOCdevkit", 2007)
    path = voc.segmentation_path(voc.ids("val", kind="Segmentation")[0])
    with Image.open(path) as image:
        theirs = np.array(image.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(theirs, voc_palette()[: len(theirs)])
