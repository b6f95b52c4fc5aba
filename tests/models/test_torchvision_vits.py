"""torchvision's ViTs at any size, against torchvision at its own and against timm's."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import VisionTransformer

from cebench.models.backbone import Pixels, prepare_for_any_size
from cebench.models.backbone_fast_rcnn import BackboneFastRCNN
from cebench.models.backbone_fcn import BackboneFCN
from cebench.models.backbones import build_backbone
from cebench.models.parameter_groups import layer_decay_groups
from cebench.models.torchvision_vits import TorchvisionViTBackbone, vit_backbone
from cebench.weights.files import load_weights
from cebench.weights.importing import import_weights
from cebench.weights.loading import load_backbone

BLOCKS, WIDTH, SIDE = 3, 32, 64


def tiny() -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(SIDE, 16, BLOCKS, 2, WIDTH, 64)
    network.heads.head = torch.nn.Identity()
    torch.nn.init.normal_(network.class_token)
    return network.eval()


def backbone() -> TorchvisionViTBackbone:
    return vit_backbone("torchvision/tiny", tiny(), SIDE, Pixels())


def noise(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def timms(network: VisionTransformer) -> torch.nn.Module:
    """timm's ViT with the same weights."""
    timm = pytest.importorskip("timm")
    names = {
        "class_token": "cls_token", "encoder.pos_embedding": "pos_embed",
        "conv_proj": "patch_embed.proj",
        r"encoder.layers.encoder_layer_(\d+)": r"blocks.\1", "ln_(.)": r"norm\1",
        "self_attention.in_proj_": "attn.qkv.", "self_attention.out_proj": "attn.proj",
        "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2", "encoder.ln": "norm",
    }  # fmt: skip
    tensors = {}
    for name, tensor in network.state_dict().items():
        for ours, theirs in names.items():
            name = re.sub(ours, theirs, name)
        tensors[name] = tensor
    other = timm.models.VisionTransformer(
        img_size=SIDE, patch_size=16, embed_dim=WIDTH, depth=BLOCKS, num_heads=2, mlp_ratio=2,
        num_classes=0, dynamic_img_size=True, dynamic_img_pad=True,
    )  # fmt: skip
    other.load_state_dict(tensors)
    return other.eval()


def test_images_of_its_own_size_have_torchvisions_features() -> None:
    images = noise(SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(backbone().trunk(images), tiny()(images))


@pytest.mark.parametrize("sides", [(64, 64), (96, 160), (75, 110)])
def test_any_size_has_the_maps_layers_and_features_of_timms(sides: tuple[int, int]) -> None:
    subject, other, images = backbone(), timms(tiny()), noise(*sides)
    with torch.no_grad():
        (map_,) = subject.feature_maps(images).values()
        pool5, layers = subject.layer_maps(images, ["block2"])
        last, (block2,) = other.forward_intermediates(images, indices=[1])  # type: ignore[operator]
        torch.testing.assert_close(layers["block2"], block2, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(map_.flatten(2).mT, last[:, 1:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pool5, other(images), rtol=1e-4, atol=1e-5)


def test_detection_and_segmentation_take_its_patches() -> None:
    for network in (BackboneFastRCNN(backbone(), 20), BackboneFCN(backbone(), 21)):
        assert not network.trunk.encoder.pos_embedding.requires_grad
        trained = [name for name, p in network.trunk.named_parameters() if not p.requires_grad]
        assert trained == ["encoder.pos_embedding"]
    rois = torch.tensor([[0.0, 0, 0, 50, 60], [1, 10, 10, 90, 60]])
    with torch.no_grad():
        scores, deltas = BackboneFastRCNN(backbone(), 20).eval()(noise(90, 120), rois)
        pixels = BackboneFCN(backbone(), 21).eval()(noise(75, 110))
    assert (scores.shape, deltas.shape, pixels.shape) == ((2, 21), (2, 84), (2, 21, 75, 110))


def test_rates_fall_as_those_of_timms() -> None:
    trunk = backbone().trunk
    groups = layer_decay_groups(trunk, trunk, 1.0, 0.05, 0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(trunk.named_parameters())
    assert rate[id(named["encoder.ln.weight"])] == 1
    for block in range(BLOCKS):
        name = f"encoder.layers.encoder_layer_{block}.mlp.0.weight"
        assert rate[id(named[name])] == 0.5 ** (BLOCKS - 1 - block)
    for name in ("conv_proj.weight", "class_token", "encoder.pos_embedding"):
        assert rate[id(named[name])] == 0.5**BLOCKS


@pytest.mark.slow
def test_weights_of_another_size_of_image_bring_their_own_positions(tmp_path: Path) -> None:
    from torchvision.models import vit_b_32

    network = vit_b_32(image_size=96).eval()
    torch.nn.init.normal_(network.class_token)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    taken = import_weights(tmp_path / "a.pth", "torchvision/vit_b_32", "mine", tmp_path / "out")
    assert taken.sidecar.preprocessing.side == 96
    subject, _ = load_backbone(load_weights(tmp_path / "out"))
    network.heads.head = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(subject.trunk(noise(96, 96)), network(noise(96, 96)))


@pytest.mark.slow
def test_what_is_known_of_the_smallest_of_torchvision() -> None:
    subject = build_backbone("torchvision/vit_b_16", side=64)
    assert (subject.side, subject.features) == (64, 768)
    assert subject.layer_names == (*(f"block{n}" for n in range(1, 13)), "pool5")
    prepare_for_any_size(subject.trunk)
    assert subject.map_channels() == {16: 768}
