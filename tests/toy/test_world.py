"""The toy world: exact layouts, exact boxes, one picture per seed."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from PIL import Image
from scipy.io import loadmat
from torchvision.datasets import SBDataset, VOCDetection, VOCSegmentation

from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.data.voc.palette import voc_palette
from cebench.errors import InputError
from cebench.toy.pen import Pen
from cebench.toy.scenes import (
    DIFFICULT_SHARE,
    DIFFICULT_SIDE,
    DROPPED_SIDE,
    ToyImage,
    ToyObject,
    draw_scene,
)
from cebench.toy.trees import void_border
from cebench.toy.world import set_sizes, write_toy_world

IMAGES = 60


@pytest.fixture(scope="module")
def world(toy_world: Callable[[int], Path]) -> Path:
    return toy_world(IMAGES)


@pytest.fixture(scope="module")
def scenes() -> list[ToyImage]:
    return [draw_scene(1, "test", index) for index in range(66)]


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize(
    ("year", "image_set", "count"),
    [
        ("2007", "train", 24),
        ("2007", "val", 12),
        ("2007", "trainval", 36),
        ("2007", "test", 24),
        ("2012", "train", 36),
        ("2012", "val", 24),
    ],
)
def test_torchvision_reads_detection_and_segmentation(
    world: Path, year: str, image_set: str, count: int
) -> None:
    detection = VOCDetection(world, year=year, image_set=image_set)
    segmentation = VOCSegmentation(world, year=year, image_set=image_set)
    assert len(detection) == len(segmentation) == count
    for (image, target), (same, mask) in zip(detection, segmentation, strict=True):
        size = target["annotation"]["size"]
        assert image.size == same.size == mask.size == (int(size["width"]), int(size["height"]))
        named = {VOC_CLASSES.index(item["name"]) + 1 for item in target["annotation"]["object"]}
        assert set(np.unique(mask).tolist()) - {0, 255} <= named


@pytest.mark.parametrize(("image_set", "count"), [("train", 23), ("val", 7)])
def test_torchvision_reads_sbd(world: Path, image_set: str, count: int) -> None:
    root = world / "benchmark_RELEASE" / "dataset"
    masks = SBDataset(str(root), image_set=image_set, mode="segmentation")
    boundaries = SBDataset(str(root), image_set=image_set, mode="boundaries")
    assert len(masks) == len(boundaries) == count
    for (image, mask), (_, edges) in zip(masks, boundaries, strict=True):
        labels = np.asarray(mask)
        assert image.size == mask.size
        assert labels.max() <= 20
        assert edges.shape == (20, *labels.shape)
        present = set(np.unique(labels).tolist()) - {0}
        assert {index + 1 for index in range(20) if edges[index].any()} == present
        assert all((labels[edges[label - 1] > 0] == label).all() for label in present)


def test_sbd_instances_carry_their_categories(world: Path) -> None:
    root = world / "benchmark_RELEASE" / "dataset"
    for path in sorted((root / "inst").iterdir()):
        each = loadmat(path)["GTinst"][0, 0]
        whole = loadmat(root / "cls" / path.name)["GTcls"][0, 0]
        table = np.concatenate(([0], each["Categories"].ravel()))
        assert (table[each["Segmentation"]] == whole["Segmentation"]).all()
        assert set(whole["CategoriesPresent"].ravel()) == set(table[1:])
        assert each["Boundaries"].shape == each["Categories"].shape


@pytest.mark.parametrize("year", [2007, 2012])
def test_boxes_are_those_of_the_instance_masks(world: Path, year: int) -> None:
    """Only where a nearer thing hides a side may the void border stand in for the label."""
    voc = VocYear(world / "VOCdevkit", year)
    exact = total = 0
    for name in (path.stem for path in sorted((voc.root / "Annotations").iterdir())):
        instances = np.asarray(Image.open(voc.root / "SegmentationObject" / f"{name}.png"))
        boxes = voc.annotation(name).boxes
        assert set(np.unique(instances).tolist()) - {0, 255} == set(range(1, len(boxes) + 1))
        for number, box in enumerate(boxes, start=1):
            x0, y0, x1, y1 = (int(side) for side in box)
            shown = instances == number
            inside = np.isin(instances, (number, 255))[y0:y1, x0:x1]
            assert not shown[:y0].any()
            assert not shown[y1:].any()
            assert not shown[:, :x0].any()
            assert not shown[:, x1:].any()
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            total += 1
            exact += _box(shown) == (x0, y0, x1, y1)
    assert exact > 0.7 * total


def test_boxes_are_exact_before_the_void_border(scenes: list[ToyImage]) -> None:
    for scene in scenes:
        for number, item in enumerate(scene.objects, start=1):
            assert item.box == _box(scene.instances == number)


def test_xml_counts_pixels_from_one_and_includes_both_ends(world: Path) -> None:
    scene = draw_scene(0, "toy/VOC2007/train", 0)
    root = ElementTree.parse(world / "VOCdevkit/VOC2007/Annotations/000001.xml").getroot()
    written = [
        tuple(int(box.findtext(tag)) for tag in ("xmin", "ymin", "xmax", "ymax"))
        for box in root.iter("bndbox")
    ]
    assert written == [
        (x0 + 1, y0 + 1, x1, y1) for x0, y0, x1, y1 in (o.box for o in scene.objects)
    ]


def test_every_class_has_positives_in_every_split(world: Path) -> None:
    for year, splits in ((2007, ("train", "val", "test")), (2012, ("train", "val"))):
        voc = VocYear(world / "VOCdevkit", year)
        for split in splits:
            labels = voc.class_labels(split, voc.ids(split))
            assert ((labels == 1).sum(axis=0) > 0).all(), (year, split)


def test_class_lists_say_zero_where_only_difficult_objects_show(world: Path) -> None:
    folder = world / "VOCdevkit" / "VOC2007"
    for label in VOC_CLASSES:
        lines = (folder / "ImageSets/Main" / f"{label}_trainval.txt").read_text().splitlines()
        assert len(lines) == 36
        for line in lines:
            name, value = line.split()
            tree = ElementTree.parse(folder / "Annotations" / f"{name}.xml")
            flags = [
                item.findtext("difficult")
                for item in tree.iter("object")
                if item.findtext("name") == label
            ]
            assert int(value) == (-1 if not flags else int("0" in flags))


def test_masks_have_the_voc_palette_and_a_void_border_on_the_background(world: Path) -> None:
    path = world / "VOCdevkit/VOC2012/SegmentationClass/2012_000001.png"
    with Image.open(path) as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.array(mask.getpalette()).reshape(-1, 3), voc_palette())
        labels = np.asarray(mask)
    thing = (labels > 0) & (labels < 255)
    beside = np.zeros_like(thing)
    for axis in (0, 1):
        for step in (-1, 1):
            beside |= np.roll(thing, step, axis) & (labels == 0)
    assert not beside[1:-1, 1:-1].any()


def test_void_border_is_two_pixels_wide_and_spares_the_nearer_thing() -> None:
    # A row of background, thing 1, thing 2 (nearer), background:  ..vv 11v2 22vv ..
    row = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0]
    void = [0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0]
    border = void_border(np.array([row] * 7, dtype=np.uint8))
    assert (border == np.array(void, dtype=bool)).all()


def test_truncated_means_that_the_silhouette_leaves_the_picture(scenes: list[ToyImage]) -> None:
    """A thing that leaves the picture shows at its border, unless something hides it there."""
    truncated = [o for s in scenes for o in s.objects if o.truncated]
    assert truncated
    for scene in scenes:
        height, width = scene.instances.shape
        for item in scene.objects:
            x0, y0, x1, y1 = item.box
            touches = x0 == 0 or y0 == 0 or x1 == width or y1 == height
            assert touches or not item.truncated or item.occluded


def test_small_remains_are_difficult_and_smaller_ones_are_not_there(
    scenes: list[ToyImage],
) -> None:
    def side(item: ToyObject) -> int:
        x0, y0, x1, y1 = item.box
        return min(x1 - x0, y1 - y0)

    items = [item for scene in scenes for item in scene.objects]
    assert all(side(item) >= DROPPED_SIDE for item in items)
    assert all(item.difficult for item in items if side(item) < DIFFICULT_SIDE)
    hidden = [item for item in items if item.difficult and side(item) >= DIFFICULT_SIDE]
    assert all(item.occluded or item.truncated for item in hidden)
    assert 0 < DIFFICULT_SHARE < 1


def test_pictures_hold_several_things_and_each_lead_of_their_cast(scenes: list[ToyImage]) -> None:
    counts = [len(scene.objects) for scene in scenes]
    assert min(counts) >= 1
    assert np.mean(counts) > 2
    first = {item.name for scene in scenes[:11] for item in scene.objects if not item.difficult}
    assert first == set(VOC_CLASSES)


def test_a_pen_draws_at_the_stated_scale() -> None:
    """A 2 m x 1 m box at 10 px/m, its foot at (30, 40), covers columns 20..39 and rows 30..39."""
    pen = Pen()
    pen.box(-1, 0, 1, 1, (255, 0, 0))
    sprite = pen.render(np.random.default_rng(0), 30, 40, 10)
    x0, y0, x1, y1 = _box(sprite.alpha >= 0.5)
    found = np.array([x0 + sprite.x, y0 + sprite.y, x1 + sprite.x, y1 + sprite.y])
    assert (np.abs(found - [20, 30, 40, 40]) <= 1).all()


def test_a_mirrored_pen_looks_the_other_way() -> None:
    pen = Pen()
    pen.box(0, 0, 3, 1, (0, 0, 0))
    pen.turn(mirror=True)
    assert pen.extent() == (-3, 0, 0, 1)


@pytest.mark.slow
def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_toy_world(tmp_path / name, images=4, seed=seed)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again
    # How many things of a class a world has depends on its seed.
    names, others = (
        {name for name in world if not name.startswith("labeled/")} for world in (first, other)
    )
    assert names == others
    same = {name for name in names if first[name] == other[name]}
    assert all(name.endswith(".txt") for name in same)


@pytest.mark.parametrize("images", [4, 5, 7, 60, 100])
def test_sets_have_the_promised_sizes(images: int) -> None:
    sizes = set_sizes(images)
    assert sum(sizes["VOC2007"].values()) == sum(sizes["VOC2012"].values()) == images
    assert sum(sizes["SBD"].values()) == sizes["facades"]["train"] == images // 2
    assert all(count > 0 for splits in sizes.values() for count in splits.values())


def test_the_smallest_world_has_every_set_and_reports_every_image(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_toy_world(tmp_path / "w", images=4, seed=0, report=lambda *step: steps.append(step))
    # 4 + 4 + 2 + 4 + 4 + 2 + 1 images, 2 clips of 32 frames, 2 drives of 2 x 16.
    assert steps == [(done, 149) for done in range(1, 150)]
    manifest = json.loads((tmp_path / "w" / "toy.json").read_text())
    assert (manifest["images"], manifest["seed"]) == (4, 0)
    cut_out = set((tmp_path / "w").glob("labeled/*/*.jpg"))
    assert len({*(tmp_path / "w").rglob("*.jpg")} - cut_out) == 17 + 64
    of_class = Counter(path.parent.name for path in cut_out)
    assert all(count > 1 for count in of_class.values())
    assert len(list((tmp_path / "w" / "kitti").rglob("*.png"))) == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]


def test_a_complete_world_is_left_as_it_is(tmp_path: Path) -> None:
    write_toy_world(tmp_path / "w", images=4, seed=0)
    before = _digests(tmp_path / "w")
    write_toy_world(tmp_path / "w", images=4, seed=0, report=lambda *_: pytest.fail("drew again"))
    assert _digests(tmp_path / "w") == before
    with pytest.raises(InputError, match=r"another toy world than 5 images of seed 0"):
        write_toy_world(tmp_path / "w", images=5, seed=0)


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    for name, images, words in (
        ("new", 3, "at least 4"),
        ("file", 4, "is a file"),
        ("full", 4, "not empty"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            write_toy_world(tmp_path / name, images=images, seed=0)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_an_interrupted_world_does_not_appear(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_toy_world(tmp_path / "w", images=4, seed=0, report=stop)
    assert list(tmp_path.iterdir()) == []


def test_ids_are_never_those_of_voc2007_photos(world: Path) -> None:
    names = [path.stem for path in (world / "VOCdevkit/VOC2012/JPEGImages").iterdir()]
    names += [path.stem for path in (world / "benchmark_RELEASE/dataset/img").iterdir()]
    assert all(re.fullmatch(r"201[12]_\d{6}", name) for name in names)


def test_no_two_pictures_of_a_world_are_the_same(world: Path) -> None:
    files = sorted(world.rglob("*.jpg"))
    assert len({path.read_bytes() for path in files}) == len(files)
