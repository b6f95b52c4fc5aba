"""Every reader on 500 damaged files: a value or InputError (one line), nothing else."""

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import DETECTION, SIDECAR

from cebench.data.images import image_size, open_resized, read_image
from cebench.data.masks import read_mask
from cebench.data.photos import find_photos
from cebench.data.poses import read_poses
from cebench.data.proposals.files import Proposals, load_proposals, save_proposals
from cebench.data.proposals.mat import import_files
from cebench.data.voc.devkit import VOC_CLASSES, VocYear, read_ids
from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.results import read_detection_files, read_scores_csv
from cebench.errors import InputError
from cebench.reporting.metrics_log import read_metrics
from cebench.reporting.records import load_record, write_record
from cebench.suite.suite_file import load_suite
from cebench.transfer.first_checks import resolve_recipe
from cebench.weights.descriptions import read_description
from cebench.weights.files import read_sidecar, save_weights
from cebench.weights.readers.state_dicts import read_state_dict

pytestmark = pytest.mark.slow

IDS = ["000001", "000002"]
XML = b"""<annotation><size><width>40</width><height>30</height></size>
<object><name>dog</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax>
<ymax>22</ymax></bndbox></object></annotation>"""


def image_bytes(kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).convert(mode).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in (("a.png", image_bytes("PNG")), ("a.cls", b"3")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def mat_bytes() -> bytes:
    buffer = io.BytesIO()
    boxes = np.empty((1, 2), object)
    boxes[0, 0], boxes[0, 1] = np.array([[1.0, 2, 9, 8]]), np.array([[2.0, 3, 7, 6]])
    scipy.io.savemat(buffer, {"boxes": boxes, "images": np.array([["000001"], ["000002"]], object)})
    return buffer.getvalue()


def proposal_bytes(folder: Path) -> bytes:
    path = folder / "made.safetensors"
    save_proposals(path, Proposals("mine", {"000001": np.ones((2, 4), np.float32)}))
    return path.read_bytes()


def state_dict_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save(
        {"state_dict": {"conv1.weight": torch.ones(2, 3), "conv1.bias": torch.ones(2)}}, buffer
    )
    return buffer.getvalue()


def read_xml(path: Path) -> object:
    year = path.parent / "VOC2007"
    (year / "Annotations").mkdir(parents=True, exist_ok=True)
    (year / "Annotations" / "000001.xml").write_bytes(path.read_bytes())
    return VocYear(year, 2007).annotation("000001")


def read_detections(path: Path) -> object:
    folder = path.parent / "detections"
    folder.mkdir(exist_ok=True)
    for name in VOC_CLASSES[1:]:
        (folder / f"comp4_det_test_{name}.txt").touch()
    (folder / f"comp4_det_test_{VOC_CLASSES[0]}.txt").write_bytes(path.read_bytes())
    return read_detection_files(folder, "test", IDS)


def read_photo_sources(path: Path) -> object:
    return [photo.resized(8) for photo in find_photos([path], "train")]


def read_suite(path: Path) -> object:
    return load_suite(str(path))


def read_log(path: Path) -> object:
    return read_metrics(path.parent)


def read_recipe(path: Path) -> object:
    return resolve_recipe("knn", str(path), ())


def record_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_record(Path(folder) / "record.json", DETECTION)
        return (Path(folder) / "record.json").read_bytes()


def sidecar_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "a.safetensors"
        save_weights(weights, {"conv1.bias": torch.ones(2)}, SIDECAR)
        return weights.with_suffix(".json").read_bytes()


def read_mat(path: Path) -> object:
    return import_files([path], [IDS], lambda image_id: (40, 30), "xyxy", 1)


def read_resized(path: Path) -> object:
    return open_resized(path, 8), image_size(path)


CSV = "\n".join(
    [",".join(["image", *VOC_CLASSES]), *(f"{i}," + ",".join(["0.5"] * 20) for i in IDS)]
)
SUITE = "title='a'\n[data]\nx='y'\n[rows.random]\n[tasks.knn]\ndata='x'\n"
MAPPING = "side=224\nchannels='BGR'\n[tensors]\n'a.b'='conv1.weight'\n"
READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "png": ("a.png", image_bytes("PNG"), read_image),
    "jpeg": ("a.jpg", image_bytes("JPEG"), read_image),
    "webp": ("a.webp", image_bytes("WEBP"), read_image),
    "tiff": ("a.tif", image_bytes("TIFF"), read_image),
    "gif": ("a.gif", image_bytes("GIF"), read_image),
    "resized": ("a.jpg", image_bytes("JPEG"), read_resized),
    "mask": ("a.png", image_bytes("PNG", "RGBA"), read_mask),
    "labels": ("a.png", image_bytes("PNG", "P"), read_label_image),
    "tar": ("a.tar", tar_bytes(), read_photo_sources),
    "xml": ("a.xml", XML, read_xml),
    "list": ("a.txt", b"000001 1\n000002 -1\n", read_ids),
    "detections": ("a.txt", b"000001 0.5 1 2 30 20\n000002 .1 1 1 2 2\n", read_detections),
    "csv": ("a.csv", CSV.encode(), lambda path: read_scores_csv(path, IDS)),
    "mat": ("a.mat", mat_bytes(), read_mat),
    "state dict": ("a.pth", state_dict_bytes(), read_state_dict),
    "record": ("record.json", record_bytes(), load_record),
    "sidecar": ("a.json", sidecar_bytes(), read_sidecar),
    "poses": ("00.txt", b"1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 .5 0 1 0 0 0 0 1 1.5\n", read_poses),
    "recipe": ("a.toml", b"tier='smoke'\nlayer='conv4'\ntrain_set='a'\ntest_set='b'", read_recipe),
    "suite": ("a.toml", SUITE.encode(), read_suite),
    "mapping": ("a.toml", MAPPING.encode(), read_description),
    "metrics": ("metrics.jsonl", b'{"step": 1, "loss": 2.5}\n{"step": 2}\n', read_log),
}  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with some bytes replaced, cut out, repeated, or its end missing."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(0, 8))
        content[start : start + length] = draw(
            st.one_of(st.binary(max_size=8), st.just(bytes(content[start : start + 3 * length])))
        )
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


def one_line_or(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read; None where the answer is one line."""
    try:
        return read(path)
    except InputError as error:
        told = str(error)
    assert "\n" not in told
    return None


@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning"
)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_named_in_one_line(tmp_path: Path, name: str) -> None:
    file, whole, read = READERS[name]
    path = tmp_path / file
    path.write_bytes(whole)
    right = read(path)

    @settings(max_examples=500, deadline=10_000, suppress_health_check=list(HealthCheck))
    @given(damaged(whole))
    def try_one(content: bytes) -> None:
        path.write_bytes(content)
        found = one_line_or(read, path)
        # Every byte of these is behind a checksum: what is read is what was written.
        if name in ("png", "mask", "labels") and found is not None:
            np.testing.assert_array_equal(found, right)

    try_one()


def test_a_damaged_file_of_proposals_is_named(tmp_path: Path) -> None:
    whole, path = proposal_bytes(tmp_path), tmp_path / "a.safetensors"

    @settings(max_examples=500, deadline=10_000, suppress_health_check=list(HealthCheck))
    @given(damaged(whole))
    def try_one(content: bytes) -> None:
        path.write_bytes(content)
        if content != whole:
            with pytest.raises(InputError):
                load_proposals(path)

    try_one()
