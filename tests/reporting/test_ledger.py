"""The ledger's entries against the recipes that they speak of."""

import pytest

from cebench.commands.programs import find_programs
from cebench.errors import CebenchError
from cebench.reporting.ledger import Entry, Ledger, area_page, load_ledger, parse_ledger

PROGRAMS = find_programs()
LEDGER = load_ledger()
WITH_OPTIONS = [entry for entry in LEDGER.entries if entry.options]

SMALL = """
[areas.context]
title = "Feature learning"
command = "cebench pretrain --method context"
programs = ["context"]
about = "About."

[[entries]]
id = "context-loss"
area = "context"
heading = "Squared or absolute"
options = { loss = "l2" }
choices = [{ value = "l2", source = "Paper 3.2" }, { value = "a | b", source = "Silent" }]
why = "Because"
effect = "None"

[[entries]]
id = "other"
area = "context"
programs = ["detection"]
heading = "Another"
choices = [{ value = "x", source = "Silent" }]
default = "x"
why = "Because."
"""


@pytest.mark.parametrize("entry", WITH_OPTIONS, ids=[entry.id for entry in WITH_OPTIONS])
def test_options_are_fields_and_have_the_value_of_the_paper_recipe(entry: Entry) -> None:
    for program in entry.programs:
        assert entry.options.keys() <= PROGRAMS[program].recipe.model_fields.keys()
    values = PROGRAMS[entry.programs[0]].load("paper").model_dump(mode="json")
    assert entry.options == {option: values[option] for option in entry.options}


def test_areas_and_entries_name_programs_that_exist() -> None:
    named = {program for entry in LEDGER.entries for program in entry.programs}
    named |= {program for area in LEDGER.areas.values() for program in area.programs}
    assert named <= PROGRAMS.keys()


def test_every_program_but_none_is_covered() -> None:
    assert all(LEDGER.of_programs([program]) for program in PROGRAMS)


def test_sources_of_an_option_and_programs_of_an_entry() -> None:
    ledger = parse_ledger(SMALL)
    assert ledger.sources_of("context") == {"loss": ["context-loss"]}
    assert ledger.sources_of("detection") == {}
    assert [entry.id for entry in ledger.of_programs(["detection"])] == ["other"]
    assert [entry.id for entry in ledger.of_area("context")] == ["context-loss", "other"]


def test_page_by_hand() -> None:
    values = {
        ("context", "paper"): {"loss": '"l2"'},
        ("context", "short"): {"loss": '"l2"'},
        ("context", "odd"): {"loss": '"l1"'},
        ("detection", "paper"): {"loss": '"l2"'},
    }
    page = area_page(parse_ledger(SMALL), "context", values)
    assert page.startswith("(ledger-context)=\n# Feature learning\n")
    assert page.count("\n## ") == 2
    assert "| a \\| b | Silent |" in page
    assert "**Here:** `loss=l2`. Because.\n" in page
    assert '| context paper, context short | `"l2"` |\n| context odd | `"l1"` |' in page
    assert "**Here:** x (fixed). Because." in page
    assert "detection paper" not in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "Paper 3.2"', 'source = ""', "source"),
        ('id = "other"', 'id = "context-loss"', "ids are used twice: context-loss"),
        ('area = "context"\nprograms', 'area = "contxt"\nprograms', "no such area: contxt"),
        ('default = "x"\n', "", "needs a default"),
        ('heading = "Another"', 'heading = "Another"\nhedaing = "x"', "hedaing"),
        ("[areas.context]", "[areas.context", "not valid TOML"),
    ],
)
def test_a_damaged_ledger_is_one_line_that_says_where(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(CebenchError, match=message) as caught:
        parse_ledger(SMALL.replace(old, new))
    assert "\n" not in str(caught.value)


def test_ledger_is_read_once() -> None:
    assert isinstance(LEDGER, Ledger)
    assert load_ledger() is LEDGER
