"""`cebench weights`: what is in a weights file, and the door for other programs' weights."""

import json
from pathlib import Path
from typing import Any

import click

from cebench.commands.groups import SuggestingGroup

_PATH = click.Path(path_type=Path)


@click.group(cls=SuggestingGroup)
def weights() -> None:
    """Inspect weights files, and make them of other programs' files."""


@weights.command()
@click.argument("file", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: Path, as_json: bool) -> None:
    """Print the sidecar of FILE, its tensors, and whether transfer can load its backbone.

    FILE is a .safetensors file with its .json beside it, or a run directory. Its SHA-256 is
    checked.
    """
    from dataclasses import asdict

    from cebench.weights.files import load_weights

    loaded = load_weights(file)
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
    click.echo(json.dumps(summary, indent=2) if as_json else _as_text(summary))


@weights.command("import")
@click.argument("file", type=_PATH)
@click.option(
    "--as",
    "architecture",
    required=True,
    metavar="caffenet|torchvision/NAME|timm/NAME",
    help="Which network the tensors belong to.",
)
@click.option("--method", required=True, metavar="ROW", help="Row of the tables: imagenet, ...")
@click.option("--out", type=_PATH, required=True, help="Folder for weights.safetensors and .json.")
@click.option("--mapping", type=_PATH, help="TOML: names, colour order, range, mean, std, side.")
@click.option("--inside", default="", metavar="KEY", help="Key of the state dict in FILE.")
@click.option("--prefix", default="", help="What the names in FILE begin with, such as module.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(*, as_json: bool, **given: Any) -> None:
    """Make a weights file of FILE, a state dict from another program (.pth, .safetensors).

    Prints which tensors were matched, transformed and left out; refuses what does not cover the
    whole trunk. Nothing is downloaded, and no code in FILE is run.
    """
    from dataclasses import asdict

    from cebench.weights.importing import import_weights

    imported = import_weights(**given)
    shown = {**asdict(imported), "path": str(imported.path)}
    click.echo(json.dumps(shown, indent=2) if as_json else str(imported))


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
    for name, tensor in summary["tensors"].items():
        shape = "x".join(map(str, tensor["shape"]))
        lines.append(
            f"  {name:<24} {shape:<18} {tensor['dtype']:<8} "
            f"mean {tensor['mean']:+.5f}  std {tensor['std']:.5f}"
        )
    return "\n".join([*lines, "", f"  trunk: {summary['trunk']}"])
