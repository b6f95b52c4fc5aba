"""Runs of the SVM tasks at their smoke recipes, for the tests of linear-svm and low-shot-svm."""

from pathlib import Path

import torch

from cebench.config import Recipe, load_recipe
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import random_weights


def measured(task: object, recipe: Recipe, devkit: Path, out: Path, seed: int = 0) -> Outcome:
    with RunDirectory(out, {"recipe": recipe.model_dump(mode="json")}) as directory:
        run_context = RunContext(
            run=directory,
            weights=random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return task.measure(recipe, run_context)  # type: ignore[attr-defined, no-any-return]


def smoke(kind: type[Recipe], task: str, *changes: str) -> Recipe:
    return load_recipe(kind, "cebench.transfer", task, "smoke", changes)[0]
