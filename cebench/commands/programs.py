"""The programs that have recipes: the methods of pretrain and the tasks of transfer."""

from dataclasses import dataclass
from typing import Literal

from cebench.config import Recipe, load_recipe, recipe_names
from cebench.errors import InputError, did_you_mean
from cebench.run_options import program_names


@dataclass(frozen=True, kw_only=True)
class Program:
    """A pretext method or a transfer task."""

    name: str
    verb: Literal["pretrain", "transfer"]
    recipe: type[Recipe]

    @property
    def command(self) -> str:
        """How the program is called, without what it needs besides."""
        option = "--method" if self.verb == "pretrain" else "--task"
        return f"cebench {self.verb} {option} {self.name}"

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes that ship with it."""
        return recipe_names(f"cebench.{self.verb}", self.name)

    def load(self, recipe: str) -> Recipe:
        """The recipe of that name, or of that .toml file."""
        return load_recipe(self.recipe, f"cebench.{self.verb}", self.name, recipe)[0]


def find_programs() -> dict[str, Program]:
    """Every method and every task, by name."""
    from cebench.pretrain.options import RECIPES
    from cebench.transfer.first_checks import recipe_class

    tasks = {name: recipe_class(name) for name in program_names("cebench.transfer")}
    methods = [Program(name=n, verb="pretrain", recipe=kind) for n, kind in RECIPES.items()]
    measures = [Program(name=n, verb="transfer", recipe=kind) for n, kind in tasks.items()]
    return {program.name: program for program in (*methods, *measures)}


def find_program(name: str) -> Program:
    """The method or task `name`; InputError with the most similar name if there is none."""
    programs = find_programs()
    if name not in programs:
        raise InputError(f"no method or task {name!r}; {did_you_mean(name, programs)}")
    return programs[name]
