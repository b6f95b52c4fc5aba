from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from cebench.data.images import read_image, write_png
from cebench.data.proposals.files import Proposals, load_proposals, save_proposals
from cebench.data.proposals.selective_search import SelectiveSearch, compute_proposals
from cebench.errors import InputError

SEARCH = SelectiveSearch()
Photographs = Callable[[int], dict[str, Path]]


def picture(seed: int = 0) -> np.ndarray:
    """Two plain rectangles on plain ground: proposals must include both."""
    image = np.full((80, 120, 3), 40, np.uint8)
    image[10:50, 15:55] = (200, 30, 30)
    image[30:75, 70:110] = (30, 60, 220)
    return image + np.random.default_rng(seed).integers(0, 4, image.shape, dtype=np.uint8)


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    intersection = np.clip(high - low, 0, None).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return intersection / ((box[2:] - box[:2]).prod() + area - intersection)


def test_rectangles_are_proposed_in_half_open_pixels() -> None:
    boxes = SEARCH(picture())
    assert boxes.dtype == np.float32
    for box in ([15, 10, 55, 50], [70, 30, 110, 75]):
        assert overlap(np.array(box, float), boxes).max() > 0.9


def test_boxes_are_inside_distinct_large_enough_and_in_a_stated_order() -> None:
    boxes = SelectiveSearch(min_side=25)(picture())
    size = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 120
    assert boxes[:, 3].max() <= 80
    assert size.min() >= 25
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    keys = [(-w * h, y0, x0) for (x0, y0, _, _), (w, h) in zip(boxes, size, strict=True)]
    assert keys == sorted(keys)


def test_opencv_shuffles_but_the_result_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(SEARCH(picture()), SEARCH(picture()))


def test_an_image_without_large_enough_segments_has_no_boxes() -> None:
    boxes = SEARCH(np.zeros((10, 10, 3), np.uint8))
    assert boxes.shape == (0, 4)


def test_channels_are_rgb(tmp_path: Path) -> None:
    """Boxes are those that OpenCV finds in a file that it read by itself."""
    image = np.zeros((64, 64, 3), np.uint8)
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    image[:, :, 0], image[:, :, 2] = ramp, ramp[:, None]
    image[20:50, 20:50, 1] = 120
    write_png(tmp_path / "a.png", image)
    segmentation = cv2.ximgproc.segmentation
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.imread(str(tmp_path / "a.png")))
    search.switchToSelectiveSearchFast()
    search.clearGraphSegmentations()
    for k in (50, 100):
        search.addGraphSegmentation(segmentation.createGraphSegmentation(0.8, k, k))
    expected = {(x, y, x + w, y + h) for x, y, w, h in search.process().tolist() if min(w, h) >= 20}
    assert set(map(tuple, SEARCH(image).tolist())) == expected
    assert set(map(tuple, SEARCH(image[:, :, ::-1]).tolist())) != expected


def test_a_box_of_just_the_smallest_side_is_kept_and_that_of_a_reduced_image_fits_it() -> None:
    boxes = SEARCH(picture())
    smallest = int((boxes[:, 2:] - boxes[:, :2]).min())
    np.testing.assert_array_equal(SelectiveSearch(min_side=smallest)(picture()), boxes)
    assert len(SelectiveSearch(min_side=smallest + 1)(picture())) < len(boxes)
    # 120 x 80 become 50 x 33: the factors of the two axes differ.
    reduced = SelectiveSearch(max_side=50)(picture())
    np.testing.assert_allclose(reduced[0], [0, 0, 120, 80], rtol=1e-6)


