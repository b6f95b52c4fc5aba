import pytest
from classification_scenes import recipe

from cebench.config import load_recipe
from cebench.errors import InputError
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.run import TASKS


def test_options_that_do_not_agree_are_refused() -> None:
    for changes, message in (
        (["min_scale=3", "max_scale=1"], "recipe classification-smoke: min_scale=3 exceeds max_"),
        (["train_from=pool5", "random_from=drop7"], "smoke: train_from=pool5 has no fc6 and fc7"),
    ):
        with pytest.raises(InputError, match=message):
            load_recipe(
                ClassificationRecipe, "cebench.transfer", "classification", "smoke", changes
            )


def test_the_protocols_name_tells_other_years_and_scales() -> None:
    chosen, _ = load_recipe(ClassificationRecipe, "cebench.transfer", "classification", "paper")
    assert TASKS["classification"].protocol_name(chosen, "native") == (
        "voc-classification-10-crops"
    )
    assert recipe(train_from="all", year=2012).variant == "voc2012-2-crops"
    assert recipe(train_from="all", max_scale=1).variant == "scales-0.5-1-2-crops"
    # By area the scales have no part in it.
    assert recipe(train_from="all", max_scale=1, crop_rule="area").variant == "area-rule-2-crops"


def test_the_paper_recipe_is_the_authors_solver() -> None:
    paper, _ = load_recipe(ClassificationRecipe, "cebench.transfer", "classification", "paper")
    assert paper.model_dump() == {
        "tier": "paper", "log_every": 100, "checkpoint_every": 2000,
        "year": 2007, "train_set": "trainval", "test_set": "test",
        "train_from": "all", "random_from": "pool5", "head_init": "voc-classification",
        "steps": 80_000, "batch_size": 16, "learning_rate": 1e-3, "halve_every": 10_000,
        "momentum": 0.9, "weight_decay": 1e-6, "clip_gradients": 10.0,
        "crop_rule": "scale", "min_scale": 0.5, "max_scale": 2.0, "test_crops": 10,
        "precision": "fp32", "optimizer": "sgd", "adamw_learning_rate": 1e-4,
        "adamw_weight_decay": 0.05, "layer_decay": 1, "warmup_steps": 0, "decay_from": 1,
        "final_rate": 0.02, "pooling": "network",
    }  # fmt: skip
