"""Fast R-CNN, and its form on CaffeNet: the "Detection" column of Table 2.

Source: rbgirshick/fast-rcnn, models/CaffeNet/train.prototxt. Class 0 is the background; an
object of label c (0..num_classes-1) is class c + 1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import CAFFENET, TrunkArchitecture, build_trunk
from cebench.models.caffenet import (
    FC_UNITS,
    POOL5_FEATURES,
    POOL5_SIDE,
    CaffeNetTrunk,
    data_dependent_init,
    fill_fc6_and_fc7,
    gaussian_filler,
)
from cebench.models.options import HeadInit, RoiPooling
from cebench.models.roi_align import roi_align
from cebench.models.roi_pooling import roi_pool

FAST_RCNN_MEAN_RGB = (122.7717, 115.9465, 102.9801)
"""The mean pixel of this protocol (lib/fast_rcnn/config.py, there BGR), for `preprocess`."""

STRIDE = 16
"""Image pixels between two values of the map that regions are pooled from."""


class RegionNetwork(nn.Module):
    """Features of an image, pooled in each region, and a head that classifies and regresses it.

    A subclass sets the attributes below, and makes the features and what the head sees of them.
    """

    trunk: nn.Module
    cls_score: nn.Linear
    bbox_pred: nn.Linear
    stride: int
    """Image pixels between two values of the map that regions are pooled from."""
    shift: float = 0.0
    """Image pixels by which the map looks further right and down than its stride says."""
    pooled_side: int
    pooling: RoiPooling = "max"

    def forward(self, images: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Classify and regress every region.

        Args:
            images: (N, 3, H, W) as the trunk takes them, zero-padded at the bottom and the right
                to a common size.
            rois: (R, 5) float32 of `network_rois`: index of the image, x0 y0 x1 y1 half-open.

        Returns:
            scores: (R, num_classes + 1) logits.
            deltas: (R, 4 * (num_classes + 1)), four for each class, normalised (`decode_boxes`).
        """
        return self.regions(self.features(images), rois)

    @property
    def hidden(self) -> Sequence[nn.Linear]:
        """fc6 and fc7, which `data_dependent_init` can scale; empty if there are none."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) float32 that regions are pooled from."""
        raise NotImplementedError

    def embed(self, pooled: Tensor) -> Tensor:
        """Pooled regions (R, C, side, side) to what is classified, (R, D)."""
        raise NotImplementedError

    def regions(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """From the map (N, C, h, w) and rois (R, 5) to scores and deltas."""
        x = self.embed(self.pool(features, rois))
        return self.cls_score(x), self.bbox_pred(x)

    def pool(self, features: Tensor, rois: Tensor) -> Tensor:
        """The map inside each region: (R, C, side, side)."""
        rois = rois - rois.new_tensor([0, *[self.shift] * 4])
        if self.pooling == "align":
            return roi_align(features, rois, 1 / self.stride, self.pooled_side)
        return roi_pool(features, inclusive(rois), 1 / self.stride, self.pooled_side)

    def cells(self, rois: Tensor) -> Tensor:
        """Rows (R, 5) that are equal where two regions pool to the same features."""
        if self.pooling == "align":
            return rois
        cells = inclusive(rois - rois.new_tensor([0, *[self.shift] * 4]))
        cells[:, 1:] = (cells[:, 1:] * (1 / self.stride) + 0.5).floor()
        return cells

    @torch.no_grad()
    def data_dependent_init(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Standardise fc6 and fc7 on the regions of some training images and their rois."""
        pooled = [self.pool(self.features(images), rois).flatten(1) for images, rois in batches]
        data_dependent_init(self.hidden, pooled, lambda layer, x: layer(x))


class FastRCNN(RegionNetwork):
    """CaffeNet with RoI pooling in place of pool5; 57,298,409 parameters for 20 classes.

    Args:
        num_classes: number of object classes, without the background.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        conv1_padding: 5 in the original, which centres conv5's pixel i on image pixel 16 * i.
        head_init: initial fc6 and fc7; `data_dependent_init` must follow for `data`.
        architecture: of the trunk.
        pooling: of the regions.
    """

    trunk: CaffeNetTrunk
    stride = STRIDE
    pooled_side = POOL5_SIDE

    def __init__(
        self,
        num_classes: int = 20,
        generator: torch.Generator | None = None,
        conv1_padding: int = 5,
        head_init: HeadInit = "caffenet",
        architecture: TrunkArchitecture = CAFFENET,
        pooling: RoiPooling = "max",
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.trunk = build_trunk(
            architecture, generator, conv1_padding=conv1_padding, pool_padding=1
        )
        self.fc6 = nn.Linear(POOL5_FEATURES, FC_UNITS)
        self.fc7 = nn.Linear(FC_UNITS, FC_UNITS)
        self.cls_score = nn.Linear(FC_UNITS, num_classes + 1)
        self.bbox_pred = nn.Linear(FC_UNITS, 4 * (num_classes + 1))
        self.dropout = nn.Dropout(0.5)
        fill_fc6_and_fc7(self.fc6, self.fc7, head_init, generator)
        gaussian_filler(self.cls_score, 0.01, 0, generator)
        gaussian_filler(self.bbox_pred, 0.001, 0, generator)

    @property
    def hidden(self) -> tuple[nn.Linear, nn.Linear]:
        """fc6 and fc7."""
        return self.fc6, self.fc7

    def features(self, images: Tensor) -> Tensor:
        """conv5 (N, 256, h, w) float32; images: `preprocess(images, FAST_RCNN_MEAN_RGB)`."""
        return self.trunk.feature_maps(images)[STRIDE].float()

    def embed(self, pooled: Tensor) -> Tensor:
        """Pooled regions (R, 256, 6, 6) to fc7 (R, 4096)."""
        x = self.dropout(F.relu(self.fc6(pooled.flatten(1))))
        fc7: Tensor = self.dropout(F.relu(self.fc7(x)))
        return fc7


def inclusive(rois: Tensor) -> Tensor:
    """Regions (R, 5) with the corners that the original's RoI pooling takes, one less than ours."""
    return rois - rois.new_tensor([0, 0, 0, 1, 1])


def detection_losses(
    scores: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor, mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor]:
    """The two losses of Fast R-CNN, which its training adds with equal weight.

    Both are divided by the number of all regions, background included; 0 without regions.

    Args:
        scores: (R, K) logits.
        deltas: (R, 4 * K) of the network, in units of the normalised targets.
        labels: (R,) int64, 0 background.
        targets: (R, 4) of `encode_boxes`, not normalised.
        mean: (K, 4) of `box_target_statistics`; `decode_boxes` undoes it.
        std: (K, 4), likewise.

    Returns:
        Softmax cross-entropy of the classes, and smooth L1 (sigma 1) of the deltas of each
        object's own class, summed over its four coordinates.
    """
    num_rois = max(len(labels), 1)
    class_loss = F.cross_entropy(scores.float(), labels, reduction="sum") / num_rois
    per_class = deltas.float().view(*scores.shape, 4)
    own = per_class.take_along_dim(labels[:, None, None], dim=1).squeeze(1)
    normalised = (targets - mean[labels]) / std[labels]
    box_losses = F.smooth_l1_loss(own, normalised, reduction="none").sum(dim=1)
    return class_loss, (box_losses * (labels > 0)).sum() / num_rois
