from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from cebench.data.images import read_image
from cebench.data.voc.sbd import Sbd
from cebench.errors import InputError

LABELS = np.repeat(np.arange(20, dtype=np.uint8), 3).reshape(6, 10)


def write_mat(root: Path, content: dict[str, object], image_id: str = "2008_000001") -> None:
    scipy.io.savemat(root / "dataset" / "cls" / f"{image_id}.mat", content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """benchmark_RELEASE with one image in train.txt; nothing else is in the tree."""
    root = tmp_path / "benchmark_RELEASE"
    for folder in ("img", "cls"):
        (root / "dataset" / folder).mkdir(parents=True)
    (root / "dataset" / "train.txt").write_text("2008_000001\n")
    Image.fromarray(np.zeros((6, 10, 3), np.uint8)).save(root / "dataset/img/2008_000001.jpg")
    write_mat(root, {"GTcls": {"Segmentation": LABELS, "CategoriesPresent": np.arange(5)}})
    return root


@pytest.mark.parametrize("place", ["", "dataset", ".."])
def test_labels_and_photo_from_any_of_three_places(root: Path, place: str) -> None:
    sbd = Sbd(root / place)
    assert sbd.ids("train") == ["2008_000001"]
    assert sbd.ids(root / "dataset" / "train.txt") == ["2008_000001"]
    labels = sbd.segmentation("2008_000001")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(
        sbd.image("2008_000001"), read_image(root / "dataset/img/2008_000001.jpg")
    )


def test_missing_things_are_named(root: Path, tmp_path: Path) -> None:
    sbd = Sbd(root)
    with pytest.raises(InputError, match="SBD has here: train;"):
        sbd.ids("trainval")
    with pytest.raises(InputError, match=r"2008_000002\.mat does not exist"):
        sbd.segmentation("2008_000002")
    with pytest.raises(InputError, match=r"2008_000002\.jpg does not exist"):
        sbd.image("2008_000002")
    with pytest.raises(InputError, match="is no VOC image id"):
        sbd.image("../x")
    with pytest.raises(InputError, match="is no SBD tree"):
        Sbd(tmp_path / "elsewhere")


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "content",
    [
        {"Other": LABELS},
        {"GTcls": LABELS},
        {"GTcls": {"Labels": LABELS}},
        {"GTcls": {"Segmentation": LABELS.astype(np.float64)}},
        {"GTcls": {"Segmentation": np.zeros((2, 2, 2), np.uint8)}},
        {"GTcls": {"Segmentation": "a string"}},
        {"GTcls": {"Segmentation": {"Segmentation": LABELS}}},
        {"GTcls": {"Segmentation": np.array([[LABELS, "x"]], dtype=object)}},
    ],
)
def test_a_mat_file_of_another_shape_is_refused(root: Path, content: dict[str, object]) -> None:
    write_mat(root, content)
    with pytest.raises(InputError, match=r"2008_000001\.mat") as caught:
        Sbd(root).segmentation("2008_000001")
    assert "\n" not in str(caught.value)


def test_damaged_and_hostile_files_are_refused_and_never_run(root: Path, tmp_path: Path) -> None:
    path = root / "dataset" / "cls" / "2008_000001.mat"
    whole = path.read_bytes()
    np.save(tmp_path / "pickle.npy", np.array([Bomb(tmp_path / "ran")]), allow_pickle=True)
    pickled = (tmp_path / "pickle.npy").read_bytes()
    for content in (b"", whole[:200], whole[:-20], b"\x89HDF\r\n\x1a\n" * 99, pickled, b"x" * 500):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no readable SBD label file"):
            Sbd(root).segmentation("2008_000001")
    assert not (tmp_path / "ran").exists()


def test_a_label_outside_the_classes_is_refused(root: Path) -> None:
    write_mat(root, {"GTcls": {"Segmentation": np.full((6, 10), 21, np.uint8)}})
    with pytest.raises(InputError, match=r"2008_000001.mat: label 21"):
        Sbd(root).segmentation("2008_000001")


@pytest.mark.shared_data
def test_every_real_label_file_has_its_photos_size(shared_data: Path) -> None:
    sbd = Sbd(shared_data)
    for image_id in sbd.ids("train") + sbd.ids("val"):
        labels, image = sbd.segmentation(image_id), sbd.image(image_id)
        assert labels.shape == image.shape[:2]
        assert labels.max() >= 1
