"""From suite files to cells, with the toy world and with data that are there."""

from pathlib import Path

import pytest
from toy_suite import TOY, Planned

from cebench.errors import InputError
from cebench.suite.plan import Plan, SuiteRequest, known_plan
from cebench.suite.planning import make_plan
from cebench.suite.suite_file import load_suite, suite_names


def test_rows_times_pretrainings_times_tasks_times_seeds(planned: Planned) -> None:
    cells = planned()
    assert len(cells) == 1 + 3 * 2 + 2 * 2 * 2 + 2 * 2
    assert cells["context-p1-classification-s0"].needs == ("context-p1", "toy")
    assert cells["context-p1"].needs == ("toy",)
    assert cells["random-p1"].needs == ()
    assert cells["context-gan-p0-inpainting-s1"].row == "context-gan"
    assert len({cell.key for cell in cells.values()}) == len(cells)
    assert next(iter(cells)) == "toy"


def test_a_key_follows_what_determines_a_number_and_nothing_else(planned: Planned) -> None:
    before = planned()

    def changed(*changes: tuple[str, str], seed: int = 0) -> set[str]:
        after = planned(TOY, *changes, seed=seed)
        return {name for name in after if name not in before or after[name].key != before[name].key}

    context = {"context-p0", "context-p1"}
    of_context = {f"context-p{p}-classification-s{s}" for p in (0, 1) for s in (0, 1)}
    assert changed(("[rows.random]", "[rows.random]\nset = []")) == set()
    assert changed(('title = "a toy suite"', 'title = "another"\nthreads = 2')) == set()
    data = 'data = ["{toy}/unlabeled"]'
    assert changed((data, f'{data}\nset = ["steps=7"]')) == context | of_context
    # How often it is logged changes no number.
    assert changed((data, f'{data}\nset = ["log_every=7"]')) == set()
    task = "[tasks.classification]\n"
    of_task = {name for name in before if "-classification-" in name}
    assert changed((task, f'{task}set = ["steps=7"]\n')) == of_task
    # Of these a recipe's hash says nothing: images have a hash of their own, in a record.
    assert changed((task, f"{task}set = ['test_set=val']\n")) == of_task
    kept = ("weights_at=[1]", "samples_at=[1]")
    assert all(changed((data, f'{data}\nset = ["{at}"]')) == context | of_context for at in kept)
    for rounding in ("compile=true", "checkpoint_every=3"):
        assert changed((data, f'{data}\nset = ["{rounding}"]')) == set()
    assert changed((data, f"{data}\nset_in.classification = ['steps=7']")) == of_context
    only_toy = set(before) - {"random-p0", "random-p1"}
    assert changed(("draw = 4", "draw = 5")) == only_toy
    assert changed(("[rows.random]", "[rows.random-he]\n\n[rows.random]")) == {
        f"random-he-p{p}{task}"
        for p in (0, 1)
        for task in ("", "-classification-s0", "-classification-s1")
    }


def test_other_layers_of_the_svms_are_other_cells(planned: Planned) -> None:
    """Though a layer's number is the same whichever others are measured."""

    def keys(setting: str) -> set[str]:
        task = f'[tasks.linear-svm]\ndata = "{{toy}}/VOCdevkit"\nrows = ["random"]\n{setting}\n'
        cells = planned(TOY + task).values()
        return {cell.key for cell in cells if cell.column == "linear-svm"}

    every, one = keys(""), keys("""set = ['layers=["conv2"]']""")
    assert every
    assert one.isdisjoint(every)


def test_every_pretraining_is_rescaled_on_the_same_images(planned: Planned) -> None:
    row = '[rows.context-rescaled]\nrescale = "context"\non = ["{toy}/unlabeled"]\n\n'
    cells = planned(TOY, ("[rows.context-gan]", f"{row}[rows.context-gan]"), seed=3)
    rescaled = [cells[f"context-rescaled-p{number}"].request for number in (3, 4)]
    assert [request["seed"] for request in rescaled] == [3, 3]
    assert rescaled[0]["file"] != rescaled[1]["file"]


