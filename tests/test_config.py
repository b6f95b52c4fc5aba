import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from cebench.commands.programs import find_programs
from cebench.config import load_recipe, recipe_names, recipe_sha256, to_toml
from cebench.errors import InputError
from cebench.pretrain.options.context_gan import ContextGanRecipe
from cebench.pretrain.options.imagenet import ImagenetRecipe
from cebench.pretrain.options.reconstruction import ContextRecipe
from cebench.reporting.recipe_options import option_values
from cebench.transfer.first_checks import recipe_class


def load(name: str, *changes: str) -> tuple[ContextRecipe, str]:
    return load_recipe(ContextRecipe, "cebench.pretrain", "context", name, changes)


def test_a_named_recipe_is_read_and_changed() -> None:
    recipe, name = load("smoke", "steps=7", "mask=central", "learning_rate = 0.5")
    assert (recipe.steps, recipe.mask, recipe.learning_rate) == (7, "central", 0.5)
    assert name == 'context-smoke+learning_rate=0.5+mask="central"+steps=7'


def test_a_recipe_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(to_toml({**load("smoke")[0].model_dump(), "steps": 3}))
    recipe, name = load(str(path))
    assert recipe.steps == 3
    assert name == "mine"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("smoke", ["stepz=3"], r"unknown key 'stepz'; did you mean 'steps'\?"),
        ("smoke", ["steps=-1"], r"steps: .*greater than 0, got -1"),
        ("smoke", ["steps=many"], r"steps: .*integer.*got 'many'"),
        ("smoke", ["learning_rate=nan"], r"learning_rate: .*finite"),
        ("smoke", ["mask=oval"], r"mask: .*central.*got 'oval'"),
        ("smoke", ["samples_at=1"], "samples_at: expected a list in brackets, got 1"),
        ("smoke", ["steps"], "expected key=value"),
        ("big", [], "no recipe 'big' for context; choose from paper, paper-central, short, small"),
        ("absent.toml", [], "absent.toml: no such recipe file"),
    ],
)
def test_a_mistake_is_one_line_that_helps(name: str, changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(name, *changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "tier"),
    [
        ("paper", [], "paper"),
        ("paper-central", [], "paper"),
        ("paper", ["log_every=7", "checkpoint_every=7", "samples_at=[1]"], "paper"),
        ("paper", ["steps=2"], "custom"),
        ("short", ["tier=paper"], "custom"),
        ("short", ["loss=l1", "loss=l2"], "short"),
    ],
)
def test_a_changed_recipe_has_no_tier(name: str, changes: list[str], tier: str) -> None:
    assert load(name, *changes)[0].tier == tier


def test_a_file_equal_to_a_shipped_recipe_keeps_its_tier(tmp_path: Path) -> None:
    shipped = load("paper")[0].model_dump()
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(shipped))
    assert load(str(path))[0].tier == "paper"
    path.write_text(to_toml({**shipped, "batch_size": 1}))
    assert load(str(path))[0].tier == "custom"
    path.write_text(to_toml({**shipped, "tier": "imported"}))
    with pytest.raises(InputError, match=r"tier: Input should be 'smoke', 'custom', .*'imported'"):
        load(str(path))


def test_a_recipe_cannot_be_changed_afterwards() -> None:
    recipe, _ = load("smoke")
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 1  # type: ignore[misc]


def test_the_hash_ignores_only_what_cannot_change_a_number() -> None:
    plain = recipe_sha256(load("smoke")[0])
    assert recipe_sha256(load("smoke", "log_every=1", "checkpoint_every=1")[0]) == plain
    assert recipe_sha256(load("smoke", "steps=1")[0]) != plain


def test_how_a_pretraining_step_is_compiled_is_no_part_of_its_hash() -> None:
    plain, same, other = (
        recipe_sha256(
            load_recipe(ContextRecipe, "cebench.pretrain", "context", "small", changes)[0]
        )
        for changes in ((), ("compile=true", "cuda_graphs=true"), ("precision='fp32'",))
    )
    assert same == plain != other


