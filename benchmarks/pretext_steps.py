"""Time the parts of relative-context, egomotion and motion against their plain forms.

Run: python benchmarks/pretext_steps.py [--threads 1]
Plain is what one would write first: fc7 of the concatenated pair, patches cut and resized one by
one with Pillow, views warped one by one with OpenCV, negatives chosen in a loop. Each line also
says by how much the two results differ.
"""

import argparse
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from alternation import medians, print_ratios
from PIL import Image
from torch import Tensor

from cebench.data.patch_grids import neighbour_pairs
from cebench.data.patch_treatments import reduce_and_enlarge
from cebench.data.store.ragged import RaggedImages
from cebench.data.views import shifted_and_turned
from cebench.models.patch_pairs import PatchPairNetwork
from cebench.models.ranking import Mining, ranking_loss

SIDE, UNITS = 48, 2048


def pair_step(network: PatchPairNetwork, plain: bool) -> Callable[[], float]:
    """A step of twelve grids of 3 x 3 patches, 480 pairs: forward, backward."""
    grid = [torch.from_numpy(values) for values in neighbour_pairs(3, 3)]
    first, second = (torch.cat([v + 9 * n for n in range(12)]) for v in grid[:2])
    labels = grid[2].repeat(12)
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(108, 3, SIDE, SIDE, generator=generator) * 50
    patches = patches.contiguous(memory_format=torch.channels_last)

    def scores() -> Tensor:
        if not plain:
            found: Tensor = network(patches, first, second)
            return found
        descriptions = network.describe(patches)
        joined = network.fc7(torch.cat((descriptions[first], descriptions[second]), dim=1))
        x = F.relu(network.norm7(joined[:, :, None, None]).flatten(1))
        last: Tensor = network.fc9(F.relu(network.fc8(x)))
        return last

    def step() -> float:
        network.zero_grad()
        loss = F.cross_entropy(scores(), labels)
        loss.backward()
        return loss.item()

    return step


def patches_both_ways() -> dict[str, Callable[[], object]]:
    """108 patches of one image size, cut from stored images and reduced."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (192, 256, 3), dtype=np.uint8) for _ in range(12)]
    images = RaggedImages.from_arrays(arrays)
    index = torch.arange(12).repeat_interleave(9)
    corner = torch.from_numpy(rng.uniform(0, 100, (2, 108)))
    scale, upright = torch.full((108,), 1 / 1.2), torch.zeros(108, dtype=torch.bool)
    sides = torch.from_numpy(rng.integers(10, SIDE + 1, 108))

    def ours() -> Tensor:
        cut = images.bilinear_crops(index, corner[0], corner[1], scale, upright, SIDE)
        return reduce_and_enlarge(cut, sides)

    def plain() -> list[np.ndarray]:
        made = []
        for image, x, y, side in zip(index, *corner, sides, strict=True):
            resized = Image.fromarray(arrays[image]).resize((307, 230), Image.Resampling.BILINEAR)
            left, top = round(1.2 * x.item()), round(1.2 * y.item())
            patch = resized.crop((left, top, left + SIDE, top + SIDE))
            small = patch.resize((int(side), int(side)), Image.Resampling.BILINEAR)
            made.append(np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
        return made

    return {"ours": ours, "plain": plain}


def views_both_ways() -> dict[str, Callable[[], object]]:
    """64 views of 115 px from windows of 168."""
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand(64, 3, 168, 168, generator=generator) * 255
    shifts = torch.rand(64, 2, generator=generator) * 24 - 12
    turns = torch.rand(64, generator=generator) * 0.5 - 0.25
    arrays = [window.permute(1, 2, 0).numpy().copy() for window in windows]

    def ours() -> Tensor:
        return shifted_and_turned(windows, shifts, turns, 115)

    def plain() -> list[np.ndarray]:
        made = []
        for window, (x, y), turn in zip(arrays, shifts.tolist(), turns.tolist(), strict=True):
            cosine, sine = np.cos(turn), np.sin(turn)
            matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
            matrix[:, 2] = np.array([83.5 + x, 83.5 + y]) - matrix[:, :2] @ np.array([57.0, 57.0])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            made.append(cv2.warpAffine(window, matrix, (115, 115), flags=flags))
        return made

    error = np.abs(np.stack(plain()).transpose(0, 3, 1, 2) - ours().numpy()).max()
    print(f"views: largest difference {error:.2f} of 255 (OpenCV rounds places to 1/32 pixel)")
    return {"ours": ours, "plain": plain}


def ranking_both_ways() -> dict[str, Callable[[], object]]:
    """The loss of 50 pairs of 1,024 numbers."""
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.rand(100, 1024, generator=generator))
    priorities = torch.rand(2, 50, 100, generator=generator)
    tracks = torch.arange(50)

    def ours() -> float:
        return ranking_loss(features, slice(None), tracks, Mining(), priorities).item()

    def plain() -> float:
        distance, total = -(features @ features.T), 0.0
        for p in range(50):
            i, k = 2 * p, 2 * p + 1
            gap = distance[i, k] + 1
            violators = [j for j in range(100) if j not in (i, k) and gap - distance[i, j] > 0]
            violators.sort(key=lambda j: distance[i, j].item())
            near = sorted(violators[:4], key=lambda j: priorities[0, p, j].item())
            rest = [j for j in violators if j not in near[:2]]
            rest.sort(key=lambda j: priorities[1, p, j].item())
            for j in near[:2] + rest[:2]:
                total += (F.relu(gap - distance[i, j]) + F.relu(gap - distance[k, j])).item()
        return total / 400

    print(f"ranking: {ours():.5f}, plain {plain():.5f}")
    return {"ours": ours, "plain": plain}


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    network = PatchPairNetwork(SIDE, UNITS, torch.Generator().manual_seed(0))
    network.to(memory_format=torch.channels_last)
    steps = {name: pair_step(network, name == "plain") for name in ("ours", "plain")}
    print("pairs, losses:", ", ".join(f"{name} {step():.4f}" for name, step in steps.items()))
    where = f"{threads} threads"
    print_ratios(f"relative-context, step of 480 pairs, {where}", medians(steps, rounds=3))
    print_ratios(f"relative-context, 108 patches, {where}", medians(patches_both_ways()))
    print_ratios(f"egomotion, 64 views, {where}", medians(views_both_ways()))
    print_ratios(f"motion, loss of 50 pairs, {where}", medians(ranking_both_ways()))


if __name__ == "__main__":
    main()
