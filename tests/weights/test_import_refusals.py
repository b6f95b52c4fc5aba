"""What a checkpoint of another network, or of other names, is told."""

import errno
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from cebench.errors import InputError
from cebench.models.backbones import build_backbone
from cebench.weights import files
from cebench.weights.importing import Imported, import_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def resnet() -> State:
    torch.manual_seed(2)
    return dict(torchvision.models.resnet18().state_dict())


def imported(folder: Path, state: State, method: str = "mine", out: str = "out/mine") -> Imported:
    torch.save(state, folder / "mine.pth")
    return import_weights(folder / "mine.pth", "torchvision/resnet18", method, folder / out)


def test_a_deeper_network_is_none_with_layers_to_spare(tmp_path: Path, resnet: State) -> None:
    third = {
        name.replace("layer1.1", "layer1.2"): value
        for name, value in resnet.items()
        if name.startswith("layer1.1")
    }
    message = (
        r"mine\.pth: is deeper than torchvision/resnet18, which has no layer1\.2\.conv1\.weight, "
        r".* and 9 more; give --as of the file's own network"
    )
    with pytest.raises(InputError, match=message):
        imported(tmp_path, resnet | third)
    assert not (tmp_path / "out").exists()


def test_what_stands_behind_the_trunk_is_left_out_part_by_part(
    tmp_path: Path, resnet: State
) -> None:
    projector = {f"projector.{n}.weight": torch.zeros(8, 512) for n in range(5)}
    text = str(imported(tmp_path, resnet | projector))
    assert "unexpected fc.weight, fc.bias: left out" in text
    assert (
        "unexpected projector.0.weight, projector.1.weight, projector.2.weight and 2 more" in text
    )


def test_other_names_are_shown_beside_those_that_are_missing(tmp_path: Path, resnet: State) -> None:
    """As `nn.Sequential(*children)` names them; counters, which files may lack, fit nothing."""
    places = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in range(1, 5)}}
    renamed = {
        f"backbone.{places[part]}.{rest}": value
        for name, value in resnet.items()
        for part, _, rest in [name.partition(".")]
        if part in places
    }
    message = (
        r"does not fit torchvision/resnet18: 0 of 100 tensors fit; missing conv1\.weight, .* more; "
        r"without a place there backbone\.0\.weight, backbone\.1\.weight, backbone\.1\.bias and"
    )
    with pytest.raises(InputError, match=message):
        imported(tmp_path, renamed)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("torchvision/ResNet50", "resnet50"),
        ("torchvision/resnet_50", "resnet50"),
        ("timm/vit-tiny-patch16-224", "vit_tiny_patch16_224"),
    ],
)
def test_the_network_that_was_meant_is_named(name: str, meant: str) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    with pytest.raises(InputError, match=rf"no classifier of this name; did you mean {meant}\?$"):
        build_backbone(name)


def test_a_row_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--method: is empty; give the name of your row"):
        imported(tmp_path, {}, method=" ")


def test_a_folder_below_a_file_is_told_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.pth is a file; choose another --out"):
        imported(tmp_path, {}, out="mine.pth/out")


@pytest.mark.parametrize("full_at", ["save_tensors", "write_atomically"])
def test_a_full_disk_leaves_neither_tensors_nor_folder(
    tmp_path: Path, full_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    drawn = files.random_weights(0)
    monkeypatch.setattr(files, full_at, full)
    with pytest.raises(OSError, match="No space left"):
        files.save_weights(tmp_path / "a/b/weights.safetensors", drawn.tensors, drawn.sidecar)
    assert not list(tmp_path.iterdir())


def test_a_prefix_that_is_too_short_is_completed(tmp_path: Path, resnet: State) -> None:
    torch.save({f"net.body.{name}": value for name, value in resnet.items()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"names begin with net\.body\., try --prefix net\.body\."):
        import_weights(
            tmp_path / "a.pth", "torchvision/resnet18", "mine", tmp_path / "out", prefix="net.body"
        )
