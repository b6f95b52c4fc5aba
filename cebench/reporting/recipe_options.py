"""What each option of a recipe means, read from the recipe's class: nothing is stated twice."""

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cebench.config import Recipe, toml_value

UNITS = {
    "steps": {
        "steps",
        "log_every",
        "checkpoint_every",
        "samples_at",
        "weights_at",
        "warmup_steps",
        "random_steps",
        "tenth_every",
        "halve_every",
    },
    "images": {
        "batch_size",
        "held_out_images",
        "train_images",
        "test_images",
        "images_per_step",
        "images_per_pass",
        "accumulate",
        "pictures",
        "neighbours",
    },
    "pixels": {
        "short_side",
        "more_short_sides",
        "side",
        "central_side",
        "patch_side",
        "gap",
        "jitter",
        "most_shift",
        "overlap",
        "crop",
        "size_multiple",
        "stride",
        "mixing_kernel",
        "up_kernel",
        "conv1_padding",
        "proposal_max_side",
        "proposal_min_side",
        "scales",
        "max_side",
        "test_scales",
        "test_max_side",
    },
    "pixels, height times width": {"fewest_pixels", "most_pixels"},
    "regions": {"rois_per_image", "max_proposals"},
    "patches of an image": {"patches_per_step"},
    "source pixels per pixel": {"min_scale", "max_scale"},
    "crops": {"test_crops"},
    "units": {"bottleneck", "units", "descriptor"},
    "grids": {"grids_per_image"},
    "patches": {"negatives"},
    "frames": {"most_frames"},
    "pairs": {"held_out_pairs"},
    "degrees": {"most_turn_degrees"},
    "classes": {"shift_classes", "turn_classes"},
    "share of pixels": {"missing_share"},
    "share of the image's side": {"block_sides"},
    "share of the steps": {"decay_from"},
    "share of the patches": {"reduced_share"},
    "share of the frames": {"held_out_share"},
    "images per class": {"shots"},
}
"""Unit -> options that are measured in it; every other number has no unit."""

_TYPES = {bool: "true or false", int: "integer", float: "number", str: "text"}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True, kw_only=True)
class RecipeOption:
    """One option of a method's or task's recipe."""

    name: str
    meaning: str
    """The docstring under the field, on one line."""
    unit: str
    """`pixels`, `steps`, ...; empty for a pure number, a name or a switch."""
    allowed: str
    """The choices, or the type and its range."""
    default: str
    """As TOML; empty where each recipe states a value."""


def describe_options(kind: type[Recipe]) -> list[RecipeOption]:
    """Every option of the recipe class `kind`: its own in the order of its fields, then those of
    the classes that it shares them with.
    """
    declared = [name for parent in kind.__mro__ for name in inspect.get_annotations(parent)]
    return [
        RecipeOption(
            name=name,
            meaning=" ".join((field.description or "").split()),
            unit=next((unit for unit, names in UNITS.items() if name in names), ""),
            allowed=_allowed(field.annotation, field.metadata),
            default="" if field.is_required() else toml_value(field.default),
        )
        for name in dict.fromkeys(declared)
        if (field := kind.model_fields.get(name)) is not None
    ]


def option_values(recipe: Recipe) -> dict[str, str]:
    """The values of a resolved recipe, as TOML."""
    return {name: toml_value(value) for name, value in recipe.model_dump(mode="json").items()}


def option_facts(option: RecipeOption, sources: Sequence[str] = ()) -> dict[str, str]:
    """What is said of an option below its meaning: label -> text, empty facts left out."""
    facts = {
        "unit": option.unit,
        "allowed": option.allowed,
        "default": option.default or "none, each recipe states it",
        "source": ", ".join(f"ledger entry {id}" for id in sources),
    }
    return {label: text for label, text in facts.items() if text}


def options_as_json(
    options: Sequence[RecipeOption],
    values: Mapping[str, Any] | None,
    sources: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """The options as JSON objects; `value` is there if `values` of a recipe are given."""
    return [
        {
            "option": option.name,
            **({} if values is None else {"value": values[option.name]}),
            "meaning": option.meaning,
            "unit": option.unit,
            "allowed": option.allowed,
            "default": option.default,
            "ledger": list(sources.get(option.name, ())),
        }
        for option in options
    ]


def _allowed(annotation: Any, constraints: Sequence[Any] = ()) -> str:
    """Choices of a Literal, or type and bounds, for the annotation of a pydantic field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _allowed(arguments[0], [*constraints, *arguments[1:]])
    if origin is Literal:
        return ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_allowed(part) for part in arguments)
    if annotation is types.NoneType:
        return "none"
    if origin is tuple:
        return f"list of: {_allowed(arguments[0])}"
    bounds = [
        f"{symbol} {getattr(constraint, name):g}"
        for constraint in constraints
        for name, symbol in _BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return " ".join([_TYPES.get(annotation, str(annotation)), ", ".join(bounds)]).strip()
