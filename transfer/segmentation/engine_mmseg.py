"""`--engine mmseg`: the same trunk and head in mmsegmentation, trained and tested by its runner.

A second implementation of everything around the network: batching, accumulation, loss, schedule,
normalisation, resizing and the metric. It draws the same images in the same order. It keeps no
checkpoints (mmengine's are pickles): an interrupted run begins again.
"""

import copy
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOID_LABEL
from cebench.data.voc.palette import voc_palette
from cebench.errors import CebenchError, InputError
from cebench.models.fcn import SegmentationNetwork
from cebench.plots.sheets import plot_curves
from cebench.progress import Report, progress
from cebench.randomness import torch_seed
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import Preprocessing

from ..run_context import Measurement, RunContext
from .data import NUM_CLASSES, SegmentationData, SegmentationImages, sample_crops
from .parameters import parameter_groups
from .prediction import write_label_png
from .recipe import SegmentationRecipe

try:
    from mmengine.config import ConfigDict
    from mmengine.dataset import pseudo_collate
    from mmengine.evaluator import BaseMetric
    from mmengine.hooks import Hook
    from mmengine.optim import OptimWrapper, StepLR
    from mmengine.runner import Runner
    from mmengine.structures import PixelData
    from mmseg.evaluation import IoUMetric
    from mmseg.models.data_preprocessor import SegDataPreProcessor
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
except ImportError as error:
    raise InputError(
        f"--engine mmseg needs mmsegmentation ({error}); install cebench[mmseg] as "
        "docs/install.md says"
    ) from error

logger = logging.getLogger("cebench")


@MODELS.register_module()
class NetworkMaps(nn.Module):
    """The trunk of a network, for mmsegmentation its backbone."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) to the maps that are scored; the last are the images."""
        return (*self.network.maps(images), images)


@MODELS.register_module()
class NetworkScores(BaseDecodeHead):  # type: ignore[misc]
    """The head of a network, whose scores have the size of the images."""

    def __init__(self, scores: nn.Module, **options: Any) -> None:
        # The numbers of channels are those of layers that it does without.
        super().__init__(in_channels=1, channels=1, init_cfg=None, **options)
        del self.conv_seg
        self.scores = scores

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        *maps, images = inputs
        scores: Tensor = self.scores(maps, *images.shape[-2:])
        return scores


