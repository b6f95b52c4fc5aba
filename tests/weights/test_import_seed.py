"""Several checkpoints of one method: its pretrainings."""

from pathlib import Path

import torch
import torchvision

from cebench.weights.files import load_weights
from cebench.weights.importing import import_weights


def test_pretrainings_of_one_row_differ_in_seed_and_file_alone(tmp_path: Path) -> None:
    torch.manual_seed(2)
    resnet = torchvision.models.resnet18()
    imports = {}
    for name, scale, seed in (("a", 1, 0), ("b", 2, 1), ("c", 3, None)):
        state = {n: t * scale if n == "conv1.weight" else t for n, t in resnet.state_dict().items()}
        file, out = tmp_path / f"{name}.pth", tmp_path / name
        torch.save(state, file)
        imported = import_weights(file, "torchvision/resnet18", "mine", out, seed=seed)
        assert imported.sidecar.seed == load_weights(out).sidecar.seed == seed
        imports[name] = load_weights(out).sidecar
    a, b, c = imports.values()
    assert a.sha256 != b.sha256
    assert a.recipe_sha256 == b.recipe_sha256 != c.recipe_sha256
    assert a.recipe_values["file_sha256"] != b.recipe_values["file_sha256"]
