"""Checkpoints as laboratories write them, and tensors that are no weights."""

import argparse
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.weights.foreign_tensors import check_is_dense_float, check_prefix
from cebench.weights.readers.state_dicts import read_state_dict

STATE = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2)}
DINO = {
    "student": {f"module.backbone.{n}": v for n, v in STATE.items()},
    "teacher": {f"backbone.{n}": v for n, v in STATE.items()},
    "args": argparse.Namespace(lr=0.1, arch="vit_small"),
    "epoch": 300,
}
VISSL = {"phase": 1, "classy_state_dict": {"base_model": {"model": {"trunk": STATE, "heads": {}}}}}


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


def test_options_and_scores_beside_the_state_dict_are_no_obstacle(tmp_path: Path) -> None:
    best = {"best": np.float64(77.1), "step": np.int64(3), "args": argparse.Namespace(lr=0.1)}
    state = read_state_dict(saved(tmp_path, {"state_dict": STATE, **best})).tensors
    assert torch.equal(state["conv.weight"], STATE["conv.weight"])


def test_an_optimizers_state_is_never_taken(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"net": {"inner": network.state_dict()}, "optimizer": optimizer.state_dict()}
    assert [*read_state_dict(saved(tmp_path, content)).tensors] == ["weight", "bias"]


@pytest.mark.parametrize(
    "inside",
    [
        "classy_state_dict.base_model.model.trunk",
        "classy_state_dict",
        "classy_state_dict.base_model",
        "",
    ],
)
def test_dicts_in_dicts_are_searched_and_named(inside: str, tmp_path: Path) -> None:
    assert read_state_dict(saved(tmp_path, VISSL), inside).tensors.keys() == STATE.keys()


def test_keys_may_have_dots_of_their_own(tmp_path: Path) -> None:
    content = {"a": {"b": 1}, "a.b": {"c": STATE}, "d": STATE}
    assert read_state_dict(saved(tmp_path, content), "a.b.c").tensors.keys() == STATE.keys()


def test_several_state_dicts_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 2 state dicts, .* --inside: student, teacher"):
        read_state_dict(saved(tmp_path, DINO))
    found = read_state_dict(saved(tmp_path, DINO), "teacher").tensors
    assert [*found] == ["backbone.conv.weight", "backbone.conv.bias"]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (("module.encoder_q.", "module.encoder_k."), "module.encoder_q. or module.encoder_k., try"),
        (("backbone.",), "names begin with backbone., try --prefix backbone.$"),
    ],
)
def test_the_prefix_that_would_fit_is_named(prefixes: tuple[str, ...], message: str) -> None:
    state = {f"{prefix}{n}": v for prefix in prefixes for n, v in STATE.items()}
    with pytest.raises(InputError, match=message):
        check_prefix(state, STATE, Path("a.pth"))
    check_prefix(STATE, STATE, Path("a.pth"))
    check_prefix({"x.conv.weight": STATE["conv.weight"]}, STATE, Path("a.pth"))  # Half of it.


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.eye(2).to_sparse(), "sparse"),
        (lambda: torch.empty(2, device="meta"), "a shape without numbers"),
        (lambda: torch.ones(2, dtype=torch.complex64), "complex64"),
        (lambda: torch.ones(2, dtype=torch.int8), "int8"),
        (lambda: torch.ones(1).expand(9), "a view that repeats its numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_weights(value: Callable[[], Tensor], kind: str) -> None:
    with pytest.raises(InputError, match=rf"a\.pth: w is {kind}.*; expected a dense floating"):
        check_is_dense_float("w", value(), Path("a.pth"))
    check_is_dense_float("w", torch.ones(2, dtype=torch.float16)[1:], Path("a.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {0: torch.ones(3), 1: torch.ones(2)},
            "names its tensors by 0 and the like, expected text",
        ),
        ({**STATE, 7: torch.ones(2)}, "names its tensors by 7 and the like"),
        ({"model": nn.Linear(2, 2)}, r"it holds a torch\.nn\.modules\.linear\.Linear"),
        (torch.ones(3), "holds 0 state dicts, expected one; it is a Tensor"),
    ],
)
def test_other_contents_are_named(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_state_dict(saved(tmp_path, content))


def test_truncated_files_and_other_files_are_named(tmp_path: Path) -> None:
    file = saved(tmp_path, STATE)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"without running code \(it is truncated\)"):
        read_state_dict(file)
    save_file(STATE, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[:-4])
    with pytest.raises(InputError, match=r"a\.safetensors: not a safetensors file"):
        read_state_dict(tmp_path / "a.safetensors")
    file.write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    with pytest.raises(InputError, match=r"a\.pth: is a web page, so the download failed"):
        read_state_dict(file)


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["a.pth", "old.pth", "a.safetensors"]))
def test_mutated_checkpoints_end_in_tensors_or_one_error(data: st.DataObject, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name == "a.safetensors":
            save_file(STATE, path)
        else:
            torch.save(STATE, path, _use_new_zipfile_serialization=name == "a.pth")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        with contextlib.suppress(InputError):
            read_state_dict(path)
