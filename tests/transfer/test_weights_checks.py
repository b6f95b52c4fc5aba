"""What the weights' network cannot do for a recipe is refused by run and dry run alike."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from foreign_networks import random_foreign_weights

from cebench.errors import InputError
from cebench.transfer import run
from cebench.transfer.dry_run import plan
from cebench.transfer.first_checks import resolve_recipe
from cebench.transfer.run import TASKS, Request, run_transfer
from cebench.weights.files import FC_TENSORS, Weights, random_weights

REFUSED = {
    "layer of knn": ("knn", "timm/test_vit", "layer=bogus", "no layer 'bogus'; it has block1"),
    "layer of low shots": ("low-shot-svm", "timm/test_vit", "layer=bogus", "no layer 'bogus'"),
    "layers": ("linear-svm", "timm/test_vit", 'layers=["bogus"]', "no layer 'bogus'"),
    "tokens": ("knn", "timm/test_resnet", "pooling=token", "no tokens that pooling=token"),
    "crop": ("knn", "caffenet", "geometry=library", "random: states no resizing and crop of a"),
    "scaling": ("classification", "timm/test_resnet", "head_init=data", "head_init=data could"),
    "fc6 of classification": (
        "classification", "timm/test_resnet", "random_from=drop7", "no fc6 and fc7 that random_",
    ),
    "fc6 in detection": (
        "detection", "torchvision/alexnet", "random_from=drop7", "has no fc6.weight; random_from=",
    ),
    "fc6 in segmentation": (
        "segmentation", "timm/test_resnet", "random_from=drop7", "no fc6 and fc7 that random_from",
    ),
    "stride": ("segmentation", "timm/test_vit", "stride=8", "stride=8 needs a map of that stride"),
    "map of segmentation": (
        "segmentation", "torchvision/shufflenet_v2_x0_5", "stride=32", "no feature maps that are",
    ),
    "map of the probe": (
        "dense-probe", "torchvision/shufflenet_v2_x0_5", "steps=1", "no feature maps that are",
    ),
    "pixels": ("inpainting", "caffenet", 'rows=["prediction"]', "a caffenet-trunk predicts no pix"),
    "map of detection": (
        "detection", "torchvision/shufflenet_v2_x0_5", "steps=1", "no feature maps that are",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verb", [plan, run_transfer])
def test_run_and_dry_run_refuse_before_data_are_read(
    name: str, verb: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no data: whatever is said is said before."""
    task, architecture, change, message = REFUSED[name]
    monkeypatch.setattr(Request, "load_weights", lambda _: weights_of(architecture))
    with pytest.raises(InputError, match=message):
        verb(without_data(tmp_path, task, change))  # type: ignore[operator]
    assert not (tmp_path / "run").exists()


def without_data(folder: Path, task: str, change: str, engine: str = "native") -> Request:
    return Request(
        task=task,
        weights="w",
        data=folder / "nothing",
        out=folder / "run",
        recipe="smoke",
        changes=(change,),
        device="cpu",
        engine=engine,
    )


def weights_of(architecture: str) -> Weights:
    if architecture == "caffenet":
        return random_weights(0)
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    weights = random_foreign_weights(architecture)
    trunk = {name: t for name, t in weights.tensors.items() if name not in FC_TENSORS}
    return replace(weights, tensors=trunk)


OTHER_ENGINES = {
    "head of convolutions": (
        "detection", "detectron2", "torchvision/resnet18", "steps=1", "takes networks whose head",
    ),
    "arithmetic": ("segmentation", "mmseg", "caffenet", "precision=bf16", "computes with precis"),
    "optimizer": ("segmentation", "mmseg", "caffenet", "optimizer=adamw", "trains with optimizer"),
    "warm-up": ("segmentation", "mmseg", "caffenet", "warmup_steps=2", "without warm-up"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_ENGINES)
@pytest.mark.parametrize("verb", [plan, run_transfer])
def test_what_another_engine_cannot_compute_is_refused_before_data_are_read(
    name: str, verb: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not its package is installed here."""
    task, engine, architecture, change, message = OTHER_ENGINES[name]
    monkeypatch.setattr(Request, "load_weights", lambda _: weights_of(architecture))
    monkeypatch.setattr(run, "check_engine", lambda *_: None)
    with pytest.raises(InputError, match=f"--engine {engine}.*{message}"):
        verb(without_data(tmp_path, task, change, engine))  # type: ignore[operator]
    assert not (tmp_path / "run").exists()


def test_detectron2_is_refused_on_cuda() -> None:
    recipe, _ = resolve_recipe("detection", "smoke", ())
    for engine in ("native", "detectron2"):
        TASKS["detection"].check_engine(recipe, random_weights(0), engine, torch.device("cpu"))
    TASKS["detection"].check_engine(recipe, random_weights(0), "native", torch.device("cuda"))
    with pytest.raises(InputError, match="not repeatable on CUDA; add --device cpu"):
        TASKS["detection"].check_engine(
            recipe, random_weights(0), "detectron2", torch.device("cuda")
        )


@pytest.mark.parametrize("task", [name for name in TASKS if name != "inpainting"])
def test_caffenet_passes_with_every_task(task: str) -> None:
    recipe, _ = resolve_recipe(task, "smoke", ())
    TASKS[task].check_weights(recipe, random_weights(0))
