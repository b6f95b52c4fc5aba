"""`cebench weights`: what is in a weights file, and the door for other programs' weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.commands.groups import SuggestingGroup
from cebench.run_options import SEED, dry_run_option, examples, json_option

if TYPE_CHECKING:
    from cebench.weights.exporting import Exported
    from cebench.weights.importing import Imported
    from cebench.weights.rescaling import Rescaled

_PATH = click.Path(path_type=Path)


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "cebench weights inspect runs/context/weights.safetensors",
        "cebench weights import moco.pth --as torchvision/resnet50 --method moco --out moco",
    ),
)
def weights() -> None:
    """Inspect weights files, and make them of other programs' files."""


@weights.command(
    epilog=examples(
        "cebench weights inspect runs/context/weights.safetensors",
        "cebench weights inspect runs/context/weights.safetensors --on photos/ --json",
    )
)
@click.argument("file", type=_PATH)
@click.option(
    "--on",
    "images",
    type=_PATH,
    metavar="IMAGES",
    help="A folder of images or a VOC year folder (its val set); of more than 200 images every "
    "n-th: also print, for each layer, which units are dead or always on there, and the effective "
    "rank.",
)
@json_option
def inspect(file: Path, images: Path | None, as_json: bool) -> None:
    """Print the sidecar of FILE, its tensors, and whether transfer can load its backbone.

    FILE is a .safetensors file with its .json beside it, or a run directory, whose SHA-256 is
    checked; or `random`.
    """
    from cebench.weights.files import load_weights, random_weights

    loaded = random_weights(0) if str(file) == "random" else load_weights(file)
    summary: dict[str, Any] = {
        "name": loaded.name,
        "sidecar": asdict(loaded.sidecar),
        "parameters": sum(tensor.numel() for tensor in loaded.tensors.values()),
        "tensors": {
            name: {
                "shape": list(tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "mean": tensor.float().mean().item(),
                "std": tensor.float().std(correction=0).item(),
            }
            for name, tensor in loaded.tensors.items()
        },
        "trunk": _trunk_verdict(loaded),
    }
    text = "" if as_json else _as_text(summary)
    if images is not None:
        from cebench.weights.diagnostics import activities_as_text, activities_on

        activities = activities_on(loaded, images)
        summary["layers"] = [asdict(activity) for activity in activities]
        text += f"\n\n{activities_as_text(activities)}"
    click.echo(json.dumps(summary, indent=2) if as_json else text)


@weights.command(
    "import",
    epilog=examples(
        "cebench weights import features.caffemodel --like context-encoder --out context",
        "cebench weights import moco.pth --as torchvision/resnet50 --method moco --out moco",
    ),
)
@click.argument("file", type=_PATH)
@click.option(
    "--like",
    metavar="NAME",
    help="A published file: context-encoder, doersch, wang-gupta, agrawal, caffenet, "
    "inpaint-center. Instead of --as, --method and --mapping, which count before it.",
)
@click.option(
    "--as",
    "architecture",
    metavar="NETWORK",
    help="Which network the tensors belong to: caffenet, caffenet-nogroups, torchvision/NAME, "
    "timm/NAME, inpainting-generator.",
)
@click.option("--method", metavar="ROW", help="Row of the tables: imagenet, ...")
@click.option("--out", type=_PATH, required=True, help="Folder for weights.safetensors and .json.")
@click.option("--mapping", type=_PATH, help="TOML: names, colour order, range, mean, std, side.")
@click.option("--inside", default="", metavar="A.B.C", help="Keys down to the state dict in FILE.")
@click.option("--prefix", default="", help="What the names in FILE begin with, such as module.")
@click.option(
    "--seed",
    type=SEED,
    help="Seed of FILE's pretraining, where ROW has several, which are averaged; if not given, "
    "FILE is the only one.",
)
@dry_run_option
@json_option
def import_(*, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Make a weights file of FILE, from another program.

    FILE is a state dict (.pth, .safetensors), a Caffe net (.caffemodel) or a Torch7 network (.t7).
    Prints which tensors were matched, transformed and left out; refuses what does not cover the
    whole trunk. Nothing is downloaded, and no code in FILE is run.
    """
    from cebench.weights.importing import import_weights

    _show(import_weights(**given, write=not dry_run), dry_run, as_json)


@weights.command(
    epilog=examples(
        "cebench weights export runs/context --to caffe --out context.caffemodel",
        "cebench weights export weights/alexnet --to torchvision --out alexnet.safetensors",
    )
)
@click.argument("file", type=_PATH)
@click.option(
    "--to",
    type=click.Choice(["torchvision", "caffe", "safetensors"]),
    required=True,
    help="torchvision's names, a .caffemodel, or our names without a sidecar.",
)
@click.option("--out", type=_PATH, required=True, help="File to write: .safetensors, .caffemodel.")
@dry_run_option
@json_option
def export(file: Path, to: str, out: Path, dry_run: bool, as_json: bool) -> None:
    """Write FILE, a weights file or a run directory, for another program, bit for bit.

    Says what the network takes, and which tensors torchvision's AlexNet has in other shapes.
    """
    from cebench.weights.exporting import export_weights

    _show(export_weights(file, to, out, write=not dry_run), dry_run, as_json)


@weights.command(
    epilog=examples(
        "cebench weights rescale doersch --on VOCdevkit/VOC2007 --out doersch-rescaled",
        "cebench weights rescale runs/context --on photos --images 32 --out runs/context-rescaled",
    )
)
@click.argument("file", type=_PATH)
@click.option(
    "--on",
    type=_PATH,
    multiple=True,
    required=True,
    help="Folder of images, VOC year folder (its train set) or tar file (may be given several "
    "times).",
)
@click.option("--out", type=_PATH, required=True, help="Folder for weights.safetensors and .json.")
@click.option(
    "--images",
    "count",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="How many images to use.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the images' choice.")
@dry_run_option
@json_option
def rescale(*, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Scale the layers of FILE until their gradients have one relative size (row ROW-rescaled).

    FILE is a weights file or a run directory, its trunk without normalisation layers.
    """
    from cebench.weights.rescaling import rescale_weights

    _show(rescale_weights(**given, write=not dry_run), dry_run, as_json)


def _show(made: "Imported | Exported | Rescaled", dry_run: bool, as_json: bool) -> None:
    """Print what became of a weights file, or would become of it."""
    if as_json:
        shown = {**asdict(made), "path": str(made.path), "written": not dry_run}
        click.echo(json.dumps(shown, indent=2))
    else:
        click.echo(f"{'dry run, nothing is written: ' if dry_run else ''}{made}")


def _trunk_verdict(loaded: Any) -> str:
    from cebench.errors import InputError
    from cebench.weights.loading import load_backbone

    try:
        return str(load_backbone(loaded)[1])
    except InputError as error:
        return f"no: {error}"


def _as_text(summary: dict[str, Any]) -> str:
    sidecar = summary["sidecar"]
    facts = {key: value for key, value in sidecar.items() if not isinstance(value, dict)}
    lines = [f"{summary['name']}: {summary['parameters']:,} parameters"]
    lines += [f"  {key:<17} {value}" for key, value in facts.items()]
    lines += [f"  {'preprocessing':<17} {json.dumps(sidecar['preprocessing'])}"]
    lines += [f"  {'recipe_values':<17} {json.dumps(sidecar['recipe_values'])}", ""]
    width = max(map(len, summary["tensors"]), default=0)
    for name, tensor in summary["tensors"].items():
        shape = "x".join(map(str, tensor["shape"]))
        lines.append(
            f"  {name:<{width}} {shape:<18} {tensor['dtype']:<8} "
            f"mean {tensor['mean']:+.5f}  std {tensor['std']:.5f}"
        )
    return "\n".join([*lines, "", f"  trunk: {summary['trunk']}"])
