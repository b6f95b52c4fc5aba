import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cebench.commands.weights import weights as weights_command
from cebench.data.patch_treatments import PATCH_RMS, subtract_mean, unit_contrast
from cebench.errors import InputError
from cebench.inpainting.networks import load_inpainter
from cebench.models.caffenet import TRUNK_TENSORS, CaffeNetTrunk
from cebench.weights.files import (
    TRUNK_ARCHITECTURE,
    Preprocessing,
    load_weights,
    random_weights,
    save_weights,
)
from cebench.weights.loading import load_module, load_trunk


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run directory with the weights file of a random trunk."""
    weights = random_weights(seed=3)
    path = tmp_path / "run" / "weights.safetensors"
    path.parent.mkdir()
    save_weights(path, weights.tensors, replace(weights.sidecar, method="context"))
    return path


def test_weights_survive_the_file(saved: Path) -> None:
    loaded, drawn = load_weights(saved), random_weights(seed=3)
    assert loaded.sidecar.method == "context"
    assert loaded.sidecar.architecture == TRUNK_ARCHITECTURE
    assert loaded.name == "run/weights"
    assert set(loaded.tensors) == set(TRUNK_TENSORS)
    assert all(torch.equal(loaded.tensors[name], drawn.tensors[name]) for name in TRUNK_TENSORS)
    assert load_weights(saved.parent).sidecar == loaded.sidecar


def test_contrast_is_what_patches_are_given_and_other_weights_keep_their_identity() -> None:
    sidecar = random_weights(seed=3).sidecar
    assert "contrast_rms" not in sidecar.identity()["preprocessing"]  # Runs rest on its hash.
    seen = Preprocessing(mean_rgb=(0, 0, 0), side=8, contrast_rms=PATCH_RMS)
    changed = replace(sidecar, preprocessing=seen).identity()
    assert changed["preprocessing"]["contrast_rms"] == PATCH_RMS
    patches = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    patches[2] = 90  # A flat one becomes 0.
    torch.testing.assert_close(seen(patches), unit_contrast(subtract_mean(patches)))


def test_a_sidecar_whose_row_would_break_a_line_is_refused(saved: Path) -> None:
    sidecar = saved.with_suffix(".json")
    values = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**values, "method": "context\u2028"}))
    with pytest.raises(InputError, match=r"method: .*a line break or another control character"):
        load_weights(saved)


def test_the_proof_counts_tensors_and_shows_that_the_response_changed(saved: Path) -> None:
    trunk, weights = CaffeNetTrunk(), load_weights(saved)
    proof = load_trunk(trunk, weights)
    assert proof.matched == TRUNK_TENSORS
    assert proof.unexpected == ()
    assert proof.relative_response_change > 0.01
    assert all(
        torch.equal(trunk.state_dict()[name], weights.tensors[name]) for name in proof.matched
    )


@pytest.mark.parametrize(
    ("architecture", "values", "method"),
    [
        ("inpainting-generator", {}, "context-gan"),
        ("context-encoder", {"pooling": "none"}, "context-gan with pooling=none"),
    ],
)
def test_a_method_without_a_trunk_is_not_said_to_have_left_one(
    tmp_path: Path, architecture: str, values: dict[str, str], method: str
) -> None:
    sidecar = replace(
        random_weights(0).sidecar,
        architecture=architecture,
        method="context-gan",
        recipe_values=values,
        recipe_sha256="",
    )
    model = tmp_path / "gan" / "model.safetensors"
    save_weights(model, {"x": torch.zeros(1)}, sidecar)
    with pytest.raises(InputError, match=f"gan: {method} has no trunk, .* model.safetensors alone"):
        load_weights(model.parent)
    with pytest.raises(InputError, match=rf"expected a trunk; {method} has none$"):
        load_trunk(CaffeNetTrunk(), load_weights(model))


def test_further_tensors_are_named_but_do_no_harm(saved: Path) -> None:
    weights = load_weights(saved)
    weights.tensors["fc8.bias"] = torch.zeros(20)
    assert load_trunk(CaffeNetTrunk(), weights).unexpected == ("fc8.bias",)


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    weights = load_weights(saved)
    renamed = {f"features.{name}": tensor for name, tensor in weights.tensors.items()}
    with pytest.raises(InputError, match=r"0 of 10 tensors fit; missing conv1\.weight"):
        load_trunk(CaffeNetTrunk(), replace(weights, tensors=renamed))
    wider = {**weights.tensors, "conv1.weight": torch.zeros(64, 3, 11, 11)}
    with pytest.raises(InputError, match=r"9 of 10 .*conv1\.weight is \(64, 3, 11, 11\) where"):
        load_trunk(CaffeNetTrunk(), replace(weights, tensors=wider))
    with pytest.raises(InputError, match="holds a caffenet-trunk, expected a context-encoder"):
        load_module(CaffeNetTrunk(), weights, "context-encoder")
    whole = replace(weights.sidecar, architecture="caffenet-classifier")
    with pytest.raises(InputError, match=r"holds a caffenet-classifier, expected a trunk; .* in "):
        load_trunk(CaffeNetTrunk(), replace(weights, sidecar=whole))
    with pytest.raises(InputError, match="of method context, which has no decoder; name the run"):
        load_inpainter(weights, torch.device("cpu"))


def test_a_flipped_bit_a_missing_file_and_a_strange_sidecar_are_named(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1000] ^= 4
    saved.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors: damaged.*again with --no-resume"):
        load_weights(saved)
    sidecar = saved.with_suffix(".json")
    values = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**values, "colour": "blue"}))
    with pytest.raises(InputError, match=r"weights\.json: not a weights sidecar: colour"):
        load_weights(saved)
    for change, message in (
        ({"schema": 1}, r"schema 1, expected 2: pretrain or import again"),
        ({"recipe_values": {"steps": 3}}, r"recipe_sha256 is not the hash of recipe_values"),
    ):
        sidecar.write_text(json.dumps({**values, **change}))
        with pytest.raises(InputError, match=rf"weights\.json: .*{message}") as caught:
            load_weights(saved)
        assert "\n" not in str(caught.value)
    sidecar.unlink()
    with pytest.raises(InputError, match=r"has no weights\.json beside it"):
        load_weights(saved)
    with pytest.raises(InputError, match="no such weights file"):
        load_weights(saved.with_name("absent.safetensors"))


def test_a_file_that_was_deleted_beside_its_sidecar_is_gone(saved: Path) -> None:
    saved.unlink()
    for path in (saved, saved.parent):
        with pytest.raises(InputError, match=r"is gone, though weights\.json is there; restore"):
            load_weights(path)
    with pytest.raises(InputError, match=rf"delete {saved.with_suffix('.json')} and make"):
        load_weights(saved)
    (saved.parent / "run.toml").touch()
    with pytest.raises(InputError, match=rf"delete {saved.parent} and make"):
        load_weights(saved)


def test_the_sidecar_in_place_of_its_file_is_not_called_damaged(saved: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.json: is a sidecar; give weights\.safetensors"):
        load_weights(saved.with_suffix(".json"))


def test_random_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (random_weights(seed).tensors["conv2.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_inspect_prints_sidecar_tensors_and_verdict(saved: Path, runner: CliRunner) -> None:
    result = runner.invoke(weights_command, ["inspect", str(saved), "--json"])
    summary = json.loads(result.stdout)
    assert summary["parameters"] == 2_334_080
    assert summary["tensors"]["conv1.weight"]["shape"] == [96, 3, 11, 11]
    assert summary["sidecar"]["method"] == "context"
    assert summary["trunk"].startswith("10 tensors matched")
    text = runner.invoke(weights_command, ["inspect", str(saved)]).stdout
    assert "2,334,080 parameters" in text
    assert "96x3x11x11" in text
