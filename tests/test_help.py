"""--help of every verb: two examples that parse, and a text for every option."""

import shlex
from collections.abc import Iterator
from dataclasses import replace

import click
import pytest
from samples import DETECTION

from cebench.cli import COMMANDS, cli
from cebench.run_options import LARGEST_SEED, SEED, FiniteRange


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its full name, groups among them."""
    pending = [(name, cli.get_command(click.Context(cli), name)) for name in COMMANDS]
    while pending:
        name, command = pending.pop()
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            pending += [(f"{name} {sub}", one) for sub, one in command.commands.items()]


ALL = dict(commands())


def examples_of(command: click.Command) -> list[str]:
    lines = (command.epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith("  cebench ")]


@pytest.mark.parametrize("name", ALL)
def test_two_examples_that_this_version_understands(name: str) -> None:
    examples = examples_of(ALL[name])
    assert len(examples) >= 2
    for example in examples:
        arguments = shlex.split(example.partition(" | ")[0])[1:]
        path = [arguments.pop(0)]
        command = ALL[path[0]]
        while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
            path.append(arguments.pop(0))
            command = command.commands[path[-1]]
        assert " ".join(path).startswith(name)
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert {a for a in arguments if a.startswith("--")} <= options, example


@pytest.mark.parametrize("name", ALL)
def test_no_number_runs_into_a_record_that_cannot_hold_it(name: str) -> None:
    for option in ALL[name].params:
        assert option.name != "seed" or option.type is SEED
        assert not isinstance(option.type, click.FloatRange) or isinstance(option.type, FiniteRange)


def test_the_largest_seed_is_one_that_a_record_holds() -> None:
    assert replace(DETECTION, seed=LARGEST_SEED).seed == SEED.convert(str(LARGEST_SEED), None, None)
    with pytest.raises(click.BadParameter, match="not in the range"):
        SEED.convert(str(LARGEST_SEED + 1), None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_range_of_numbers_has_finite_ones(text: str) -> None:
    with pytest.raises(click.BadParameter):
        FiniteRange(0, 1).convert(text, None, None)


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_a_text(name: str) -> None:
    silent = [
        option.opts[0]
        for option in ALL[name].params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


@pytest.mark.parametrize("name", ALL)
def test_every_number_has_its_default(name: str) -> None:
    """As click shows it, or in words: what is taken where the option is not given."""
    context = click.Context(ALL[name], info_name=name)
    for option in ALL[name].params:
        number = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
        if isinstance(option, click.Option) and number:
            record = option.get_help_record(context)
            assert record is not None
            told = ("[default: ", "if not given", "With --")
            assert any(words in record[1] for words in told), record


@pytest.mark.parametrize("name", ALL)
def test_a_side_is_in_pixels(name: str) -> None:
    sides = ("-side", "--size", "--window", "--rectangle")
    for option in ALL[name].params:
        if isinstance(option, click.Option) and option.opts[0].endswith(sides):
            assert "pixel" in (option.help or "").lower(), option.opts


@pytest.mark.parametrize("name", ALL)
def test_the_help_shows_every_example_whole(name: str) -> None:
    command = ALL[name]
    shown = command.get_help(click.Context(command, info_name=name))
    for example in examples_of(command):
        assert example in shown
    assert "\\b" not in shown
