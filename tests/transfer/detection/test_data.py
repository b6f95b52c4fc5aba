from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import RECIPE, write_devkit
from PIL import Image

from cebench.data.proposals.files import Proposals, save_proposals
from cebench.data.proposals.selective_search import SelectiveSearch
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError
from cebench.models.fast_rcnn import FAST_RCNN_MEAN_RGB
from cebench.transfer.detection.data import (
    data_fingerprint,
    flip_boxes,
    network_image,
    proposals_of,
    read_set,
    stack_images,
    subset,
)


def test_set_without_objects_and_wrong_sizes_are_refused(devkit: Path, tmp_path: Path) -> None:
    voc = VocYear(devkit, 2007)
    with pytest.raises(InputError, match=r"bare: the 1 images .* show no object"):
        read_set(voc, "bare", voc.ids("bare"))
    other = VocYear(write_devkit(tmp_path / "VOCdevkit"), 2007)
    Image.new("RGB", (90, 80)).save(other.image_path("000001"))
    with pytest.raises(InputError, match=r"000001\.jpg is 90 x 80 but its annotation says 100"):
        read_set(other, "train", other.ids("train"))


def test_the_fingerprint_knows_which_images_were_learned_from(tmp_path: Path) -> None:
    devkit = write_devkit(tmp_path / "VOCdevkit")
    sets = devkit / "VOC2007" / "ImageSets" / "Main"
    for name, ids in {"a": "000001 000002", "b": "000011"}.items():
        (sets / f"{name}.txt").write_text(ids.replace(" ", "\n"))

    def fingerprint_of(train: str, test: str) -> str:
        roles = {"train_set": train, "test_set": test}
        return data_fingerprint(RECIPE.model_copy(update=roles), devkit, "proposals")

    in_order = fingerprint_of("a", "b")
    assert in_order == fingerprint_of("a", "b") != fingerprint_of("b", "a")
    (sets / "first.txt").write_text("000001")
    (sets / "rest.txt").write_text("000002\n000011")
    assert fingerprint_of("first", "rest") != in_order
    (sets / "a.txt").write_text("000002\n000001")
    assert fingerprint_of("a", "b") != in_order


def test_mirrored_boxes_hold_what_the_boxes_held() -> None:
    pixels = np.zeros((6, 10, 3), np.uint8)
    pixels[1:4, 2:5] = 255
    boxes = np.array([[2, 1, 5, 4]], np.float32)
    flipped = flip_boxes(boxes, width=10)
    x0, y0, x1, y1 = flipped[0].astype(int)
    assert (pixels[:, ::-1][y0:y1, x0:x1] == 255).all()
    np.testing.assert_array_equal(flip_boxes(flipped, 10), boxes)


@pytest.mark.parametrize(
    ("height", "width", "shape", "scale"),
    [(375, 500, (600, 800), 1.6), (500, 200, (1000, 400), 2.0), (600, 1000, (600, 1000), 1.0)],
)
def test_network_image_has_the_protocols_sides(
    height: int, width: int, shape: tuple[int, int], scale: float
) -> None:
    image, found = network_image(np.zeros((height, width, 3), np.uint8), 600, 1000)
    assert image.shape == (3, *shape)
    assert found == scale
    # Black minus the mean pixel.
    np.testing.assert_allclose(image[:, 5, 7], [-122.7717, -115.9465, -102.9801], rtol=1e-6)


def test_padding_is_zero_at_the_bottom_and_the_right() -> None:
    batch = stack_images([torch.ones(3, 2, 5), torch.ones(3, 4, 3)])
    assert batch.shape == (2, 3, 4, 5)
    assert batch[0, :, :2].eq(1).all()
    assert batch[0, :, 2:].eq(0).all()
    assert batch[1, :, :, :3].eq(1).all()
    assert batch[1, :, :, 3:].eq(0).all()


def test_subsets_are_nested_and_keep_the_order() -> None:
    ids = [f"{i:06d}" for i in range(50)]
    small, large = subset(ids, 5), subset(ids, 20)
    assert len(small) == 5
    assert set(small) < set(large)
    assert large == sorted(large)
    assert subset(ids, 0) == subset(ids, 99) == ids


def test_proposals_of_reduced_images_are_in_pixels_of_the_stored_image(
    devkit: Path, tmp_path: Path
) -> None:
    voc = VocYear(devkit, 2007)
    settings = {"source": "fast", "search": SelectiveSearch("fast", 5, 50)}
    found = proposals_of(voc, ["000001", "000003"], tmp_path, limit=0, **settings)
    boxes = found.boxes["000001"]
    truth = voc.annotation("000001").boxes[0]
    assert np.abs(boxes - truth).max(axis=1).min() <= 2
    assert len(list(tmp_path.glob("proposals-*.safetensors"))) == 1
    again = proposals_of(voc, ["000001", "000003"], tmp_path, limit=0, **settings)
    assert again.sha256 == found.sha256
    first = proposals_of(voc, ["000001"], tmp_path, limit=1, **settings)
    np.testing.assert_array_equal(first.boxes["000001"], boxes[:1])


@pytest.fixture
def proposals_file(devkit: Path, tmp_path: Path) -> Path:
    """The whole image and the objects' boxes, images in another order than the lists'."""
    voc, boxes = VocYear(devkit, 2007), {}
    for image_id in reversed(voc.ids("all")):
        whole = np.array([[0, 0, 100, 80]], np.float32)
        boxes[image_id] = np.concatenate([whole, voc.annotation(image_id).boxes])
    save_proposals(tmp_path / "boxes.safetensors", Proposals("by hand", boxes))
    return tmp_path / "boxes.safetensors"


def taken(devkit: Path, ids: list[str], source: Path | str, limit: int = 0) -> Proposals:
    voc = VocYear(devkit, 2007)
    return proposals_of(voc, ids, devkit, source=str(source), search=SelectiveSearch(), limit=limit)


def test_proposals_of_a_file_belong_to_their_images_in_whatever_order(
    devkit: Path, proposals_file: Path
) -> None:
    found = taken(devkit, ["000001", "000012"], proposals_file)
    assert list(found.boxes) == ["000001", "000012"]
    assert found.boxes["000001"].tolist() == [[0, 0, 100, 80], [10, 12, 60, 50]]
    first = taken(devkit, ["000001", "000012"], proposals_file, limit=1)
    assert first.name == "by hand-first1"
    assert [len(boxes) for boxes in first.boxes.values()] == [1, 1]
    assert first.sha256 != found.sha256


def test_proposals_of_other_images_are_refused(
    devkit: Path, proposals_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no proposals for 1 of 2 images"):
        taken(devkit, ["000001", "000099"], proposals_file)
    for box in ((0, 0, 101, 80), (-1, 0, 9, 9), (5, 5, 5, 9), (float("nan"), 0, 9, 9)):
        path = tmp_path / "other.safetensors"
        save_proposals(path, Proposals("other", {"000001": np.array([box], np.float32)}))
        with pytest.raises(InputError, match=r"1 of 1 boxes of 000001 .* its 100 x 80 pixels"):
            taken(devkit, ["000001"], path)
    with pytest.raises(InputError, match="'slow' is no file; expected fast, quality or"):
        taken(devkit, ["000001"], "slow")


def test_the_protocols_pixels_are_a_plain_difference_to_the_last_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    found, scale = network_image(pixels, 40, 100)
    assert scale == 1
    expected = pixels - np.array(FAST_RCNN_MEAN_RGB, np.float32)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)
