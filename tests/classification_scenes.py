"""The smallest recipe and a run of it, for the tests of classification."""

from pathlib import Path

import torch

from cebench.training.run_directory import RunDirectory
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.classification.task import measure
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import Weights, random_weights


def recipe(**changes: object) -> ClassificationRecipe:
    """One step of the smallest variant: without fc6 and fc7 a run takes a second."""
    values = {
        "train_from": "pool5",
        "tier": "smoke", "train_set": "train", "test_set": "val", "steps": 1, "batch_size": 2,
        "test_crops": 2, "log_every": 1, "checkpoint_every": 100,
    }  # fmt: skip
    return ClassificationRecipe.model_validate({**values, **changes})


def run(
    chosen: ClassificationRecipe,
    devkit: Path,
    out: Path,
    seed: int = 0,
    weights: Weights | None = None,
) -> Outcome:
    identity = {"run": {"verb": "transfer"}, "recipe": chosen.model_dump()}
    with RunDirectory(out, identity) as directory:
        run_context = RunContext(
            run=directory,
            weights=weights or random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return measure(chosen, run_context)
