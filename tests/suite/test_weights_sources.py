"""Rows of weights that are there, imported or rescaled: what they are known by, and their line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import SIDECAR
from toy_suite import TOY, Planned

from cebench.errors import InputError
from cebench.suite.plan import SuiteRequest, known_plan
from cebench.weights.files import save_weights


def weights_file(path: Path, **changes: Any) -> None:
    save_weights(path, {"conv1.weight": torch.zeros(1)}, replace(SIDECAR, **changes))


def test_weights_that_are_there_count_with_all_that_is_said_of_them(
    planned: Planned, tmp_path: Path
) -> None:
    """The bits alone do not say in which line their numbers stand."""
    file = tmp_path / "mine.safetensors"
    text = f"{TOY}[rows.mine]\nweights = '{file}'\ntasks = ['classification']\n"
    text = text.replace("[rows.context-gan]", "[rows.context-gan]\nset = []")
    weights_file(file, method="one")
    first = planned(text)["mine-classification-s0"]
    assert first.line == "one"
    weights_file(file, method="two")
    request = SuiteRequest(file=str(tmp_path / "suite.toml"), out=tmp_path / "out")
    assert known_plan(request) is None
    second = planned(text)["mine-classification-s0"]
    assert second.line == "two"
    assert second.key != first.key


def test_weights_of_one_line_are_replicates_or_refused(planned: Planned, tmp_path: Path) -> None:
    rows = "".join(
        f"[rows.{name}]\nweights = '{tmp_path / name}.safetensors'\ntasks = ['classification']\n"
        for name in ("a", "b")
    )
    for name, seed in (("a", 0), ("b", 1)):
        weights_file(tmp_path / f"{name}.safetensors", method="mine", seed=seed)
    lines = [cell.line for cell in planned(TOY + rows).values() if cell.row in ("a", "b")]
    assert lines == ["mine"] * 4
    for other in ({"seed": 0}, {"seed": 1, "recipe_values": {"steps": 7}, "recipe_sha256": ""}):
        weights_file(tmp_path / "b.safetensors", method="mine", **other)
        with pytest.raises(InputError, match="rows a and b are both of method mine"):
            planned(TOY + rows)


def test_checkpoints_with_a_seed_each_are_pretrainings_of_one_line(
    planned: Planned, tmp_path: Path
) -> None:
    """Alike in all but file and seed: the prefix is how the file is read."""
    row = "method = 'mine'\nas = 'caffenet'\ntasks = ['classification']\n"
    for name in "ab":
        (tmp_path / f"{name}.pth").write_bytes(name.encode())

    def rows(a: str, b: str) -> str:
        given = zip("ab", (a, b), strict=True)
        return TOY + "".join(
            f"[rows.{n}]\ncheckpoint = '{n}.pth'\n{row}{more}" for n, more in given
        )

    cells = planned(rows("seed = 0\n", "seed = 1\n"))
    assert [cells[name].request["seed"] for name in "ab"] == [0, 1]
    assert {cell.line for cell in cells.values() if cell.row in ("a", "b")} == {"mine"}
    for one, other in (
        ("", "seed = 1\n"),
        ("seed = 1\n",) * 2,
        ("seed = 0\n", "seed=1\nprefix='p'\n"),
    ):
        with pytest.raises(InputError, match="rows a and b are both of method mine"):
            planned(rows(one, other))
    with pytest.raises(InputError, match=r"seed: no option of a row that is pretrained"):
        planned(f"{TOY}[rows.he]\nmethod = 'random-he'\nseed = 0\n")


def test_an_edited_mapping_is_noticed(planned: Planned, tmp_path: Path) -> None:
    mapping = tmp_path / "pixels.toml"
    (tmp_path / "a.pth").write_bytes(b"a")
    row = "[rows.a]\ncheckpoint = 'a.pth'\nas = 'caffenet'\nmapping = 'pixels.toml'\n"
    text = f"{TOY}{row}tasks = ['classification']\n"
    with pytest.raises(InputError, match=r"pixels\.toml: no such"):
        planned(text)
    mapping.write_text("mean_rgb = [1, 2, 3]\n")
    first = planned(text)["a"]
    request = SuiteRequest(file=str(tmp_path / "suite.toml"), out=tmp_path / "out")
    assert known_plan(request) is not None
    mapping.write_text("mean_rgb = [1, 2, 30]\n")
    assert known_plan(request) is None
    assert planned(text)["a"].key != first.key


def test_a_generator_is_finished_when_its_model_stands(planned: Planned, tmp_path: Path) -> None:
    (tmp_path / "center.t7").write_bytes(b"")
    row = "[rows.released]\ncheckpoint = 'center.t7'\nlike = 'inpaint-center'\n"
    row += "tasks = ['inpainting']\n"
    cells = planned(TOY + row, ('rows = ["context-gan"]', 'rows = ["released"]'))
    assert Path(cells["released"].result).name == "model.json"


def test_checkpoints_of_one_name_or_a_broken_one_are_refused(
    planned: Planned, tmp_path: Path
) -> None:
    folder = tmp_path / "found"
    folder.mkdir()
    text = f"{TOY}[checkpoints]\nfolder = '{folder}'\nas = 'torchvision/alexnet'\n"
    text += "tasks = ['classification']\n"
    (folder / "a.pth").write_bytes(b"a")
    assert planned(text)["a-classification-s0"].line == "a (torchvision/alexnet)"
    (folder / "a.pt").write_bytes(b"b")
    with pytest.raises(InputError, match=r"a\.pth: another row is called 'a'; rename the file"):
        planned(text)
    (folder / "a.pt").rename(folder / "b\nc.pt")
    with pytest.raises(InputError, match=r"found: row 'b\\nc': a name stands in one line"):
        planned(text)
    (folder / "b\nc.pt").rename(folder / "random.pt")
    with pytest.raises(InputError, match=r"random\.pt: another row is called 'random'"):
        planned(text)


@pytest.mark.parametrize(
    ("folder", "data", "remedy"),
    [("{mine}", "mine = 'nowhere'\n", "give --data mine=FOLDER"), ("nowhere", "", "correct chec")],
)
def test_checkpoints_that_are_nowhere_name_the_remedy(
    planned: Planned, folder: str, data: str, remedy: str
) -> None:
    text = TOY.replace("[data]\n", f"[data]\n{data}")
    with pytest.raises(InputError, match=f"nowhere: no such folder of checkpoints; {remedy}"):
        planned(f"{text}[checkpoints]\nfolder = '{folder}'\n")
