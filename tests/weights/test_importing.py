import json
import re
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor

from cebench.commands.weights import weights as weights_command
from cebench.errors import InputError
from cebench.models.caffenet import CaffeNetTrunk
from cebench.weights.files import load_weights
from cebench.weights.importing import Imported, import_weights
from cebench.weights.loading import load_backbone, load_trunk

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def alexnet() -> torch.nn.Module:
    torch.manual_seed(1)
    return torchvision.models.alexnet().eval()


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    torch.manual_seed(2)
    return torchvision.models.resnet18().eval()


def taken(file: Path, architecture: str, **options: object) -> Imported:
    return import_weights(
        file,
        architecture,
        "imagenet",
        file.parent / "out",
        **options,  # type: ignore[arg-type]
    )


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvisions_alexnet_computes_what_it_computed_there(
    alexnet: torch.nn.Module, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"alexnet{suffix}"
    save = torch.save if suffix == ".pth" else save_file
    save(alexnet.state_dict(), file)
    imported = taken(file, "torchvision/alexnet")
    weights = load_weights(tmp_path / "out")
    backbone, proof = load_backbone(weights)
    preprocessing = weights.sidecar.preprocessing
    assert (weights.sidecar.method, preprocessing.side) == ("imagenet", 224)
    pixels = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.no_grad():
        features = backbone.trunk(preprocessing(pixels))
        theirs = alexnet.avgpool(alexnet.features((pixels / 255 - mean) / std)).flatten(1)
        torch.testing.assert_close(features, theirs, rtol=1e-4, atol=1e-5)
        fc6 = torch.nn.functional.linear(
            features, weights.tensors["fc6.weight"], weights.tensors["fc6.bias"]
        )
        torch.testing.assert_close(fc6, alexnet.classifier[1](theirs), rtol=1e-4, atol=1e-5)
    assert len(proof.matched) == 10
    assert {*imported.proof.unexpected} == {"classifier.6.weight", "classifier.6.bias"}
    assert imported.transformed["fc7.bias"] == "named classifier.4.bias"


def test_a_wrapped_half_precision_checkpoint_with_a_prefix(
    resnet: torch.nn.Module, tmp_path: Path
) -> None:
    state = {
        f"module.{name}": value.half() if value.is_floating_point() else value
        for name, value in resnet.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    content = {"state_dict": state, "epoch": 7, "optimizer": {"state": {}, "lr": 0.1}}
    file = saved(tmp_path / "resnet.pth", content)
    imported = taken(file, "torchvision/resnet18", prefix="module.")
    assert imported.proof.unexpected == ("fc.weight", "fc.bias")
    assert imported.transformed["conv1.weight"] == "float16 to float32"
    assert "97 more: float16 to float32" in str(imported)
    tensors = load_weights(tmp_path / "out").tensors
    assert torch.equal(
        tensors["layer4.1.conv2.weight"], state["module.layer4.1.conv2.weight"].float()
    )
    assert tensors["bn1.num_batches_tracked"] == 0


FC: State = {
    "fc6.weight": torch.arange(4096.0)[:, None] + torch.arange(9216) / 9216,
    "fc6.bias": torch.ones(4096),
    "fc7.weight": torch.ones(4096, 4096),
    "fc7.bias": torch.ones(4096),
}


@pytest.mark.parametrize(
    "written",
    [
        {"fc6.weight": (4096, 256, 6, 6), "fc7.weight": (4096, 4096, 1, 1)},
        pytest.param(
            {"fc6.weight": (1, 1, 4096, 9216), "fc6.bias": (1, 1, 1, 4096)},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["convolutions", "blobs"],
)
def test_fc6_and_fc7_written_with_other_axes_are_the_same_layers(
    tmp_path: Path, written: dict[str, tuple[int, ...]]
) -> None:
    state = {**CaffeNetTrunk().state_dict(), **FC}
    state |= {name: FC[name].reshape(shape) for name, shape in written.items()}
    imported = taken(saved(tmp_path / "fc.pth", state), "caffenet")
    tensors = load_weights(tmp_path / "out").tensors
    assert all(torch.equal(tensors[name], value) for name, value in FC.items())
    assert imported.incomplete == imported.proof.unexpected == ()
    first = next(iter(written))
    assert imported.transformed[first] == f"{written[first]} to {tuple(FC[first].shape)}"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fc6.weight", (4096, 4096)),
        ("fc6.weight", (9216, 4096)),  # As many numbers, in another order.
        ("fc6.weight", (4096, 6, 6, 256)),
        ("fc7.weight", (1024, 4096)),
        ("fc7.bias", (1024,)),
    ],
)
def test_fc6_and_fc7_of_other_shapes_are_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    state = {**CaffeNetTrunk().state_dict(), **FC, name: torch.zeros(shape)}
    wanted = re.escape(f"{name} is {shape} where {tuple(FC[name].shape)} is needed; say fully")
    with pytest.raises(InputError, match=wanted):
        taken(saved(tmp_path / "fc.pth", state), "caffenet")
    assert not (tmp_path / "out").exists()


def test_caffenet_in_our_own_terms_stays_as_it_is(tmp_path: Path) -> None:
    trunk = CaffeNetTrunk()
    imported = taken(saved(tmp_path / "own.pth", trunk.state_dict()), "caffenet")
    assert imported.transformed == {}
    tensors = load_weights(tmp_path / "out").tensors
    assert all(torch.equal(tensors[name], value) for name, value in trunk.state_dict().items())


def test_the_mapping_states_size_and_range_of_another_network(
    resnet: torch.nn.Module, tmp_path: Path
) -> None:
    file = saved(tmp_path / "r.pth", resnet.state_dict())
    text = 'channels = "BGR"\nrange = [0, 255]\nmean = [1, 2, 3]\nstd = [4, 5, 6]\nside = 160\n'
    (tmp_path / "m.toml").write_text(text)
    taken(file, "torchvision/resnet18", mapping=tmp_path / "m.toml")
    weights = load_weights(tmp_path / "out")
    seen = weights.sidecar.preprocessing
    assert (seen.range, seen.mean_rgb, seen.std_rgb, seen.side) == (
        (0, 255),
        (3, 2, 1),
        (6, 5, 4),
        160,
    )
    assert torch.equal(weights.tensors["conv1.weight"], resnet.state_dict()["conv1.weight"].flip(1))
    assert load_backbone(weights)[0].side == 160


@pytest.mark.parametrize(
    ("architecture", "text", "absent"),
    [
        ("caffenet", "range = [0, 1]", "mean"),
        ("torchvision/resnet18", "range = [0, 255]", "mean and std"),
        ("torchvision/resnet18", "range = [0, 255]\nmean = [1, 2, 3]", "std"),
    ],
)
def test_a_range_without_what_is_in_it_is_refused(
    tmp_path: Path, architecture: str, text: str, absent: str
) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError, match=f"mapping: range without {absent}: the usual ones"):
        taken(tmp_path / "any.pth", architecture, mapping=tmp_path / "m.toml")


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.slow
def test_what_does_not_cover_the_trunk_is_refused(alexnet: torch.nn.Module, tmp_path: Path) -> None:
    state = {n: v for n, v in alexnet.state_dict().items() if n.startswith("features.")}
    wrong = {**state, "features.0.weight": torch.zeros(64, 1, 11, 11)}
    broken = {**state, "features.3.bias": torch.full((192,), torch.nan)}
    dead = {name: torch.zeros_like(value) for name, value in state.items()}
    for content, message in (
        (without(state, "features.3.bias"), r"9 of 10 tensors fit; missing features\.3\.bias"),
        (wrong, r"features\.0\.weight is \(64, 1, 11, 11\) where \(64, 3, 11, 11\) is needed"),
        (broken, r"features\.3\.bias holds values that are not finite"),
        (dead, "its pool5 is zero on noise; these weights compute nothing"),
    ):
        with pytest.raises(InputError, match=message):
            taken(saved(tmp_path / "a.pth", content), "torchvision/alexnet")
        assert not (tmp_path / "out").exists()


def test_files_that_hold_no_state_dict_are_named(tmp_path: Path) -> None:
    state = {"a": torch.zeros(1), "b": torch.zeros(1)}
    for content, message in (
        ({"model": torch.nn.Linear(2, 2)}, r"it holds a torch\.nn\.modules\.linear\.Linear"),
        ({"epoch": 3, "loss": 0.5}, "holds 0 state dicts, expected one; its keys: epoch, loss"),
        ({"net": state, "ema": state}, "holds 2 state dicts, expected one; name it with --inside"),
        ([1, 2], "it is a list"),
    ):
        with pytest.raises(InputError, match=message):
            taken(saved(tmp_path / "a.pth", content), "caffenet")
    with pytest.raises(InputError, match="has no state dict under 'teacher'; its keys: net, ema"):
        taken(saved(tmp_path / "a.pth", {"net": state, "ema": state}), "caffenet", inside="teacher")
    with pytest.raises(InputError, match=r"no name begins with 'module\.'; they are a, b"):
        taken(saved(tmp_path / "a.pth", state), "caffenet", prefix="module.")
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"no tensors")
        with pytest.raises(InputError, match=r"a\.(pth|safetensors): not a"):
            taken(tmp_path / name, "caffenet")
    with pytest.raises(InputError, match="no such file"):
        taken(tmp_path / "absent.pth", "caffenet")


