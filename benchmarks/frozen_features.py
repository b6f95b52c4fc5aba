"""Frozen features of a network: images that one thread computes in a second of the processor.

Run: OMP_NUM_THREADS=1 python benchmarks/frozen_features.py [--network timm/vit_small_patch16_224]
What `knn`, the SVMs and `dense-probe` spend nearly all of their time with.
"""

import argparse
import time

import torch

from cebench.devices import Precision, autocast
from cebench.models.backbones import build_backbone

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="timm/vit_small_patch16_224")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    backbone = build_backbone(given.network)
    images = torch.randn(32, 3, backbone.side, backbone.side)
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
    for layout, memory_format in layouts.items():
        backbone.trunk.eval().to(memory_format=memory_format)
        for precision in precisions:
            for count in (1, 8, 32):
                batch = images[:count].contiguous(memory_format=memory_format)
                seconds = []
                for _ in range(given.repeats):
                    began = time.process_time()
                    with torch.inference_mode(), autocast(CPU, precision):
                        backbone.layer_values(batch, ("pool5",))
                    seconds.append(time.process_time() - began)
                rate = count / min(seconds)
                print(f"{precision}, batches of {count:2}, {layout}: {rate:.1f} images/s")


if __name__ == "__main__":
    main()
