"""Time a training step of the inpainting model against another implementation, alternated.

Run: python benchmarks/gan_step.py --peer FOLDER [--batch-size 64] [--threads 2]
FOLDER is a checkout of github.com/BoyuanJiang/context_encoder_pytorch: its networks (model.py) are
driven through the step of its train.py, which no longer runs as it is. Both sides start from the
same weights on the same batch, with the same losses, weights and rates, and the first losses are
compared. The discriminator sees the prediction twice in both: before its step and after it.
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from alternation import ROUNDS, medians, print_ratios
from torch import Tensor, nn

from cebench.config import load_recipe
from cebench.data.hole_masks import CentralHole
from cebench.data.store.ragged import RaggedImages
from cebench.models.inpainting_gan import central_square
from cebench.pretrain.context_gan import ContextGan, visible_context
from cebench.pretrain.crops import Crops, unit_scale
from cebench.pretrain.options.context_gan import ContextGanRecipe

Losses = dict[str, float]


def our_program(batch_size: int, precision: str) -> ContextGan:
    """The program of `cebench pretrain --method context-gan` on images of noise."""
    changes = (f"batch_size={batch_size}", f"precision={precision}")
    recipe, _ = load_recipe(
        ContextGanRecipe, "cebench.pretrain", "context-gan", "paper", (*changes, "short_side=128")
    )
    noise = np.random.default_rng(0).integers(0, 256, (batch_size + 1, 128, 128, 3), np.uint8)
    images = RaggedImages.from_arrays(list(noise))
    crops = Crops(images, recipe.side, 1, 0, torch.device("cpu"))
    return ContextGan(crops, CentralHole(128, 56), recipe)


def our_step(gan: ContextGan) -> Callable[[], Losses]:
    """`ContextGan.update` on the first batch, again and again."""
    batch = gan.batch(0)
    return lambda: {name: loss.item() for name, loss in gan.update(0, batch).items()}


def peer_step(peer: ModuleType, gan: ContextGan) -> Callable[[], Losses]:
    """Their networks with our first weights through the step of their train.py."""
    options = SimpleNamespace(ngpu=1, nc=3, nef=64, ngf=64, ndf=64, nBottleneck=4000)
    generator, discriminator = peer._netG(options), peer._netlocalD(options)
    _copy_weights(gan.generator, generator)
    _copy_weights(gan.discriminator, discriminator)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    batch = gan.batch(0)
    context = visible_context(batch.images, batch.holes)
    real = central_square(unit_scale(batch.images), 64).contiguous()
    labels = {value: torch.full((len(real), 1), float(value)) for value in (0, 1)}
    cross_entropy = nn.BCELoss()

    def step() -> Losses:
        discriminator.zero_grad()
        real_loss = cross_entropy(discriminator(real), labels[1])
        real_loss.backward()
        fake = generator(context)
        fake_loss = cross_entropy(discriminator(fake.detach()), labels[0])
        fake_loss.backward()
        adam_d.step()
        generator.zero_grad()
        adversarial = cross_entropy(discriminator(fake), labels[1])
        weights = torch.full_like(real, 10)
        weights[:, :, 4:60, 4:60] = 1
        loss = 0.001 * adversarial + 0.999 * ((fake - real).pow(2) * weights).mean()
        loss.backward()
        adam_g.step()
        return {"discriminator": (real_loss + fake_loss).item(), "loss": loss.item()}

    return step


def _copy_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Both list the same tensors in the order of the layers, under other names."""
    tensors: list[Tensor] = list(ours.state_dict().values())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors, strict=True)))


def load_peer(folder: Path) -> ModuleType:
    """Their model.py as a module."""
    path = folder / "model.py"
    spec = importlib.util.spec_from_file_location("peer_model", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SystemExit(f"{path}: no such file; --peer is a checkout of context_encoder_pytorch")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print the first losses and one line of ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fp32, bf16 = (our_program(options.batch_size, precision) for precision in ("fp32", "bf16"))
    ways = {
        "ours fp32": our_step(fp32),
        "peer": peer_step(load_peer(options.peer), fp32),
        "ours bf16": our_step(bf16),
    }
    for name, way in ways.items():
        first = ", ".join(f"{key} {value:.5f}" for key, value in way().items())
        print(f"first losses, {name}: {first}")
    times = medians(ways, options.rounds)
    title = f"GAN step, {options.batch_size} images, {options.threads} threads"
    print_ratios(title, times)
    print(f"peer / ours: fp32 {times['peer'] / times['ours fp32']:.2f}", end="")
    print(f", bf16 {times['peer'] / times['ours bf16']:.2f}")


if __name__ == "__main__":
    main()