def test_other_mistakes_are_one_line(tmp_path: Path, resnet: torch.nn.Module) -> None:
    file = saved(tmp_path / "r.pth", resnet.state_dict())
    with pytest.raises(InputError, match="--as alexnet: expected caffenet, caffenet-nogroups, "):
        taken(file, "alexnet")
    (tmp_path / "m.toml").write_text('colour = "blue"\n')
    with pytest.raises(InputError, match=r"m\.toml: colour: .* its keys are channels, range"):
        taken(file, "torchvision/resnet18", mapping=tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text('[tensors]\n"conv9.weight" = "conv1.weight"\n')
    with pytest.raises(
        InputError, match=r"'conv9\.weight' is none of ours; they are conv1\.weight"
    ):
        taken(file, "torchvision/resnet18", mapping=tmp_path / "m.toml")
    (tmp_path / "m.toml").write_text('[tensors]\n"conv1.weight" = "conv1.wieght"\n')
    with pytest.raises(InputError, match=r"the file has no 'conv1\.wieght'; it has conv1\.weight"):
        taken(file, "torchvision/resnet18", mapping=tmp_path / "m.toml")
    with pytest.raises(InputError, match=f"{tmp_path.name}: is a folder; give the file"):
        taken(tmp_path, "torchvision/resnet18")
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out: is a file; choose another --out"):
        taken(file, "torchvision/resnet18")
    (tmp_path / "out").unlink()
    taken(file, "torchvision/resnet18")
    with pytest.raises(InputError, match=r"weights\.safetensors: exists; choose another --out"):
        taken(file, "torchvision/resnet18")


def test_tasks_of_caffenet_refuse_another_network_in_one_line(
    resnet: torch.nn.Module, tmp_path: Path
) -> None:
    taken(saved(tmp_path / "r.pth", resnet.state_dict()), "torchvision/resnet18")
    with pytest.raises(InputError, match="holds a torchvision/resnet18, expected a CaffeNet trunk"):
        load_trunk(CaffeNetTrunk(), load_weights(tmp_path / "out"))


def test_timm_networks_go_by_timms_own_names_and_sizes(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet10t", pretrained=False)
    imported = taken(saved(tmp_path / "t.pth", network.state_dict()), "timm/resnet10t")
    assert imported.proof.unexpected == ("fc.weight", "fc.bias")
    backbone, _ = load_backbone(load_weights(tmp_path / "out"))
    assert (backbone.features, backbone.side) == (512, 176)
    assert backbone.layer_names == ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")


@pytest.mark.slow
def test_import_prints_the_proof(
    alexnet: torch.nn.Module, tmp_path: Path, runner: CliRunner
) -> None:
    file = saved(tmp_path / "a.pth", alexnet.state_dict())
    arguments = ["import", str(file), "--as", "torchvision/alexnet", "--method", "imagenet"]
    result = runner.invoke(weights_command, [*arguments, "--out", str(tmp_path / "out")])
    assert "10 tensors matched, 0 missing, 0 of another shape, 2 unexpected" in result.stdout
    assert "transformed fc6.weight: named classifier.1.weight" in result.stdout
    assert "unexpected classifier.6.weight, classifier.6.bias: left out" in result.stdout
    result = runner.invoke(weights_command, [*arguments, "--out", str(tmp_path / "b"), "--json"])
    shown = json.loads(result.stdout)
    assert shown["proof"]["relative_response_change"] > 0.01
    assert shown["sidecar"]["architecture"] == "torchvision/alexnet"
    inspected = runner.invoke(weights_command, ["inspect", str(tmp_path / "out")])
    assert "trunk: 10 tensors matched" in inspected.stdout