def test_data_count_by_their_content_not_by_their_place(planned: Planned, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_bytes(b"no photo, but bytes")
    text = 'title = "t"\n[data]\nphotos = "PLACE"\n[tasks]\n[rows.context]\ndata = ["{photos}"]\n'
    here, there = (planned(text, ("PLACE", place))["context-p0"] for place in ("here", "there"))
    assert here.key == there.key
    (tmp_path / "there" / "photo.jpg").write_bytes(b"other bytes, as many")
    assert planned(text, ("PLACE", "there"))["context-p0"].key != here.key


def test_random_rows_of_several_networks_are_lines_and_cells_of_their_own(planned: Planned) -> None:
    """The network is no part of the recipe's hash, but of what a cell leaves."""
    network, text = "torchvision/mobilenet_v3_small", TOY.replace('rows = ["context-gan"]\n', "")
    row = f"[rows.twin]\nmethod = 'random'\ntasks = ['classification']\nset = ['network={network}']"
    text = text.replace("[rows.context]", f"{row}\n[rows.context]").replace(
        "[rows.random]", "[rows.random]\ntasks = ['classification']"
    )
    cells = planned(text)
    assert cells["twin-p0"].key != cells["random-p0"].key
    assert cells["twin-p0-classification-s0"].key != cells["random-p0-classification-s0"].key
    other = planned(text, (network, "torchvision/alexnet"))
    assert other["twin-p0"].key != cells["twin-p0"].key
    assert other["random-p0"].key == cells["random-p0"].key
    for same in ("caffenet", "caffenet-nogroups"):
        with pytest.raises(InputError, match="both of method random, and would stand in one line"):
            planned(text, (network, same))
    with pytest.raises(InputError, match="twin: holds a torchvision/mobilenet_v3_small, which inp"):
        planned(text, ("tasks = ['classification']\nset", "set"))


def test_the_network_counts_and_caffenet_by_name_is_the_default(planned: Planned) -> None:
    named, other = (
        planned(TOY, ("[rows.random]", f"[rows.random]\nset = ['network={network}']"))["random-p0"]
        for network in ("caffenet", "caffenet-nogroups")
    )
    assert named.key == planned()["random-p0"].key != other.key


def test_files_that_options_name_count_by_their_content(planned: Planned, tmp_path: Path) -> None:
    def boxes(content: bytes, name: str) -> str:
        (tmp_path / name).write_bytes(content)
        entry = "[tasks.detection]\ndata = '{toy}/VOCdevkit'\nrows = ['random']\n"
        cells = planned(f"{TOY}{entry}set = ['proposals={tmp_path / name}']\n")
        return cells["random-p0-detection-s0"].key

    first = boxes(b"some boxes", "a.mat")
    assert boxes(b"some boxes", "b.mat") == first
    assert boxes(b"other boxes", "a.mat") != first
    request = SuiteRequest(file=str(tmp_path / "suite.toml"), out=tmp_path / "out")
    assert known_plan(request) is not None
    (tmp_path / "a.mat").write_bytes(b"yet other boxes")
    assert known_plan(request) is None


MISTAKES = {
    "an option of another kind of row": (
        "[rows.random]",
        "[rows.x]\nweights = 'x'\nset = ['steps=1']\n[rows.random]",
        "rows.x: set: no option of a row with weights",
    ),
    "images to rescale on without a rescaling": (
        "[rows.random]",
        "[rows.random]\non = ['photos']",
        "rows.random: on: no option of a row that is pretrained",
    ),
    "a seed that no record holds": (
        "[rows.random]",
        "[rows.x]\ncheckpoint = 'y'\nseed = 1000000000001\n[rows.random]",
        "rows.x.seed: Input should be less than or equal to 4294967295",
    ),
    "two sources of weights": (
        "[rows.random]",
        "[rows.x]\nweights = 'x'\ncheckpoint = 'y'\n[rows.random]",
        "rows.x: weights and checkpoint: a row has one source of weights",
    ),
    "unknown row": ('rows = ["context-gan"]', 'rows = ["contxt"]', "no row 'contxt'; did you mean"),
    "unknown method": ("[rows.random]", "[rows.randm]", "no method 'randm'; did you mean 'random'"),
    "unknown task": ("[tasks.classification]", "[tasks.classify]", "tasks.classify: no such task"),
    "unknown task of a row": ('tasks = ["inp', 'tasks = ["outp', "no task 'outpainting'"),
    "unknown recipe": ('recipe = "smoke"', 'recipe = "smok"', "no recipe 'smok'"),
    "unknown option": ("[rows.random]", "[rows.random]\nset = ['stps=1']", "unknown key 'stps'"),
    "unknown key": ('title = "', 'titel = "', "unknown key 'titel'; did you mean 'title'"),
    "unknown key of a row": (
        "[rows.random]",
        "[rows.random]\nrecip = 'x'",
        "rows.random.recip: unknown key, got 'x'",
    ),
    "a name that is no folder's": (
        "[rows.random]",
        "[rows.My_net]\nmethod = 'random'",
        "rows.My_net: a name has up to 60 small letters, digits, dots and hyphens, got 'My_net'",
    ),
    "a text in place of a list": (
        "[rows.random]",
        "[rows.random]\nset = 'steps=1'",
        "rows.random.set: expected a list in brackets, got 'steps=1'",
    ),
    "unknown data": ("{toy}/unlabeled", "{tyo}/unlabeled", "{tyo}: no such data; did you mean"),
    "no data": ("{toy}/unlabeled", "absent/photos", "absent/photos: no such data"),
    "named data that are absent": (
        "toy = { draw = 4 }",
        'toy = { draw = 4 }\nvoc = "nowhere"\n[rows.denoising-autoencoder]\n'
        'data = ["{voc}/VOC2007"]\n',
        "does not exist; give --data voc=PATH or correct the suite file, whose data are toy, voc",
    ),
    "no TOML": ("[rows.random]", "[rows.random", "not valid TOML"),
    "two cells of one name": ("[rows.random]", "[rows.random]\n[rows.random]", "not valid TOML"),
    "two rows of one line": (
        "[rows.random]",
        "[rows.other]\nmethod = 'random'\n[rows.random]",
        "rows other and random are both of method random",
    ),
    "data called like a cell": (
        "toy = { draw = 4 }",
        'toy = { draw = 4 }\nrandom-p0 = { track = ["{toy}/DAVIS"] }\n[rows.motion]\n'
        'data = ["{random-p0}"]\n',
        "two cells are called 'random-p0'",
    ),
    "a cycle of data": (
        "toy = { draw = 4 }",
        'toy = { draw = 4 }\na = { track = ["{b}"] }\nb = "{a}/patches"',
        "a -> b -> a: a cycle",
    ),
    "a cycle of rows": (
        "[rows.random]",
        "[rows.x]\nrescale = 'y'\n[rows.y]\nrescale = 'x'\n[rows.random]",
        "x -> y -> x: a cycle",
    ),
    "no weights": ("[rows.random]", "[rows.x]\nweights = 'absent'\n[rows.random]", "absent"),
    "no checkpoint": ("[rows.random]", "[rows.x]\ncheckpoint = 'a.pth'\n[rows.random]", "a.pth"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_before_the_first_cell_starts(planned: Planned, name: str) -> None:
    old, new, message = MISTAKES[name]
    with pytest.raises(InputError) as caught:
        planned(TOY, (old, new))
    assert message in str(caught.value)


def test_a_devkit_without_the_year_is_found_before_the_first_cell(
    planned: Planned, tmp_path: Path
) -> None:
    (tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="VOC2007"):
        planned(TOY, ("{toy}/VOCdevkit", "VOCdevkit"))


def test_a_plan_holds_until_its_file_its_data_or_the_request_change(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    file = tmp_path / "suite.toml"
    text = 'title = "t"\n[data]\nphotos = "photos"\n[tasks]\n[rows.context]\ndata = ["{photos}"]\n'
    file.write_text(text)
    (tmp_path / "out").mkdir()
    request = SuiteRequest(file=str(file), out=tmp_path / "out")
    assert known_plan(request) is None
    plan = make_plan(request)
    found = known_plan(request)
    assert isinstance(found, Plan)
    assert [cell.key for cell in found.cells] == [cell.key for cell in plan.cells]
    assert {cell.row for cell in found.cells} - {""} == {"context"}
    other_seed = SuiteRequest(file=str(file), out=tmp_path / "out", seed=1)
    assert known_plan(other_seed) is None
    (tmp_path / "photos" / "b.jpg").write_bytes(b"b")
    assert known_plan(request) is None
    make_plan(request)
    assert known_plan(request) is not None
    file.write_text(text + "# a note\n")
    assert known_plan(request) is None


def test_a_path_can_be_given_in_place_of_the_suites_own(tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text('title = "t"\n[data]\nvoc = "VOCdevkit"\n[tasks]\n')
    assert load_suite(str(file), {"voc": "/elsewhere"}).suite.data == {"voc": "/elsewhere"}
    with pytest.raises(InputError, match="has no such data; did you mean 'voc'"):
        load_suite(str(file), {"vco": "/elsewhere"})
    with pytest.raises(InputError, match=r"did you mean 'quickstart.toml'"):
        load_suite("quickstrt.toml")


def test_only_suites_are_listed() -> None:
    assert {"paper.toml", "toy.toml"} <= set(suite_names())
    assert all(load_suite(name).suite.tasks for name in suite_names())


def test_quickstart_has_every_row_of_table_2(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    plan = make_plan(SuiteRequest(file="quickstart.toml", out=tmp_path / "out"))
    rows = {"imagenet", "random", "autoencoder", "egomotion", "motion", "relative-context"}
    tasks = {"classification", "detection", "segmentation", "inpainting"}
    assert {cell.row for cell in plan.cells} - {""} == rows | {"context", "context-gan"}
    assert {cell.column for cell in plan.cells} - {""} == tasks
    assert "quickstart.toml" in suite_names()
