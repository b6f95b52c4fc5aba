from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fc_weights import SHAPES, weights_with_fc
from segmentation_scenes import CPU, IDENTITY, recipe, train_data

from cebench.errors import InputError
from cebench.models.fcn import FCN
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import RunContext
from cebench.transfer.segmentation.task import build
from cebench.weights.files import Weights, random_weights


def built(devkit: Path, folder: Path, weights: Weights, **changes: object) -> FCN:
    with RunDirectory(folder / "run", IDENTITY) as run:
        context = RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU)
        return build(recipe(**changes), context, train_data(devkit))


def test_drop7_takes_fc6_as_a_convolution_of_6_x_6(devkit: Path, tmp_path: Path) -> None:
    weights = weights_with_fc()
    head = built(devkit, tmp_path, weights, random_from="drop7").head
    assert head.fc6.weight.shape == (4096, 256, 6, 6)
    pool5 = torch.randn(1, 256, 6, 6, generator=torch.Generator().manual_seed(0))
    tensors = weights.tensors
    with torch.no_grad():
        found = head.fc7(F.relu(head.fc6(pool5))).flatten()
    fc6 = F.relu(tensors["fc6.weight"] @ pool5.flatten() + tensors["fc6.bias"])
    expected = tensors["fc7.weight"] @ fc6 + tensors["fc7.bias"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_pool5_draws_them_and_weights_without_them_are_refused(
    devkit: Path, tmp_path: Path
) -> None:
    weights = weights_with_fc()
    state = built(devkit, tmp_path, weights).head.state_dict()
    assert all(
        not torch.equal(state[name], weights.tensors[name].view_as(state[name])) for name in SHAPES
    )
    with pytest.raises(InputError, match=r"random: has no fc6.weight; random_from=drop7 needs"):
        built(devkit, tmp_path, random_weights(0), random_from="drop7")
