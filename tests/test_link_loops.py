"""Links that lead round in a circle, as data or as a place to write to, are one line."""

from pathlib import Path

import pytest
import torch

from cebench.errors import InputError
from cebench.files import check_writable, without_links
from cebench.suite.suite_file import load_suite
from cebench.toy.world import check_toy_world, set_sizes
from cebench.transfer.run import Request, identity_of
from cebench.weights.files import random_weights


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path / "loop"


def test_links_are_followed_but_for_a_circle(tmp_path: Path, loop: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert without_links(tmp_path / "link/a") == tmp_path.resolve() / "a"
    assert without_links(loop) == tmp_path.resolve() / "loop"


def test_a_folder_to_write_to_is_refused(loop: Path) -> None:
    with pytest.raises(InputError, match=r"loop: is a link that leads nowhere; choose another"):
        check_writable(loop)
    with pytest.raises(InputError, match=r"loop is a link that leads nowhere; choose another"):
        check_writable(loop / "runs")


def test_data_of_a_finished_run_may_be_one(loop: Path) -> None:
    request = Request(task="knn", weights="random", data=loop, out=loop.parent / "out")
    recipe, name = request.resolve()
    identity = identity_of(request, recipe, name, random_weights(0), torch.device("cpu"))
    assert identity["run"]["data"].endswith("/loop")


def test_a_toy_world_there_is_another_folder(loop: Path) -> None:
    assert check_toy_world(loop, images=4, seed=0) == set_sizes(4)


def test_data_of_a_suite_may_be_one(loop: Path) -> None:
    suite = load_suite("backbones.toml", {"voc": str(loop)}).suite
    assert str(suite.data["voc"]).endswith("/loop")
