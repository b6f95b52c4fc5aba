"""What a CUDA device must compute alike; `pytest -m gpu` on a machine with one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cebench.data.hole_masks import Holes, NoisePattern, RandomBlocks, RandomRegions
from cebench.data.store.ragged import RaggedImages
from cebench.devices import choose_device
from cebench.files import sha256_of
from cebench.models.roi_pooling import roi_pool
from cebench.pretrain.crops import Crops, HoleBatches
from cebench.pretrain.run import Request, run_pretraining
from cebench.reporting.metrics_log import read_metrics
from cebench.reporting.records import load_record
from cebench.toy.world import write_toy_world
from cebench.transfer.run import Request as TransferRequest
from cebench.transfer.run import run_transfer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # A card's machine has a torch of its own, whose warnings say nothing of the numbers.
    pytest.mark.filterwarnings("default"),
]

QUICK = ("steps=24", "batch_size=8", "held_out_images=2", "log_every=1", "checkpoint_every=4")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "toy"
    write_toy_world(folder, images=24, seed=0)
    return folder


@pytest.fixture
def cuda() -> torch.device:
    return choose_device("cuda")


def photographs() -> RaggedImages:
    generator = np.random.default_rng(0)
    sizes = [(130, 150), (180, 130), (140, 140)]
    return RaggedImages.from_arrays(
        [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    )


def kinds_of_holes() -> dict[str, Holes]:
    y, x = np.mgrid[:40, :60]
    disc = (y - 20) ** 2 + (x - 25) ** 2 < 200
    return {
        "random-block": RandomBlocks(115),
        "random-region": RandomRegions.from_shapes(115, [disc, y > x]),
        "noise": NoisePattern(115),
    }


def test_integer_crops_are_those_of_the_processor(cuda: torch.device) -> None:
    there, here = (Crops(photographs(), 115, 0, 3, d) for d in (cuda, torch.device("cpu")))
    assert there.images.pixels.is_cuda
    for step in range(3):
        assert torch.equal(there.batch(step, 8).cpu(), here.batch(step, 8))


@pytest.mark.parametrize("kind", kinds_of_holes())
def test_holes_of_steps_made_together_are_those_of_the_processor(
    kind: str, cuda: torch.device
) -> None:
    """Up to pixels that lie on an edge within rounding."""
    holes = kinds_of_holes()[kind]
    at = holes.to(cuda) if isinstance(holes, RandomRegions) else holes
    there, here = HoleBatches(at, 5, 8, cuda), HoleBatches(holes, 5, 8, torch.device("cpu"))
    for step in (0, 15, 16, 37):
        differing = there.batch(step).cpu() != here.batch(step)
        assert differing.float().mean() < 1e-3


def test_roi_pooling_and_its_gradient_are_those_of_the_processor(cuda: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 16, 20, 25, generator=generator)
    corners = torch.rand(50, 2, generator=generator) * 200
    sizes = torch.rand(50, 2, generator=generator) * 150 + 16
    rois = torch.cat([torch.arange(50).remainder(2)[:, None], corners, corners + sizes], 1)
    results = []
    for device in (torch.device("cpu"), cuda):
        # Of its own: the processor's copy would be `features` itself, and the card's no leaf of it.
        leaf = features.detach().to(device, copy=True).requires_grad_()
        pooled = roi_pool(leaf, rois.to(device), 1 / 16, 6)
        pooled.square().sum().backward()
        assert leaf.grad is not None
        results.append((pooled.detach().cpu(), leaf.grad.cpu()))
    torch.testing.assert_close(*(pooled for pooled, _ in results), rtol=0, atol=0)
    torch.testing.assert_close(*(gradient for _, gradient in results))


def test_regions_pass_gradients_under_autocast(cuda: torch.device) -> None:
    """torchvision's autocast would hand positions back as floats."""
    leaf = torch.randn(1, 8, 20, 25, device=cuda, requires_grad=True)
    rois = torch.tensor([[0.0, 0.0, 0.0, 300.0, 200.0]], device=cuda)
    with torch.autocast("cuda", torch.bfloat16):
        roi_pool(leaf, rois, 1 / 16, 6).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.sum() == 8 * 6 * 6


def pretrain(toy: Path, out: Path, method: str, device: str, *changes: str) -> Path:
    return run_pretraining(
        Request(
            method=method,
            data=(toy / "unlabeled",),
            out=out,
            recipe="smoke",
            changes=(*QUICK, *changes),
            region_shapes=toy / "VOCdevkit" / "VOC2012",
            device=device,
        )
    )


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run)]


METHODS = ("context", "autoencoder", "context-gan")


@pytest.mark.parametrize("method", METHODS)
def test_the_first_loss_is_the_processors(method: str, toy: Path, tmp_path: Path) -> None:
    """Without dropout's share: each device draws its own pattern."""
    for device in ("cpu", "cuda"):
        # Few steps: a processor takes seconds for each of a network at 227 px.
        pretrain(toy, tmp_path / device, method, device, "precision='fp32'", "steps=6")
    there, here = losses(tmp_path / "cuda"), losses(tmp_path / "cpu")
    assert there[0] == pytest.approx(here[0], rel=0.1)
    assert there[-1] == pytest.approx(here[-1], rel=0.3)


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_step_in_one_graph_learns_as_a_plain_one(
    method: str, toy: Path, tmp_path: Path
) -> None:
    """The compiler draws dropout from another stream, so losses agree, not bits."""
    pretrain(toy, tmp_path / "plain", method, "cuda")
    pretrain(toy, tmp_path / "graph", method, "cuda", "compile=true", "cuda_graphs=true")
    plain, graph = losses(tmp_path / "plain"), losses(tmp_path / "graph")
    assert graph[0] == pytest.approx(plain[0], rel=0.1)
    assert graph[-1] == pytest.approx(plain[-1], rel=0.3)


@pytest.mark.parametrize(
    "changes", [(), ("compile=true", "cuda_graphs=true")], ids=["plain", "graphs"]
)
def test_a_killed_run_ends_with_the_bits_of_a_whole_one(
    changes: tuple[str, ...], toy: Path, tmp_path: Path
) -> None:
    whole = pretrain(toy, tmp_path / "whole", "context", "cuda", *changes)
    command = [sys.executable, "-m", "cebench", "pretrain", "--method", "context", "--recipe"]
    command += ["smoke", "--data", str(toy / "unlabeled"), "--out", str(tmp_path / "killed")]
    command += ["--region-shapes", str(toy / "VOCdevkit" / "VOC2012"), "--device", "cuda"]
    command += [part for change in (*QUICK, *changes) for part in ("--set", change)]
    process = subprocess.Popen(command, env={**os.environ})
    metrics = tmp_path / "killed" / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and metrics.read_text(encoding="utf-8").count("\n") >= 10:
            process.kill()
    assert process.returncode != 0
    again = pretrain(toy, tmp_path / "killed", "context", "cuda", *changes)
    assert sha256_of(again) == sha256_of(whole)


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_every_task_runs_and_repeats_its_number(task: str, toy: Path, tmp_path: Path) -> None:
    values = []
    for name in ("first", "second"):
        run_transfer(
            TransferRequest(
                task=task,
                weights="random",
                data=toy / "VOCdevkit",
                out=tmp_path / name,
                recipe="smoke",
                device="cuda",
            )
        )
        record = load_record(tmp_path / name / "record.json")
        values.append([measurement.value for measurement in record.measurements])
    assert values[0] == values[1]
