import sys
from pathlib import Path

import pytest
import torch

from cebench.errors import InputError
from cebench.models.backbone import first_convolution
from cebench.models.backbones import build_backbone
from cebench.models.options import Pooling
from cebench.models.timm_backbones import _side_of_positions
from cebench.weights.files import load_weights
from cebench.weights.importing import import_weights
from cebench.weights.loading import load_backbone

timm = pytest.importorskip("timm")


def noise(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pooling", ["token", "mean", "both"])
def test_features_are_normed_tokens(pooling: Pooling) -> None:
    backbone = build_backbone("timm/test_vit", side=64, pooling=pooling)
    images = noise(64, 64)
    with torch.no_grad():
        tokens = backbone.trunk.forward_features(images)  # type: ignore[operator]
        found = backbone.trunk(images)
    parts = {"token": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}
    parts["both"] = torch.cat([parts["token"], parts["mean"]], dim=1)
    torch.testing.assert_close(found, parts[pooling])
    assert backbone.features == found.shape[1]
    own = build_backbone("timm/test_vit", side=64).trunk
    assert list(own.state_dict()) == list(backbone.trunk.state_dict())


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [("timm/test_resnet", "token"), ("torchvision/resnet18", "mean"), ("caffenet-trunk", "both")],
)
def test_networks_without_tokens_refuse_to_pool_them(architecture: str, pooling: Pooling) -> None:
    with pytest.raises(InputError, match=f"pooling={pooling}"):
        build_backbone(architecture, pooling=pooling)


@pytest.mark.parametrize("pooling", ["token", "mean", "both"])
def test_two_heads_of_one_token_each_refuse_to_pool_them(pooling: Pooling) -> None:
    name = "timm/deit_tiny_distilled_patch16_224"
    with pytest.raises(InputError, match=f"{name}: .*class and distillation; pooling={pooling}"):
        build_backbone(name, side=32, pooling=pooling)


def test_dinov2_takes_images_of_224() -> None:
    """Made for 518 px; its position embedding keeps the shape that its checkpoints have."""
    backbone = build_backbone("timm/vit_small_patch14_dinov2", side=224)
    assert backbone.trunk.pos_embed.shape == (1, 37 * 37 + 1, 384)
    with torch.no_grad():
        (maps,) = backbone.feature_maps(noise(64, 96)).values()
    assert maps.shape == (2, 384, 5, 7)


def test_pixels_are_those_of_the_networks_configuration() -> None:
    assert build_backbone("timm/test_vit").pixels.mean == (0.5, 0.5, 0.5)
    assert build_backbone("timm/test_efficientnet").pixels.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [
        ("timm/test_vit", [f"block{n}" for n in range(1, 7)]),
        ("timm/test_convnext", [f"stage{n}" for n in range(1, 5)]),
        ("timm/swin_tiny_patch4_window7_224", [f"stage{n}" for n in range(1, 5)]),
        ("timm/test_resnet", [f"conv{n}" for n in range(1, 6)]),
        ("torchvision/convnext_tiny", [f"stage{n}" for n in range(1, 5)]),
    ],
)
def test_blocks_and_stages_are_layers(architecture: str, layers: list[str]) -> None:
    backbone = build_backbone(architecture)
    assert list(backbone.layer_names) == [*layers, "pool5"]
    images = noise(backbone.side, backbone.side)
    wanted = (layers[-2], "pool5")
    with torch.no_grad():
        found = backbone.layer_values(images, wanted)
        torch.testing.assert_close(found["pool5"], backbone.trunk(images).flatten(1))
    assert list(found) == list(wanted)
    # Signed where no ReLU stands behind them.
    assert bool((found[layers[-2]] < 0).any()) == (not layers[0].startswith("conv"))


def test_a_vits_block_is_the_average_of_its_patches_on_a_map() -> None:
    backbone = build_backbone("timm/test_vit", side=64)
    images, tokens = noise(64, 64), []
    block = backbone.trunk.get_submodule("blocks.2")
    handle = block.register_forward_hook(lambda _, __, output: tokens.append(output))
    with torch.no_grad():
        found = backbone.layer_values(images, ("block3",))["block3"]
    handle.remove()
    maps = tokens[0][:, 1:].transpose(1, 2).reshape(2, 64, 4, 4)
    torch.testing.assert_close(found, maps.flatten(1))  # 4 x 4 of 64: fewer than 9,000 already


def test_dropout_and_stochastic_depth_are_off_in_torchvision_as_in_timm() -> None:
    for architecture in ("torchvision/efficientnet_b0", "timm/test_efficientnet"):
        trunk = build_backbone(architecture, side=64).trunk.eval()
        images = noise(64, 64)
        with torch.no_grad():
            expected = trunk(images)
            for module in trunk.modules():
                module.training = not isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
            assert torch.equal(trunk(images), expected)


def test_the_first_convolution_of_a_vit_is_its_patches() -> None:
    trunk = build_backbone("timm/test_vit").trunk
    assert first_convolution(trunk) is trunk.get_submodule("patch_embed.proj")


def test_an_absent_timm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm/test_vit: needs timm: pip install 'cebench\[timm"):
        build_backbone("timm/test_vit")


def test_weights_of_another_size_of_image_bring_their_own_positions(tmp_path: Path) -> None:
    """A ViT that was trained on images of 96 px: a grid of 6 x 6, and 96 px are its side."""
    network = timm.create_model("test_vit", img_size=96)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    taken = import_weights(tmp_path / "a.pth", "timm/test_vit", "mine", tmp_path / "out")
    assert taken.sidecar.preprocessing.side == 96
    backbone, _ = load_backbone(load_weights(tmp_path / "out"))
    images = noise(96, 96)
    with torch.no_grad():
        expected = network.eval().forward_features(images)[:, 0]
        torch.testing.assert_close(backbone.trunk(images), expected)


def test_a_tag_that_timm_does_not_know_is_named() -> None:
    with pytest.raises(InputError, match="timm has no weights tagged 'nosuchtag' of test_resnet"):
        build_backbone("timm/test_resnet.nosuchtag")
    assert build_backbone("timm/test_resnet.r160_in1k").features == 96


def test_positions_of_hiera_tell_no_side() -> None:
    """They are not one for each patch: weights of another size meet the refusal of any shape."""
    sizes = {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}
    network = timm.models.hiera.Hiera(img_size=(64, 64), num_classes=0, **sizes)
    positions = network.pos_embed.shape[1]
    assert _side_of_positions(network, positions) is None
    assert _side_of_positions(network, 4 * positions) is None


def test_maps_without_a_normalisation_behind_them_are_taken_as_they_are() -> None:
    """SAM 2's trunk norms none of its maps, and takes images of any size."""
    backbone = build_backbone("timm/sam2_hiera_tiny", side=64)
    assert backbone.map_channels() == {4: 96, 8: 192, 16: 384, 32: 768}