def segmentor(
    network: SegmentationNetwork, preprocessing: Preprocessing, size_multiple: int = 1
) -> Any:
    """A copy of `network` as mmsegmentation's EncoderDecoder."""
    trunk = copy.deepcopy(network)
    head = trunk.head
    del trunk.head
    mean, std = statistics_in_255(preprocessing)
    return EncoderDecoder(
        backbone={"type": "NetworkMaps", "network": trunk},
        decode_head={
            "type": "NetworkScores",
            "scores": head,
            "num_classes": NUM_CLASSES,
            "ignore_index": VOID_LABEL,
            "dropout_ratio": 0,
            "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        },
        data_preprocessor=SegDataPreProcessor(
            mean=mean,
            std=std,
            pad_val=0,
            seg_pad_val=VOID_LABEL,
            size_divisor=size_multiple,
            test_cfg={"size_divisor": size_multiple},
        ),
        train_cfg={},
        test_cfg=ConfigDict(mode="whole"),
    )


def statistics_in_255(preprocessing: Preprocessing) -> tuple[list[float], list[float]]:
    """Mean and deviation of the pixels in 0..255, whatever range the network takes."""
    low, high = preprocessing.range
    factor = 255 / (high - low)
    return (
        [factor * (mean - low) for mean in preprocessing.mean_rgb],
        [factor * std for std in preprocessing.std_rgb],
    )


class DrawnImages(IterableDataset[dict[str, Any]]):
    """The images that the native engine learns from, one a pass, in its order."""

    def __init__(self, data: SegmentationImages, recipe: SegmentationRecipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.images = data.images_as_seen(torch.device("cpu"))
        self.labels = data.labels_as_seen()

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.accumulate

    def __iter__(self) -> Iterator[dict[str, Any]]:
        count, crop = self.recipe.accumulate, self.recipe.crop
        for step in range(self.recipe.steps):
            for image, labels in sample_crops(
                self.images, self.labels, count, crop, self.seed, step
            ):
                yield sample(image, labels)


class TestImages(Dataset[dict[str, Any]]):
    """The images that are scored, labels at their own size."""

    metainfo: ClassVar[dict[str, Any]] = {
        "classes": SEGMENTATION_CLASSES,
        "palette": voc_palette()[:NUM_CLASSES].tolist(),
    }

    def __init__(self, test: SegmentationImages) -> None:
        self.test = test

    def __len__(self) -> int:
        return len(self.test.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        labels = torch.from_numpy(self.test.labels[index])
        return sample(self.test.images.image(index), labels, index=index)


def sample(image: Tensor, labels: Tensor, index: int = 0) -> dict[str, Any]:
    """(H, W, 3) and (h, w) uint8 as mmsegmentation takes them."""
    size = tuple(image.shape[:2])
    described = SegDataSample(
        metainfo={"img_shape": size, "ori_shape": tuple(labels.shape), "index": index}
    )
    described.gt_sem_seg = PixelData(data=labels[None].long())
    return {"inputs": image.permute(2, 0, 1).contiguous(), "data_samples": described}


class StoredPredictions(BaseMetric):  # type: ignore[misc]
    """Writes every label image, for cebench to score."""

    default_prefix = "cebench"

    def __init__(self, test: SegmentationImages, folder: Path) -> None:
        super().__init__()
        self.test, self.folder = test, folder

    def process(self, data_batch: object, data_samples: Sequence[dict[str, Any]]) -> None:
        for described in data_samples:
            index = described["index"]
            labels = described["pred_sem_seg"]["data"][0].to(torch.uint8).cpu().numpy()
            write_label_png(self.folder / f"{self.test.origin.ids[index]}.png", labels)

    def compute_metrics(self, results: object) -> dict[str, float]:
        return {}


class StepLog(Hook):  # type: ignore[misc]
    """Logs the loss of a step as the native engine does, and stops at one that is not finite."""

    def __init__(self, run: RunDirectory, recipe: SegmentationRecipe, report: Report) -> None:
        self.run, self.recipe, self.report = run, recipe, report
        self.losses: list[float] = []
        self.began = time.monotonic()
        run.truncate_metrics(0)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: Any = None
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        step, within = divmod(runner.iter + 1, self.recipe.accumulate)
        if within:
            return
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        if not math.isfinite(loss):
            raise CebenchError(f"step {step}: loss is {loss}; stopped. Lower the learning rate")
        if step % self.recipe.log_every == 0 or step == self.recipe.steps:
            seconds = round(time.monotonic() - self.began, 3)
            self.run.log_metrics(step, {"loss": loss, "seconds": seconds})
        self.report(step, self.recipe.steps)


def train_and_predict(
    network: SegmentationNetwork,
    data: SegmentationData,
    recipe: SegmentationRecipe,
    run_context: RunContext,
) -> list[Measurement]:
    """Let mmsegmentation's runner train a copy of `network` and label the test images.

    Returns:
        The mean IoU by mmsegmentation's own metric, which it rounds to hundredths of a percent.
    """
    # mmsegmentation's loss has no repeatable form on CUDA.
    torch.use_deterministic_algorithms(run_context.device.type == "cpu")
    run = run_context.run
    predictions = run.path / "predictions"
    predictions.mkdir(exist_ok=True)
    preprocessing = run_context.weights.sidecar.preprocessing
    # mmengine's log goes to what stdout is when it first speaks; stdout is for the result.
    with redirect_stdout(sys.stderr), progress("segmentation by mmsegmentation") as report:
        stored = StoredPredictions(data.test, predictions)
        model = segmentor(network, preprocessing, recipe.size_multiple)
        runner = runner_of(
            model.to(run_context.device),
            data.train,
            data.test,
            recipe,
            run.path / "mmseg",
            [stored],
            run_context.seed,
        )
        runner.register_hook(StepLog(run, recipe, report))
        runner.train()
        theirs = float(runner.test()["mIoU"]) / 100
    plot_curves(run.metrics(), run.path / "curves.png", title="segmentation by mmsegmentation")
    logger.info(f"{data.test.origin.name}: mean IoU {theirs:.4f} by mmsegmentation's metric")
    count = len(data.test.labels)
    return [Measurement(metric="mean_iou_mmseg", value=theirs, count=count, column="segmentation")]


def runner_of(
    model: Any,
    data: SegmentationImages,
    test: SegmentationImages,
    recipe: SegmentationRecipe,
    folder: Path,
    metrics: Sequence[BaseMetric],
    seed: int = 0,
) -> Runner:
    """Mmengine's runner: trains `model` on `data`, scores it on `test` by IoUMetric and `metrics`.

    It counts passes where cebench counts steps, and logs into `folder`.
    """
    images = DrawnImages(data, recipe, seed)
    sgd = torch.optim.SGD(parameter_groups(model, recipe), momentum=recipe.momentum)
    drop = recipe.tenth_every * recipe.accumulate
    return Runner(
        model,
        str(folder),
        train_dataloader=DataLoader(images, collate_fn=pseudo_collate),
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": len(images)},
        optim_wrapper=OptimWrapper(sgd, accumulative_counts=recipe.accumulate),
        param_scheduler=[StepLR(sgd, drop, by_epoch=False)] if drop else None,
        test_dataloader=DataLoader(TestImages(test), collate_fn=pseudo_collate),
        test_cfg={},
        test_evaluator=[IoUMetric(), *metrics],
        default_hooks={"checkpoint": None},
        randomness={"seed": torch_seed(seed, "mmseg") % 2**32},
        log_level="ERROR",
        default_scope="mmseg",
    )