def test_small_classification_is_the_paper_shortened_with_a_head_at_the_scale_of_the_data() -> None:
    kind = recipe_class("classification")
    small, paper = (
        load_recipe(kind, "cebench.transfer", "classification", name)[0].model_dump()
        for name in ("small", "paper")
    )
    schedule = {"tier", "log_every", "checkpoint_every"}
    changed = {key: small[key] for key in small if small[key] != paper[key]}
    assert {key: value for key, value in changed.items() if key not in schedule} == {
        "steps": 4000,
        "halve_every": 1000,
        "head_init": "data",
        "precision": "bf16",
    }


def test_one_rate_is_all_that_tells_small_one_rate_from_small() -> None:
    one_rate, small = (
        load_recipe(ContextRecipe, "cebench.pretrain", "context", name)[0].model_dump()
        for name in ("small-one-rate", "small")
    )
    assert {key: one_rate[key] for key in small if one_rate[key] != small[key]} == {
        "encoder_rate": 1
    }


def test_four_million_images_are_all_that_tells_small_gpu_from_small() -> None:
    gpu, small = (
        load_recipe(ContextRecipe, "cebench.pretrain", "context", name)[0]
        for name in ("small-gpu", "small")
    )
    assert gpu.steps * gpu.batch_size == 4_000_000
    given, other = gpu.model_dump(), small.model_dump()
    assert {key for key in other if given[key] != other[key]} == {"steps", "checkpoint_every"}
    assert int(small.decay_from * small.steps) == 16_450  # So far the two are one, says the recipe.


def test_weights_are_averaged_over_a_tenth_of_a_run_at_most() -> None:
    for name in recipe_names("cebench.pretrain", "context-gan"):
        recipe = load_recipe(ContextGanRecipe, "cebench.pretrain", "context-gan", name)[0]
        if recipe.average_decay:
            assert 1 / (1 - recipe.average_decay) <= recipe.steps / 10


def test_toml_survives_the_round_trip() -> None:
    values = {
        "text": 'a "quoted" \\ line\nü',
        "whole": 3,
        "real": 1e-4,
        "yes": True,
        "list": [1, 2],
    }
    assert tomllib.loads(to_toml({**values, "absent": None})) == values


def test_an_option_without_a_value_is_none_in_toml_and_in_set() -> None:
    paper, _ = load_recipe(ImagenetRecipe, "cebench.pretrain", "imagenet", "paper")
    assert paper.tenth_every == 100_000
    never, name = load_recipe(
        ImagenetRecipe, "cebench.pretrain", "imagenet", "paper", ["tenth_every=none"]
    )
    assert never.tenth_every is None
    assert name == 'imagenet-paper+tenth_every="none"'
    shown = option_values(never)
    assert shown["tenth_every"] == '"none"'
    values = tomllib.loads("\n".join(f"{key} = {value}" for key, value in shown.items()))
    assert ImagenetRecipe.model_validate(values) == never


def test_every_program_has_valid_recipes_of_every_tier() -> None:
    programs = [(f"cebench.{p.verb}", name, p.recipe) for name, p in find_programs().items()]
    for package, program, kind in programs:
        names = [
            f.name.removesuffix(".toml") for f in (files(package) / "recipes" / program).iterdir()
        ]
        assert {"smoke", "short", "paper"} <= set(names)
        for name in names:
            recipe, title = load_recipe(kind, package, program, name)
            first = name.partition("-")[0]
            tier = (
                "paper" if program.startswith("random") else {"modern": "small"}.get(first, first)
            )
            assert (recipe.tier, title) == (tier, f"{program}-{name}")
    for package in ("cebench.pretrain", "cebench.transfer"):
        folders = {folder.name for folder in (files(package) / "recipes").iterdir()}
        assert folders == {program for owner, program, _ in programs if owner == package}


def test_every_recipe_option_is_documented() -> None:
    kinds = [program.recipe for program in find_programs().values()]
    undocumented = {
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, field in kind.model_fields.items()
        if not field.description
    }
    assert not undocumented
