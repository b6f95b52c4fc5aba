import pytest
import torch
from torch import nn

from cebench.models.folding import fold_batch_norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_folded_convolution_equals_both_layers(affine: bool, bias: bool, groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1, groups=groups, bias=bias)
    norm = nn.BatchNorm2d(6, affine=affine)
    for _ in range(5):
        norm(conv(torch.randn(8, 4, 5, 5) * 3 + 1))
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    norm.eval()
    images = torch.randn(2, 4, 7, 7)
    folded = nn.functional.conv2d(images, *fold_batch_norm(conv, norm), padding=1, groups=groups)
    torch.testing.assert_close(folded, norm(conv(images)))


def test_statistics_of_the_batch_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        fold_batch_norm(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
