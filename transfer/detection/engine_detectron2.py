"""`--engine detectron2`: the region part of Fast R-CNN out of detectron2's own modules.

A second implementation of it, on the same weights, the same proposals and the same recipe:
detectron2's ROIPooler, FastRCNNConvFCHead and FastRCNNOutputLayers stand where ours do; the trunk
is the same.
"""

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.backbone_fast_rcnn import BackboneFastRCNN
from cebench.models.fast_rcnn import FastRCNN, RegionNetwork, inclusive
from cebench.models.roi_align import SAMPLES

if TYPE_CHECKING:
    from typing import Any


class Detectron2FastRCNN(RegionNetwork):
    """A network with detectron2's pooling, head and predictor, with the weights of `network`.

    detectron2 counts the background last and regresses no box for it; `forward` returns both in our
    order. Where its pooling runs on CUDA, its gradient is not repeatable.

    Args:
        network: its head is two linear layers.

    Raises:
        InputError: detectron2 is not installed.
    """

    def __init__(self, network: FastRCNN | BackboneFastRCNN) -> None:
        super().__init__()
        layers, modeling = _detectron2()
        self.trunk, self.stride, self.shift = network.trunk, network.stride, network.shift
        self.pooling, self.pooled_side = network.pooling, network.pooled_side
        # In a tuple: its own head is no part of this network.
        self._given = (network,)
        self._build_head(network, layers, modeling)
        self._load(network)

    def _build_head(
        self, network: FastRCNN | BackboneFastRCNN, layers: "Any", modeling: "Any"
    ) -> None:
        fc6, fc7 = network.hidden
        side = self.pooled_side
        self.box_pooler = modeling.poolers.ROIPooler(
            side,
            scales=(1 / self.stride,),
            sampling_ratio=SAMPLES if self.pooling == "align" else 0,
            pooler_type="ROIAlignV2" if self.pooling == "align" else "ROIPool",
        )
        pooled = layers.ShapeSpec(channels=fc6.in_features // side**2, height=side, width=side)
        widths = [fc6.out_features, fc7.out_features]
        self.box_head = modeling.roi_heads.FastRCNNConvFCHead(pooled, conv_dims=[], fc_dims=widths)
        for number in (1, 2):  # detectron2's head has no dropout
            rectified = self.box_head.get_submodule(f"fc_relu{number}")
            dropout = nn.Dropout(network.dropout.p)
            setattr(self.box_head, f"fc_relu{number}", nn.Sequential(rectified, dropout))
        self.box_predictor = modeling.roi_heads.FastRCNNOutputLayers(
            self.box_head.output_shape,
            box2box_transform=modeling.box_regression.Box2BoxTransform(
                weights=(1.0, 1.0, 1.0, 1.0)
            ),
            num_classes=network.cls_score.out_features - 1,
            test_score_thresh=0.05,
            test_nms_thresh=0.3,
            test_topk_per_image=100,
            smooth_l1_beta=1.0,
        )

    def _load(self, network: FastRCNN | BackboneFastRCNN) -> None:
        fc6, fc7 = network.hidden
        values = {
            "box_head.fc1": (fc6, 0),
            "box_head.fc2": (fc7, 0),
            "box_predictor.cls_score": (network.cls_score, 1),
            "box_predictor.bbox_pred": (network.bbox_pred, 4),
        }
        with torch.no_grad():
            for name, (layer, of_background) in values.items():
                target = self.get_submodule(name)
                for kind in ("weight", "bias"):
                    rolled = getattr(layer, kind).roll(-of_background, dims=0)
                    parameter = getattr(target, kind)
                    parameter.copy_(rolled[: len(parameter)])

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._given[0].train(mode)  # It knows what of the trunk stays as it came.
        return self

    def features(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) float32 that regions are pooled from."""
        return self._given[0].features(images)

    def regions(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """From the map (N, C, h, w) and rois (R, 5) to scores and deltas."""
        from detectron2.structures import Boxes

        rois = rois - rois.new_tensor([0, *[self.shift] * 4])
        if self.pooling == "max":
            rois = inclusive(rois)
        boxes = [Boxes(rois[rois[:, 0] == index, 1:]) for index in range(len(features))]
        pooled = self.box_pooler([features], boxes)
        in_our_order = rois[:, 0].argsort(stable=True).argsort(stable=True)
        scores, deltas = self.box_predictor(self.box_head(pooled[in_our_order]))
        return scores.roll(1, dims=1), torch.cat([deltas.new_zeros(len(deltas), 4), deltas], dim=1)


def _detectron2() -> "tuple[Any, Any]":
    try:
        from detectron2 import layers, modeling
        from detectron2.modeling import box_regression, poolers, roi_heads  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"--engine detectron2: {error}; detectron2 is built from its source (docs/transfer.md)"
        ) from error
    return layers, modeling
