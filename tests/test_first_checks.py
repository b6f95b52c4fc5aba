"""Mistakes that files and names tell are refused before PyTorch is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cebench.errors import InputError
from cebench.pretrain import first_checks
from cebench.training.run_owner import check_program
from cebench.transfer.first_checks import check_engine

REFUSED = {
    "pretrain --method context --data nowhere --out new": "nowhere: no such folder",
    "pretrain --method context --out new": "--data is missing",
    "pretrain --method context --data photos --out new --recipe papr": "did you mean 'paper'",
    "pretrain --method context --data photos --out new --set steps": "expected key=value",
    "pretrain --method context --data photos --out new --set stpes=9": "did you mean 'steps'",
    "pretrain --method imagenet --data photos --out new --set steps=many": "valid integer",
    "pretrain --method relative-context --data photos --out new --set patch_side=9": "too small",
    "pretrain --method egomotion --data photos --out new --set source=single-images "
    "--set short_side=99": "is less than the",
    "pretrain --method kmeans-init --data photos --out new --set balance=often": "boolean",
    "pretrain --method context --data photos --out taken --recipe smoke": "but no cebench run",
    "pretrain --method random --out other": "run.method is 'context' there, 'random' here",
    "pretrain --method context --data photos --out new --recipe paper": "needs silhouettes",
    "pretrain --method context --data voc --out new": "holds VOC years; give one of them",
    "pretrain --method context --data voc/VOC2007 --out new --set voc_image_set=dev": "dev.txt",
    "pretrain --method imagenet --data photos --out new": "imagenet learns labels",
    "pretrain --method context --data photos --exclude nothere --out new": "--exclude nothere",
    "pretrain --method motion --out new": "motion learns from one --data",
    "pretrain --method motion --data nowhere --out new": "--data nowhere: no such file or folder",
    "pretrain --method egomotion --recipe paper --data nowhere --out new": "--data nowhere: no",
    "pretrain --method egomotion --out new": "--data is missing",
    "pretrain --method random --data photos --out new": "random learns from nothing and reads no "
    "--data; leave it out",
    "pretrain --method random-he --exclude photos --out new": "reads no --exclude",
    "pretrain --method random --region-shapes nowhere --out new": "reads no --region-shapes",
    "transfer --task knn --weights random --data nowhere --out new": "nowhere does not exist",
    "transfer --task knn --weights random --data voc --out new --set test_set=dev": "dev.txt",
    "transfer --task knn --weights random --data voc --out new --set test_set=train": "share 2",
    "transfer --task knn --weights random --data voc --out new --set year=2010": "no VOC2010",
    "transfer --task knn --weights random --data voc --out new --set year=ten": "valid integer",
    "transfer --task knn --weights random --data voc --out new --set neighbors=3": "'neighbours'",
    "transfer --task classification --weights random --data voc --out new --set random_from=fc9 ": (
        "'pool5' or 'drop7'"
    ),
    "transfer --task detection --weights random --data voc --out new --set scales=[]": "at least 1",
    "transfer --task segmentation --weights random --data voc --out new --set stride=4": "32, 16",
    "transfer --task linear-svm --weights random --data voc --out new --set folds=1": "or equal to",
    "transfer --task low-shot-svm --weights random --data voc --out new --set shots=[2,2]": "twice",
    "transfer --task dense-probe --weights random --data voc --out new --set short_side=0": " 0,",
    "transfer --task segmentation --weights random --data voc --out new": "has no VOC2012",
    "transfer --task knn --weights none.pth --data voc --out new": "none.pth: no such weights",
    "transfer --task knn --weights other --data voc --out new": "pretrain context) is stopped",
    "transfer --task knn --weights random --data voc --out new --tensorboard": "knn trains no net",
    "pretrain --method random --out new --tensorboard": "random trains no network step by step",
    "transfer --task knn --weights random --data voc --out taken": "but no cebench run",
    "transfer --task knn --engine mmseg --weights random --data voc --out new": "by native",
    "transfer --task inpainting --weights random --data pairs --out new": "also in the gallery",
    "transfer --task inpainting --weights random --data voc --out new": "of gallery images",
}

CALL = """
import json, sys
from click.testing import CliRunner
from cebench.cli import cli
said = {}
for line in json.load(sys.stdin):
    result = CliRunner().invoke(cli, line.split() + ["--dry-run"])
    said[line] = [str(result.exception), "torch" in sys.modules]
print(json.dumps(said))
"""


@pytest.fixture
def folder(tiny_voc: Path, tmp_path: Path) -> Path:
    """photos/, pairs/ with a test image in the gallery, voc, a taken/ folder and other/, a run."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
    names = ("photos/0.png", "pairs/train/0.png", "pairs/test/1.png")
    for name, image in zip(names, pixels[[0, 1, 1]], strict=True):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.toml").write_text('[run]\nverb = "pretrain"\nmethod = "context"\n')
    (tmp_path / "voc").symlink_to(tiny_voc)
    return tmp_path


def test_no_torch_is_needed_to_refuse(folder: Path) -> None:
    call = subprocess.run(
        [sys.executable, "-c", CALL],
        input=json.dumps(list(REFUSED)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(call.stdout)
    for line, (message, torch_imported) in said.items():
        assert REFUSED[line] in message, f"{line}: {message}"
        assert not torch_imported, line
    assert len(said) == len(REFUSED)
    assert not (folder / "new").exists()


def test_the_engine_is_the_tasks_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_engine("detection", "native")
    with pytest.raises(InputError, match="detection is computed by native, detectron2"):
        check_engine("detection", "mmseg")
    monkeypatch.setattr("cebench.transfer.first_checks.find_spec", lambda name: None)
    with pytest.raises(InputError, match="--engine detectron2: the package is not installed"):
        check_engine("detection", "detectron2")


def test_the_first_process_alone_looks_at_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="holds files"):
        check_program(folder / "taken", {"verb": "pretrain"})
    check_program(folder / "other", {"verb": "pretrain", "method": "context"})
    monkeypatch.setenv("RANK", "1")
    check_program(folder / "taken", {"verb": "pretrain"})


def test_the_data_of_a_finished_run_may_be_gone(folder: Path) -> None:
    (folder / "other" / "run.toml").unlink()
    out = folder / "other"
    given: dict[str, Any] = {
        "out": out,
        "recipe": "smoke",
        "changes": (),
        "seed": 0,
        "exclude": (),
        "region_shapes": None,
        "tensorboard": False,
    }
    gone = {**given, "method": "context", "data": [folder / "gone"]}
    with pytest.raises(InputError, match="gone: no such folder"):
        first_checks.check_start(**gone, resume=True)
    run = 'verb = "pretrain"\nmethod = "context"\nrecipe = "context-smoke"\nseed = 0\n'
    (out / "run.toml").write_text(f"[run]\n{run}")
    (out / "record.json").touch()
    first_checks.check_start(**gone, resume=True)
    with pytest.raises(InputError, match="gone: no such folder"):
        first_checks.check_start(**gone, resume=False)