@pytest.fixture
def photographs(tmp_path: Path) -> Photographs:
    """A function from a number to so many files, the first without any segment."""
    (tmp_path / "photographs").mkdir()

    def files(count: int) -> dict[str, Path]:
        paths = {f"{i:06d}": tmp_path / "photographs" / f"{i:06d}.png" for i in range(count)}
        for index, path in enumerate(paths.values()):
            write_png(path, picture(index) if index else np.zeros((10, 10, 3), np.uint8))
        return paths

    return files


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photographs that are searched."""
    names: list[str] = []

    def read(path: Path, **options: bool) -> np.ndarray:
        names.append(path.stem)
        return read_image(path, **options)

    monkeypatch.setattr("cebench.data.proposals.selective_search.read_image", read)
    return names


def test_computed_proposals_are_kept_and_read_back(
    tmp_path: Path, photographs: Photographs
) -> None:
    cache = tmp_path / "cache" / "proposals.safetensors"
    reports = []
    made = compute_proposals(
        photographs(3), cache, SEARCH, report=lambda *counts: reports.append(counts)
    )
    assert list(made.boxes) == ["000000", "000001", "000002"]
    assert len(made.boxes["000000"]) == 0
    np.testing.assert_array_equal(made.boxes["000002"], SEARCH(picture(2)))
    assert reports == [(0, 3), (1, 3), (2, 3), (3, 3)]

    read = load_proposals(cache, ["000002", "000000"])
    assert read.name == made.name == "selective-search-fast-k50,100-min20"
    np.testing.assert_array_equal(read.boxes["000002"], made.boxes["000002"])
    assert load_proposals(cache).sha256 == made.sha256 != read.sha256


def test_an_interrupted_computation_goes_on_where_it_was(
    tmp_path: Path, photographs: Photographs, seen: list[str]
) -> None:
    cache = tmp_path / "proposals.safetensors"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_proposals(photographs(4), cache, SEARCH, report=stop)
    assert list(load_proposals(cache).boxes) == ["000000", "000001"]
    seen.clear()
    made = compute_proposals(photographs(4), cache, SEARCH)
    assert sorted(seen) == ["000002", "000003"]
    assert made.sha256 == compute_proposals(photographs(4), tmp_path / "other", SEARCH).sha256


def test_a_finished_cache_is_not_written_again(
    tmp_path: Path, photographs: Photographs, seen: list[str]
) -> None:
    cache = tmp_path / "proposals.safetensors"
    compute_proposals(photographs(2), cache, SEARCH)
    before = cache.stat().st_mtime_ns
    seen.clear()
    compute_proposals(photographs(2), cache, SEARCH)
    assert cache.stat().st_mtime_ns == before
    assert seen == []


def test_proposals_of_another_image_set_are_refused(tmp_path: Path) -> None:
    cache = tmp_path / "proposals.safetensors"
    save_proposals(cache, Proposals("mine", {"000001": np.ones((2, 4), np.float32)}))
    with pytest.raises(InputError, match=r"2 of 3 images \(first: 000007\)"):
        load_proposals(cache, ["000001", "000007", "000009"])


def test_a_cache_of_other_settings_is_refused(tmp_path: Path, photographs: Photographs) -> None:
    cache = tmp_path / "proposals.safetensors"
    compute_proposals(photographs(1), cache, SelectiveSearch(min_side=10))
    with pytest.raises(InputError, match=r"-min10, expected .*-min20"):
        compute_proposals(photographs(1), cache, SEARCH)


def test_the_boxes_of_other_photographs_of_the_same_ids_are_refused(
    tmp_path: Path, photographs: Photographs
) -> None:
    cache = tmp_path / "proposals.safetensors"
    files = photographs(2)
    compute_proposals(files, cache, SEARCH)
    write_png(files["000001"], picture(7))
    with pytest.raises(InputError, match="holds the boxes of another photograph 000001"):
        compute_proposals(files, cache, SEARCH)


def test_damage_is_noticed(tmp_path: Path) -> None:
    cache = tmp_path / "proposals.safetensors"
    save_proposals(cache, Proposals("mine", {"000001": np.ones((2, 4), np.float32)}))
    content = bytearray(cache.read_bytes())
    content[-5] ^= 1
    cache.write_bytes(content)
    with pytest.raises(InputError, match="does not fit its SHA-256"):
        load_proposals(cache)
    cache.write_bytes(b"not a tensor file")
    with pytest.raises(InputError, match="is no file of proposals"):
        load_proposals(cache)
    with pytest.raises(InputError, match="does not exist"):
        load_proposals(tmp_path / "absent")


@pytest.mark.shared_data
def test_real_proposals_are_as_many_as_the_original_ones_and_find_its_boxes(
    shared_data: Path,
) -> None:
    """Against the MATLAB boxes that come with Fast R-CNN's demo image, which have no least side."""
    folder = shared_data / "eval" / "proposals"
    theirs = scipy.io.loadmat(folder / "000004_boxes.mat")["boxes"].astype(float)
    theirs[:, 2:] += 1
    theirs = theirs[(theirs[:, 2:] - theirs[:, :2] >= 20).all(1)]
    ours = SEARCH(read_image(folder / "000004.jpg"))
    assert 0.7 < len(ours) / len(theirs) < 1.8
    best = [overlap(box, ours).max() for box in theirs]
    assert np.mean(best) > 0.75


@pytest.mark.parametrize("part", [(b"\x02" + bytes(7), bytes(8)), (b'"mine"', b'"line"')])
def test_a_changed_number_of_boxes_or_name_is_damage(
    tmp_path: Path, part: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "a.safetensors"
    save_proposals(path, Proposals("mine", {"000001": np.ones((2, 4), np.float32)}))
    whole, (old, new) = path.read_bytes(), part
    assert whole.count(old) == 1
    path.write_bytes(whole.replace(old, new))
    with pytest.raises(InputError, match="is damaged"):
        load_proposals(path)
