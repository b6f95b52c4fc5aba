"""Runs on frozen features at their smoke recipes, for the tests of the SVMs and of knn."""

from pathlib import Path

import numpy as np
import torch

from cebench.config import Recipe, load_recipe
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import Weights, random_weights


def measured(
    task: object,
    recipe: Recipe,
    devkit: Path,
    out: Path,
    seed: int = 0,
    weights: Weights | None = None,
) -> Outcome:
    identity = {"run": {"verb": "transfer"}, "recipe": recipe.model_dump(mode="json")}
    with RunDirectory(out, identity) as directory:
        run_context = RunContext(
            run=directory,
            weights=weights or random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return task.measure(recipe, run_context)  # type: ignore[attr-defined, no-any-return]


def smoke(kind: type[Recipe], task: str, *changes: str) -> Recipe:
    return load_recipe(kind, "cebench.transfer", task, "smoke", changes)[0]


def clouds(count: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1 in two clouds that overlap, and their signs."""
    rng = np.random.default_rng(seed)
    signs = np.where(np.arange(count) % 4 == 0, 1, -1).astype(np.int8)
    features = rng.normal(size=(count, size)) + 0.6 * signs[:, None] * np.ones(size) / size**0.25
    return features / np.linalg.norm(features, axis=1, keepdims=True), signs
