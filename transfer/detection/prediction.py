"""From a trained Fast R-CNN to the detections of a set: one image at a time, then the caps.

Source: lib/fast_rcnn/test.py of rbgirshick/fast-rcnn and of rbgirshick/py-faster-rcnn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cebench.config import Precision
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import DetectionRows, write_detection_files
from cebench.devices import autocast
from cebench.errors import CebenchError
from cebench.files import write_atomically
from cebench.metrics.detection import BOXES_PER_IMAGE, LEAST_SCORE, Detections
from cebench.models.box_coding import clip_boxes, decode_boxes, nms
from cebench.models.fast_rcnn import RegionNetwork
from cebench.models.roi_sampling import pyramid_rois
from cebench.progress import progress
from cebench.weights.files import Preprocessing
from cebench.weights.tensor_files import save_tensors

from .candidate_parts import ImageDetections, read_parts, store_full_part
from .data import FAST_RCNN_PIXELS, DetectionSet, pyramid
from .recipe import Caps

BOXES_PER_CLASS = 40
"""Original: mean number per image that a class keeps over the set, before suppression."""


def predict(
    network: RegionNetwork,
    data: DetectionSet,
    proposals: Sequence[np.ndarray],
    statistics: tuple[Tensor, Tensor],
    *,
    scales: Sequence[int],
    max_side: int,
    caps: Caps,
    precision: Precision,
    device: torch.device,
    parts: Path,
    preprocessing: Preprocessing = FAST_RCNN_PIXELS,
) -> Detections:
    """Detections of the whole set after suppression and caps; `images` index `data.ids`.

    Of several scales each region is computed at the one of `pyramid_rois`. The candidates of
    images that are done lie in `parts`, of this network alone: a run that was stopped goes on
    behind them.
    """
    found = read_parts(parts)
    with (
        # Around all images and not in inference mode: else autocast converts fc6 and fc7 anew for
        # each, a seventh of the time.
        torch.no_grad(),
        autocast(device, precision),
        progress("detection test", "images") as report,
    ):
        report(len(found), len(proposals))
        for index, boxes in enumerate(proposals[len(found) :], len(found)):
            pixels = data.pixels(index)
            images, factors = pyramid(pixels, scales, max_side, preprocessing)
            probability, decoded = classify(
                network,
                images.to(device),
                pyramid_rois(boxes, factors),
                torch.from_numpy(boxes),
                statistics,
            )
            found.append(candidates(probability, clip_boxes(decoded, *pixels.shape[:2]), caps))
            store_full_part(parts, found, len(proposals))
            report(index + 1, len(proposals))
        if caps == "original":
            kept = [suppress(one) for one in cap_classes(found)]
        else:
            kept = [best(suppress(one), BOXES_PER_IMAGE) for one in found]
    return _join(kept)


def classify(
    network: RegionNetwork,
    images: Tensor,
    rois: Tensor,
    boxes: Tensor,
    statistics: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Probabilities (R, K) and one box per class (R, K, 4), background first, of one image.

    Regions that round to the same cells of the map pool to the same features: they are computed
    once and all have the box that is predicted from the first of them, as in im_detect.

    Args:
        network: in evaluation mode.
        images: (S, 3, H, W), the image at S scales.
        rois: (R, 5) of `pyramid_rois`.
        boxes: (R, 4) the same regions in pixels of the stored image.
        statistics: mean and std of `box_target_statistics`.

    Only `network` and `images` are on its device; the rest and the results are on the CPU.

    Raises:
        CebenchError: the network's output is not finite.
    """
    cells = network.cells(rois)
    _, first, rows = np.unique(cells.numpy(), axis=0, return_index=True, return_inverse=True)
    logits, deltas = network(images, rois[first].to(images.device))
    logits, deltas = logits.cpu().float(), deltas.cpu().float()
    if not (logits.isfinite().all() and deltas.isfinite().all()):
        raise CebenchError("the trained network's scores are not finite; lower the learning rate")
    decoded = decode_boxes(boxes[first], deltas, *statistics)
    return logits.softmax(dim=1)[rows], decoded[rows]


def candidates(probability: Tensor, boxes: Tensor, caps: Caps) -> ImageDetections:
    """What one image puts forward: the original's best 100 of each class, or all above 0.05.

    Args:
        probability: (R, K + 1), background first.
        boxes: (R, K + 1, 4).
        caps: whose rule.
    """
    scores, per_class = probability[:, 1:], boxes[:, 1:]
    if caps == "original":
        order = scores.argsort(dim=0, descending=True, stable=True)[:BOXES_PER_IMAGE]
        labels = torch.arange(scores.shape[1]).expand_as(order).flatten()
        rows = order.flatten()
    else:
        rows, labels = (scores > LEAST_SCORE).nonzero(as_tuple=True)
    return ImageDetections(labels, scores[rows, labels], per_class[rows, labels])


def cap_classes(found: Sequence[ImageDetections]) -> list[ImageDetections]:
    """Keep, of every class, what scores above its (40 x images)-th best of the whole set.

    The original does so online with a heap and a threshold that rises; the outcome is this one.
    """
    most = BOXES_PER_CLASS * len(found)
    labels = torch.cat([one.labels for one in found])
    scores = torch.cat([one.scores for one in found])
    threshold = torch.full((len(VOC_CLASSES),), -torch.inf)
    for label in labels.unique():
        of_class = scores[labels == label]
        if len(of_class) > most:
            threshold[label] = of_class.topk(most).values[-1]
    return [one.select(one.scores > threshold[one.labels]) for one in found]


def suppress(found: ImageDetections) -> ImageDetections:
    """Greedy suppression within each class at an overlap of 0.3."""
    kept = [torch.zeros(0, dtype=torch.int64)]
    for label in found.labels.unique():
        rows = (found.labels == label).nonzero().squeeze(1)
        kept.append(rows[nms(found.boxes[rows], found.scores[rows])])
    return found.select(torch.cat(kept))


def best(found: ImageDetections, count: int) -> ImageDetections:
    """The `count` highest scores of one image, over all classes."""
    return found.select(found.scores.argsort(descending=True, stable=True)[:count])


def _join(kept: Sequence[ImageDetections]) -> Detections:
    counts = torch.tensor([len(one.scores) for one in kept])
    return Detections(
        images=torch.arange(len(kept)).repeat_interleave(counts).numpy(),
        labels=torch.cat([one.labels for one in kept]).numpy(),
        scores=torch.cat([one.scores for one in kept]).numpy(),
        boxes=torch.cat([one.boxes for one in kept]).numpy(),
    )


def store(detections: Detections, ids: Sequence[str], image_set: str, folder: Path) -> None:
    """Write the detections as tensors and as the devkit's text files, with the ids they index.

    The list of ids, detections/<set>.txt, is what `cebench score detection --image-set` takes.
    """
    arrays = vars(detections)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    save_tensors(folder / "detections.safetensors", tensors)
    files = folder / "detections"
    write_detection_files(files, image_set, ids, DetectionRows(**arrays))
    listed = "".join(f"{image_id}\n" for image_id in ids)
    write_atomically(files / f"{image_set}.txt", listed.encode())
