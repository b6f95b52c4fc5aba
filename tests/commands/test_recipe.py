import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cebench.cli import cli
from cebench.commands import recipe as recipe_command
from cebench.commands.programs import find_programs
from cebench.errors import InputError
from cebench.reporting.recipe_options import describe_options


def shown(runner: CliRunner, *arguments: str) -> str:
    result = runner.invoke(cli, ["recipe", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_list_names_every_program_and_recipe(runner: CliRunner) -> None:
    plain = shown(runner)
    assert shown(runner, "list") == plain
    content = json.loads(shown(runner, "list", "--json"))
    for name, program in find_programs().items():
        assert content[name] == {"verb": program.verb, "recipes": program.recipes}
        assert f"{name} " in plain
        assert ", ".join(program.recipes) in plain
    assert "paper-40k" in content["detection"]["recipes"]


@pytest.mark.parametrize("name", find_programs())
def test_show_prints_every_option_of_every_recipe(runner: CliRunner, name: str) -> None:
    program = find_programs()[name]
    for recipe in (None, *program.recipes):
        text = shown(runner, "show", name, *([recipe] if recipe else []))
        assert all(f"\n{field} = " in text for field in program.recipe.model_fields)
        indented = [line for line in text.splitlines() if line.startswith("    ")]
        assert max(map(len, indented)) <= 80


def test_show_a_value_with_its_meaning_range_default_and_source(runner: CliRunner) -> None:
    text = shown(runner, "show", "detection", "paper-40k")
    block = text.split("\nsteps = ")[1].split("\n\n")[0].splitlines()
    assert block == [
        "40000",
        "    Optimizer steps.",
        "    unit: steps",
        "    allowed: integer > 0",
        "    default: none, each recipe states it",
        "    source: ledger entry detection-schedule",
    ]


def test_show_as_json(runner: CliRunner) -> None:
    content = json.loads(shown(runner, "show", "context", "short", "--json"))
    options = {option["option"]: option for option in content["options"]}
    assert content["recipe"] == "short"
    assert options["mask"]["value"] == "random-block"
    assert options["mask"]["allowed"] == "central, random-block, random-region, noise"
    assert options["mask"]["ledger"] == ["context-mask"]
    defaults = json.loads(shown(runner, "show", "context", "--json"))
    assert defaults["recipe"] is None
    assert "value" not in defaults["options"][0]


def test_a_recipe_file_is_shown_with_its_values(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('tier = "paper"\n')
    assert 'tier = "paper"' in shown(runner, "show", "random", str(path))


def test_a_terminal_of_80_columns_gets_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    program = find_programs()["detection"]
    options = describe_options(program.recipe)
    values = {option.name: option.default for option in options}
    recipe_command.print_options(program, "title", options, values, {})
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines[:-1])) <= 80
    cells = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert {option.name for option in options} <= set(cells)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detectoin"], "no method or task 'detectoin'; did you mean 'detection'"),
        (["detection", "papr"], "no recipe 'papr' for detection; did you mean 'paper'"),
        (["detection", "absent.toml"], "absent.toml: no such recipe file"),
    ],
)
def test_a_wrong_name_is_one_line(runner: CliRunner, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        runner.invoke(
            cli, ["recipe", "show", *arguments], catch_exceptions=False, standalone_mode=False
        )


@pytest.mark.parametrize("verb", ["pretrain", "transfer"])
def test_help_of_set_names_the_command(runner: CliRunner, verb: str) -> None:
    text = " ".join(runner.invoke(cli, [verb, "--help"]).output.split())
    assert "cebench recipe show NAME" in text
