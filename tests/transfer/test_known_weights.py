"""Known-good weights are told from random ones, on real photographs."""

from pathlib import Path

import pytest
from svm_scenes import measured, smoke

from cebench.config import Recipe
from cebench.transfer.knn import task as knn
from cebench.transfer.knn.recipe import KnnRecipe
from cebench.transfer.linear_svm import task as linear_svm
from cebench.transfer.linear_svm.recipe import LinearSvmRecipe
from cebench.weights.files import Weights, random_weights

IMAGES = 200


@pytest.fixture(scope="module")
def lists(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The first images of train and of val."""
    folder = tmp_path_factory.mktemp("lists")
    changes = []
    for option, name in (("train_set", "train"), ("test_set", "val")):
        full = shared_data / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / f"{name}.txt"
        (folder / f"{name}.txt").write_text("\n".join(full.read_text().split()[:IMAGES]))
        changes.append(f"{option}={folder / name}.txt")
    return changes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "kind", "name"),
    [(linear_svm, LinearSvmRecipe, "linear-svm"), (knn, KnnRecipe, "knn")],
)
def test_imagenet_labels_are_far_above_random_weights(
    task: object,
    kind: type[Recipe],
    name: str,
    imagenet_alexnet: Weights,
    lists: list[str],
    shared_data: Path,
    tmp_path: Path,
) -> None:
    recipe = smoke(kind, name, *lists)
    found = []
    for row, weights in (("imagenet", imagenet_alexnet), ("random", random_weights(0))):
        outcome = measured(task, recipe, shared_data / "VOCdevkit", tmp_path / row, weights=weights)
        (value,) = (m.value for m in outcome.measurements if m.metric == "mean_ap_area")
        found.append(value)
    print(f"{name}: imagenet {found[0]:.3f}, random {found[1]:.3f}")
    assert found[0] > 0.35
    assert found[0] > found[1] + 0.12
