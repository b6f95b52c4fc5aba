from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Field, PositiveInt

from cebench.commands.programs import find_programs
from cebench.config import Recipe, TrainingRecipe
from cebench.reporting.recipe_options import UNITS, RecipeOption, describe_options, option_values

PROGRAMS = find_programs()


class SampleRecipe(TrainingRecipe):
    loss: Literal["l2", "l1"] = "l2"
    """Which error."""
    share: float = Field(gt=0, lt=1)
    """A probability, over
    two lines."""
    scales: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (600,)
    """Several sizes."""
    name: str | None = None
    """A name."""
    compile: bool = False
    """A switch."""


def described(kind: type[Recipe]) -> dict[str, RecipeOption]:
    return {option.name: option for option in describe_options(kind)}


def test_options_by_hand() -> None:
    options = described(SampleRecipe)
    assert options["loss"].allowed == "l2, l1"
    assert options["loss"].default == '"l2"'
    assert options["share"].allowed == "number > 0, < 1"
    assert options["share"].meaning == "A probability, over two lines."
    assert options["share"].default == ""
    assert options["scales"].allowed == "list of: integer > 0"
    assert options["scales"].unit == "pixels"
    assert options["name"].allowed == "text or none"
    assert options["compile"].allowed == "true or false"
    assert options["steps"].unit == "steps"


def test_own_options_come_first_and_none_is_missing() -> None:
    names = list(described(SampleRecipe))
    assert names[:2] == ["loss", "share"]
    assert set(names) == set(SampleRecipe.model_fields)
    for program in PROGRAMS.values():
        assert set(described(program.recipe)) == set(program.recipe.model_fields)


def test_every_option_of_every_program_has_a_meaning() -> None:
    for program in PROGRAMS.values():
        for option in describe_options(program.recipe):
            assert option.meaning.endswith("."), f"{program.name} {option.name}"


def test_every_option_with_a_unit_exists() -> None:
    known = {name for program in PROGRAMS.values() for name in program.recipe.model_fields}
    assert set().union(*UNITS.values()) <= known


def test_values_are_toml() -> None:
    values = option_values(SampleRecipe(tier="smoke", steps=3, share=0.25))
    assert values["scales"] == "[600]"
    assert values["share"] == "0.25"
    assert values["compile"] == "false"
