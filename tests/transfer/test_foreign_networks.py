"""Networks of timm and torchvision through the columns on whole images."""

from pathlib import Path

import pytest
from foreign_networks import NETWORKS, random_foreign_weights
from svm_scenes import measured, smoke

from cebench.config import load_recipe
from cebench.errors import InputError
from cebench.transfer.classification import task as classification
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.knn import task as knn
from cebench.transfer.knn.recipe import KnnRecipe
from cebench.transfer.linear_svm import task as linear_svm
from cebench.transfer.linear_svm.recipe import LinearSvmRecipe
from cebench.transfer.segmentation.recipe import SegmentationRecipe

pytest.importorskip("timm")

DEEPEST = {
    "timm/test_vit": "block6",
    "timm/test_convnext": "stage4",
    "timm/test_resnet": "conv5",
    "timm/test_efficientnet": "stage5",
    "timm/swin_tiny_patch4_window7_224": "stage4",
    "torchvision/resnet18": "conv5",
    "torchvision/vit_b_16": "block12",
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NETWORKS)
def test_classification_svms_and_neighbours(architecture: str, toy: Path, tmp_path: Path) -> None:
    weights, layer = random_foreign_weights(architecture), DEEPEST[architecture]
    quick = ("steps=2", "batch_size=2", "test_crops=1", 'optimizer="by-network"', "layer_decay=0.7")
    tasks = (
        (classification, smoke(ClassificationRecipe, "classification", *quick)),
        (linear_svm, smoke(LinearSvmRecipe, "linear-svm", f'layers=["{layer}"]', "costs=[0.1]")),
        (knn, smoke(KnnRecipe, "knn")),
    )
    for task, recipe in tasks:
        outcome = measured(task, recipe, toy, tmp_path / task.TASK.protocol, weights=weights)
        assert all(m.value >= 0 for m in outcome.measurements)


def test_pooled_tokens_are_another_protocol_and_other_features(toy: Path, tmp_path: Path) -> None:
    weights, found = random_foreign_weights("timm/test_vit"), []
    for pooling in ("network", "both"):
        recipe = smoke(KnnRecipe, "knn", f'pooling="{pooling}"')
        outcome = measured(knn, recipe, toy, tmp_path / pooling, weights=weights)
        found.append([m.value for m in outcome.measurements])
    assert knn.TASK.protocol_name(recipe, "native") == "voc-knn-pool5-both-pooling"
    assert found[0] != found[1]


def test_the_librarys_own_crop_is_another_protocol_and_another_view(
    toy: Path, tmp_path: Path
) -> None:
    weights, found = random_foreign_weights("timm/test_vit"), []
    for geometry in ("squash", "library"):
        recipe = smoke(KnnRecipe, "knn", f'geometry="{geometry}"')
        outcome = measured(knn, recipe, toy, tmp_path / geometry, weights=weights)
        found.append([m.value for m in outcome.measurements])
    assert knn.TASK.protocol_name(recipe, "native") == "voc-knn-pool5-library"
    assert found[0] != found[1]


def test_caffenet_has_no_librarys_crop(toy: Path, tmp_path: Path) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm", 'geometry="library"')
    with pytest.raises(InputError, match="random: states no resizing and crop of a library"):
        measured(linear_svm, recipe, toy, tmp_path / "run")


def test_a_network_without_tokens_is_refused_in_one_line(toy: Path, tmp_path: Path) -> None:
    recipe = smoke(KnnRecipe, "knn", 'pooling="token"')
    weights = random_foreign_weights("timm/test_resnet")
    with pytest.raises(InputError, match="test_resnet: has no tokens that pooling=token could"):
        measured(knn, recipe, toy, tmp_path / "run", weights=weights)


@pytest.mark.parametrize(
    ("kind", "task", "rates"),
    [
        (ClassificationRecipe, "classification", (1e-3, 2e-4)),
        (DetectionRecipe, "detection", (2e-3, 1e-4)),
        (SegmentationRecipe, "segmentation", (5e-3, 2e-4)),
    ],
)
def test_modern_recipes_choose_by_the_network_and_end_at_the_last_step(
    kind: type[ClassificationRecipe], task: str, rates: tuple[float, float]
) -> None:
    recipe, name = load_recipe(kind, "cebench.transfer", task, "modern")
    assert (name, recipe.tier, recipe.optimizer) == (f"{task}-modern", "small", "by-network")
    assert (recipe.learning_rate, recipe.adamw_learning_rate) == rates
    assert recipe.layer_decay == 0.75
    # The published steps to a half or a tenth lie beyond the end; the linear fall is what counts.
    assert getattr(recipe, "tenth_every", 0) in (0, recipe.steps)
    assert recipe.rate_factor(recipe.steps - 1, recipe.steps) < 0.05
    assert recipe.rate_factor(0, recipe.steps) == 1 / recipe.warmup_steps
