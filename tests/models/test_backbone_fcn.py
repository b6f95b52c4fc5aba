import pytest
import torch
import torch.nn.functional as F

from cebench.errors import InputError
from cebench.models.backbone_fcn import BackboneFCN, MapScores, resample
from cebench.models.backbones import build_backbone
from cebench.models.options import Stride


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("stride", [2, 8, 16, 32])
def test_scores_between_pixel_centres_are_enlarged_as_pytorch_does(stride: int) -> None:
    scores = torch.randn(2, 3, 5, 4, generator=seeded())
    sides = (5 * stride, 4 * stride)
    found = resample(scores, (stride, (stride - 1) / 2), sides, (1, 0))
    expected = F.interpolate(scores, size=sides, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_score_counts_at_the_pixel_that_it_looks_at() -> None:
    # AlexNet's values at 32 i + 15: the second one, alone, is 1 at pixel 47 and 1 - 1/32 beside it.
    found = resample(torch.tensor([[[[0.0, 1, 0]]]]), (32, 15), (1, 90), (1, 0))[0, 0, 0]
    assert found[47] == 1
    assert found[48] == found[46] == 1 - 1 / 32
    assert found[15] == found[79] == 0


@pytest.mark.parametrize("branch", [0, 1, 2])
def test_each_map_alone_scores_a_pixel_by_what_lies_there(branch: int) -> None:
    """Values are the columns that they look at; off the borders a pixel's score is its column."""
    grids = [(32.0, 31.0), (16.0, 15.0), (8.0, 11.0)]
    head = MapScores([1, 1, 1], grids, 1, 0)
    torch.nn.init.ones_(head.score_layers[branch].weight)
    maps = [
        (stride * torch.arange(160 // stride) + centre).expand(1, 1, 2, -1)
        for stride, centre in grids
    ]
    with torch.no_grad():
        found = head(maps, 40, 160)[0, 0]
    torch.testing.assert_close(found[:, 48:120], torch.arange(48.0, 120).expand(40, -1))


@pytest.mark.parametrize(
    ("architecture", "stride", "strides"),
    [
        ("torchvision/resnet18", 32, (32,)),
        ("torchvision/resnet18", 8, (32, 16, 8)),
        ("timm/test_convnext", 16, (32, 16)),
        ("timm/test_efficientnet", 8, (32, 16, 8)),
        ("timm/test_vit", 32, (16,)),
        ("timm/test_vit", 16, (16,)),
        ("torchvision/alexnet", 16, (32, 16)),
    ],
)
def test_uniform_scores_of_every_pixel_at_first(
    architecture: str, stride: Stride, strides: tuple[int, ...]
) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    network = BackboneFCN(build_backbone(architecture), 21, stride, "he", seeded()).eval()
    assert network.strides == strides
    with torch.no_grad():
        scores = network(torch.randn(1, 3, 75, 110, generator=seeded(1)))
    assert scores.shape == (1, 21, 75, 110)
    assert not scores.any()


def test_fc6_of_alexnet_looks_where_a_convolution_over_its_crop_does() -> None:
    """The middle score is that of fc6 and fc7 on the 6 x 6 values about it."""
    network = BackboneFCN(build_backbone("torchvision/alexnet"), 2, 32, "he", seeded()).eval()
    torch.nn.init.normal_(network.head.score_layers[0].weight, std=0.02, generator=seeded(1))
    images = torch.randn(1, 3, 288, 288, generator=seeded(2))
    with torch.no_grad():
        pool5 = network.maps_before_fc6(images)
        patch = pool5[..., 1:7, 1:7]
        head = network.head
        fc6 = F.relu(head.fc6.weight.flatten(1) @ patch.flatten() + head.fc6.bias)
        fc7 = F.relu(head.fc7.weight.flatten(1) @ fc6 + head.fc7.bias)
        expected = head.score_layers[0].weight.flatten(1) @ fc7
        # The patch starts at value 1, padded by 3 it is position 4, at pixel 32 * 4 + 15.
        found = network(images)[0, :, 143, 143]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_eights_of_a_vit_are_refused_in_one_line() -> None:
    pytest.importorskip("timm")
    with pytest.raises(InputError, match="test_vit: stride=8 needs a map of that stride; it has"):
        BackboneFCN(build_backbone("timm/test_vit"), 21, 8)
