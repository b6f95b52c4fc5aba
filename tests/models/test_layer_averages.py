import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cebench.models.backbones import build_backbone
from cebench.models.layer_averages import Window, averaged, windows_of


def test_windows_overlap_and_are_averaged_one_by_one() -> None:
    maps = torch.rand(2, 3, 13, 13, generator=torch.Generator().manual_seed(0))
    found = averaged(maps, Window(13, 8, 1)).view(2, 3, 6, 6)
    expected = np.array(
        [
            [maps[:, :, y : y + 8, x : x + 8].mean(dim=(2, 3)).numpy() for x in range(6)]
            for y in range(6)
        ]
    )
    np.testing.assert_allclose(found.numpy(), expected.transpose(2, 3, 0, 1), rtol=1e-5)


def test_padding_is_not_counted() -> None:
    """conv1 of a ResNet: kernel 10, stride 10, padding 4, as Caffe2 averages."""
    found = averaged(torch.ones(1, 1, 112, 112), Window(112, 10, 10, 4))
    assert found.shape == (1, 144)
    assert (found == 1).all()


def test_another_side_of_the_map_is_averaged_adaptively() -> None:
    maps = torch.rand(1, 256, 14, 14)
    found = averaged(maps, Window(13, 8, 1))
    torch.testing.assert_close(found, F.adaptive_avg_pool2d(maps, 6).flatten(1))


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("caffenet-trunk", (9600, 9216, 9600, 9600, 9216)),
        ("torchvision/alexnet", (6400, 6912, 9600, 6400, 9216)),
        ("torchvision/resnet50", (9216, 9216, 8192, 9216, 8192)),
    ],
)
def test_the_windows_leave_what_the_benchmark_counts(
    architecture: str, sizes: tuple[int, ...]
) -> None:
    """96 x 10 x 10, 256 x 6 x 6, 384 x 5 x 5, .. of its fully connected layers."""
    backbone = build_backbone(architecture)
    names = tuple(backbone.layers)
    with torch.no_grad():
        found = backbone.layer_values(torch.zeros(1, 3, backbone.side, backbone.side), names)
    assert tuple(found[name].shape[1] for name in names) == sizes
    assert tuple(windows_of(architecture)) == names


def test_other_networks_have_no_windows() -> None:
    assert not windows_of("torchvision/resnet18")
    assert not windows_of("timm/vit_small_patch16_224")


def test_a_tag_of_timm_leaves_the_windows_as_they_are() -> None:
    assert windows_of("timm/resnet50.a1_in1k") == windows_of("timm/resnet50")
    assert windows_of("timm/resnet50.a1_in1k")
    assert not windows_of("timm/resnet50d.a1_in1k")
