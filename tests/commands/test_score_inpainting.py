from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scoring import mistake_of, scores_of
from skimage.metrics import peak_signal_noise_ratio

from cebench.commands.score import score
from cebench.errors import InputError
from cebench.reporting.notes import table_notes
from cebench.reporting.outcomes import rescored
from cebench.reporting.records import Record, load_record, read_records
from cebench.reporting.results import find_outcome
from cebench.reporting.tables import build_tables
from cebench.transfer.run import Request, run_transfer


def _write_pair(tmp_path: Path, size: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    prediction = np.clip(target + rng.integers(-30, 31, target.shape), 0, 255).astype(np.uint8)
    for folder, image in (("true", target), ("found", prediction)):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "a.png")
    return prediction, target


def _inpainting(tmp_path: Path) -> tuple[object, ...]:
    return "inpainting", "--predictions", tmp_path / "found", "--targets", tmp_path / "true"


def test_inpainting_of_a_central_hole_equals_scikit_image(
    runner: CliRunner, tmp_path: Path
) -> None:
    prediction, target = _write_pair(tmp_path)
    found = scores_of(runner, *_inpainting(tmp_path), "--hole", "center:8")
    inside = np.s_[6:14, 6:14]
    error = (prediction[inside].astype(np.float64) - target[inside]) / 255
    assert found["hole"]["mean_l1"] == pytest.approx(np.abs(error).mean(), abs=1e-14)
    assert found["hole"]["mean_l2"] == pytest.approx((error**2).mean(), abs=1e-14)
    psnr = peak_signal_noise_ratio(target[inside], prediction[inside], data_range=255)
    assert found["hole"]["psnr_per_image_mean_db"] == pytest.approx(psnr, abs=1e-10)
    assert found["hole"]["psnr_pooled_db"] == pytest.approx(psnr, abs=1e-10)
    assert found["image"]["psnr_pooled_db"] == pytest.approx(
        peak_signal_noise_ratio(target, prediction, data_range=255), abs=1e-10
    )
    assert 0 < found["hole"]["ssim"] < 1
    assert found["images"] == 1


def test_lamas_names_are_paired(runner: CliRunner, tmp_path: Path) -> None:
    """Its input folder holds a.png and a_mask001.png, its output folder a_mask001.png."""
    prediction, _ = _write_pair(tmp_path)
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[6:14, 6:14] = 255
    Image.fromarray(mask).save(tmp_path / "true" / "a_mask001.png")
    expected = scores_of(runner, *_inpainting(tmp_path), "--hole", "center:8")
    (tmp_path / "found" / "a.png").rename(tmp_path / "found" / "a_mask001.png")
    found = scores_of(runner, *_inpainting(tmp_path), "--masks", tmp_path / "true")
    found.pop("by_missing_share")
    assert found == expected
    # An image whose own name ends so is itself, where its target is called so too.
    (tmp_path / "true" / "a.png").rename(tmp_path / "true" / "b_mask001.png")
    (tmp_path / "true" / "a_mask001.png").unlink()
    (tmp_path / "found" / "a_mask001.png").rename(tmp_path / "found" / "b_mask001.png")
    assert scores_of(runner, *_inpainting(tmp_path), "--hole", "center:8") == expected
    Image.fromarray(prediction).save(tmp_path / "found" / "b_mask002.png")
    message = mistake_of(runner, *_inpainting(tmp_path), "--hole", "center:8")
    assert "true has no image named b for" in message


def test_mask_of_the_same_square_gives_the_same_numbers(runner: CliRunner, tmp_path: Path) -> None:
    _write_pair(tmp_path)
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[6:14, 6:14] = 1
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    by_mask = scores_of(runner, *_inpainting(tmp_path), "--masks", tmp_path / "masks")
    (part,) = by_mask.pop("by_missing_share")
    assert by_mask == scores_of(runner, *_inpainting(tmp_path), "--hole", "center:8")
    # 64 of 400 pixels are 16 %.
    assert part == {"above": 0.1, "up_to": 0.2, **by_mask}


def test_soft_masks_are_cut_at_the_threshold(runner: CliRunner, tmp_path: Path) -> None:
    # All of 100 pixels are off by 51 of 255, and where the mask is 100 bright by 102.
    for name in ("true", "found", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((10, 10), np.uint8)
    mask[:2], mask[2:4] = 255, 100
    for name, image in (("true", mask * 0), ("found", 51 + 51 * (mask == 100)), ("masks", mask)):
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / name / "a.png")
    given = (*_inpainting(tmp_path), "--masks", tmp_path / "masks", "--mask-threshold")
    for threshold, mean in ((100, 0.3), (101, 0.2)):
        found = scores_of(runner, *given, threshold)
        assert found["hole"]["mean_l1"] == pytest.approx(mean)


def test_errors_are_binned_by_the_share_that_is_missing(runner: CliRunner, tmp_path: Path) -> None:
    # Of 100 pixels 10, 11 and 12 are missing, and off by 51, 102 and 153 of 255.
    for folder in ("true", "found", "masks"):
        (tmp_path / folder).mkdir()
    for name, missing, error in (("a", 10, 51), ("b", 11, 102), ("c", 12, 153)):
        mask = (np.arange(100) < missing).reshape(10, 10)
        Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "true" / f"{name}.png")
        for folder, value in (("found", error), ("masks", 255)):
            pixels = (mask * value).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    arguments = (*_inpainting(tmp_path), "--masks", tmp_path / "masks")
    few, more = scores_of(runner, *arguments)["by_missing_share"]
    assert (few["above"], few["up_to"], few["images"]) == (0.0, 0.1, 1)
    assert (more["above"], more["up_to"], more["images"]) == (0.1, 0.2, 2)
    assert few["hole"]["mean_l1"] == pytest.approx(0.2)
    assert more["hole"]["mean_l1"] == pytest.approx((11 * 0.4 + 12 * 0.6) / 23)
    table = runner.invoke(score, [*map(str, arguments)], catch_exceptions=False).stdout
    assert "10 to 20 %                 2" in table


def test_size_averages_areas_of_what_is_larger(runner: CliRunner, tmp_path: Path) -> None:
    # The target is 2 x 2 blocks whose average, 1.75, is rounded to 2 everywhere.
    _write_pair(tmp_path, size=10)
    blocks = np.tile(np.array([[0, 3], [4, 0]], np.uint8), (10, 10))
    Image.fromarray(blocks).save(tmp_path / "true" / "a.png")
    Image.fromarray(np.full((10, 10), 2, np.uint8)).save(tmp_path / "found" / "a.png")
    found = scores_of(runner, *_inpainting(tmp_path), "--hole", "center:4", "--size", 10)
    assert found["image"]["mean_l1"] == 0.0


def test_perfect_prediction_prints_null_in_json_and_inf_in_the_table(
    runner: CliRunner, tmp_path: Path
) -> None:
    _write_pair(tmp_path)
    arguments = [*_inpainting(tmp_path), "--hole", "center:8"]
    arguments[2] = arguments[4]
    found = scores_of(runner, *arguments)
    assert found["hole"]["psnr_per_image_mean_db"] is None
    assert (found["hole"]["mean_l1"], found["hole"]["ssim"]) == (0.0, 1.0)
    result = runner.invoke(score, [*map(str, arguments)], catch_exceptions=False)
    assert "inf" in result.stdout


def test_inpainting_files_that_do_not_fit_are_named(runner: CliRunner, tmp_path: Path) -> None:
    _write_pair(tmp_path)
    arguments = (*_inpainting(tmp_path), "--hole", "center:8")
    extra = tmp_path / "found" / "b.png"
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(extra)
    assert f"{tmp_path / 'true'} has no image named b" in mistake_of(runner, *arguments)
    extra.rename(tmp_path / "found" / "a.bmp")
    assert "are of one image" in mistake_of(runner, *arguments)
    (tmp_path / "found" / "a.bmp").unlink()
    assert "does not fit" in mistake_of(runner, *arguments, "--hole", "center:21")
    Image.fromarray(np.zeros((21, 20, 3), np.uint8)).save(tmp_path / "found" / "a.png")
    assert "a.png is 20 x 21, its target 20 x 20; give --size" in mistake_of(runner, *arguments)


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (np.zeros((20, 20)), "a.png: the mask marks every pixel as visible"),
        (np.full((20, 20), 255), "a.png: the mask marks every pixel as missing"),
        (np.eye(21, 20) * 255, "a.png is 20 x 21, its target 20 x 20; give --size"),
    ],
    ids=["empty", "full", "size"],
)
def test_odd_masks_are_named(
    runner: CliRunner, tmp_path: Path, mask: np.ndarray, problem: str
) -> None:
    _write_pair(tmp_path)
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    message = mistake_of(runner, *_inpainting(tmp_path), "--masks", tmp_path / "masks")
    assert str(tmp_path / "masks") in message
    assert problem in message


@pytest.mark.parametrize(
    "options",
    [[], ["--hole", "center:8", "--masks", "m"], ["--hole", "left:8"], ["--hole", "center:0"]],
)
def test_hole_must_be_given_once_and_be_understood(
    runner: CliRunner, tmp_path: Path, options: list[str]
) -> None:
    result = runner.invoke(score, [*map(str, _inpainting(tmp_path)), *options])
    assert result.exit_code == 2
    assert "center:SIDE" in result.stderr


def test_inpaintings_of_another_program_stand_in_table_1(runner: CliRunner, tmp_path: Path) -> None:
    prediction, target = _write_pair(tmp_path, size=128)
    given = [*_inpainting(tmp_path), "--hole", "center:56", "--size", 128]
    found = scores_of(runner, *given, "--record", tmp_path / "runs" / "lama", "--row", "lama")
    inside = np.s_[36:92, 36:92]
    error = (prediction[inside].astype(np.float64) - target[inside]) / 255
    assert found["hole"]["mean_l1"] == pytest.approx(np.abs(error).mean(), abs=1e-14)
    (table,) = build_tables(read_records(tmp_path / "runs"))
    cells = table.cells[(table.cells["column"] == "mean_l1") & table.cells["headline"]]
    by_row = {row.split(" ")[0]: cell for row, cell in cells.set_index("row").iterrows()}
    assert by_row["lama"]["mean"] == pytest.approx(np.abs(error).mean())
    assert by_row["context-gan"]["published"] == 0.0937
    # What is stored scores to the same numbers.
    ((path, record),) = read_records(tmp_path / "runs")
    values = rescored(find_outcome(path, record), record)
    assert len(values) == len(record.measurements) == 10


def test_masks_beside_the_targets_are_no_part_of_the_recorded_data(
    runner: CliRunner, tmp_path: Path
) -> None:
    _write_pair(tmp_path, size=128)
    given = [*_inpainting(tmp_path), "--hole", "center:56", "--size", 128, "--row", "lama"]
    scores_of(runner, *given, "--record", tmp_path / "plain")
    mask = tmp_path / "true" / "a_mask001.png"
    Image.fromarray(np.zeros((128, 128), dtype=np.uint8)).save(mask)
    scores_of(runner, *given, "--record", tmp_path / "masked")
    plain, masked = (load_record(tmp_path / name / "record.json") for name in ("plain", "masked"))
    assert plain.data == masked.data


def _run_of_two(tmp_path: Path) -> Record:
    """A run in runs/t1 that scores the images b and a in this order, and found/ as LaMa fills them.

    found/ holds b_mask001.png and a_mask001.png.
    """
    rng = np.random.default_rng(0)
    for name in ("train/0", "test/1/b", "test/2/a"):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(image).save(path)
        if name != "train/0":
            (tmp_path / "found").mkdir(exist_ok=True)
            filled = tmp_path / "found" / f"{path.stem}_mask001.png"
            Image.fromarray(image // 2).save(filled)
    return run_transfer(
        Request(
            task="inpainting",
            weights="random",
            data=tmp_path / "data",
            out=tmp_path / "runs" / "t1",
            recipe="smoke",
            changes=('rows=["mean-of-context"]',),
        )
    )


def test_a_record_takes_data_and_images_of_the_run_whose_targets_were_filled(
    runner: CliRunner, tmp_path: Path
) -> None:
    ours = _run_of_two(tmp_path)
    targets = tmp_path / "runs" / "t1" / "targets"
    given = ["inpainting", "--predictions", tmp_path / "found", "--targets", targets]
    given += ["--hole", "center:56", "--size", 128, "--row", "lama", "--record"]
    scores_of(runner, *given, tmp_path / "runs" / "lama")
    theirs = load_record(tmp_path / "runs" / "lama" / "record.json")
    assert theirs.data == ours.data
    (table,) = build_tables(read_records(tmp_path / "runs"))  # Else refused: other data.
    assert {"mean-of-context", "lama (scored-files)"} <= set(table.cells["row"])
    notes = table_notes(table)
    assert "Scored from files that another program wrote: lama (scored-files)." in notes
    assert not [note for note in notes if "Imported weights" in note or "custom" in note]
    scored = table.cells[table.cells["row"] == "lama (scored-files)"].to_dict("records")
    assert {(cell["n"], cell["pretrainings"], len(cell["fine_tunings"])) for cell in scored} == {
        (1, 0, 0)
    }
    ids = [find_outcome(*stored).ids for stored in read_records(tmp_path / "runs")]  # type: ignore[union-attr]
    assert ids == [("b", "a")] * 2  # Else neither compared nor packed.
    for folder, name in ((targets, "a.png"), (tmp_path / "found", "a_mask001.png")):
        (folder / name).unlink()
    with pytest.raises(InputError, match="holds 1 images, its run scored 2"):
        scores_of(runner, *given, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_record_of_predictions_that_are_their_targets(runner: CliRunner, tmp_path: Path) -> None:
    _, target = _write_pair(tmp_path, size=128)
    Image.fromarray(target).save(tmp_path / "found" / "a.png")
    given = [*_inpainting(tmp_path), "--hole", "center:56", "--size", 128, "--row", "lama"]
    with pytest.raises(InputError, match="PSNR is infinite; was the same folder given twice"):
        scores_of(runner, *given, "--record", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_record_is_of_table_1_alone(runner: CliRunner, tmp_path: Path) -> None:
    _write_pair(tmp_path, size=128)
    taken = ["--record", tmp_path / "found", "--row", "lama"]
    new = ["--record", tmp_path / "new"]
    table_1 = ["--hole", "center:56", "--size", 128]
    for given, message in (
        ([*table_1, *new], "--record needs --row"),
        ([*table_1, *new, "--row", "context-gan"], "a row of the paper"),
        ([*table_1, *new, "--row", "la\nma"], r"--row 'la\nma': a name stands in one line"),
        ([*table_1, *taken], "exists and is not empty"),
        (["--hole", "center:50", "--size", 128, *new, "--row", "x"], "Table 1 is about"),
    ):
        assert message in mistake_of(runner, *_inpainting(tmp_path), *given)
    assert not (tmp_path / "new").exists()


def test_a_prediction_that_is_its_target_is_warned_about(runner: CliRunner, tmp_path: Path) -> None:
    _, target = _write_pair(tmp_path)
    Image.fromarray(target).save(tmp_path / "found" / "a.png")
    given = map(str, [*_inpainting(tmp_path), "--hole", "center:8"])
    assert "a.png is its target, pixel for pixel" in runner.invoke(score, [*given]).stderr


def test_the_paper_stands_beside_what_table_1_scores(runner: CliRunner, tmp_path: Path) -> None:
    _write_pair(tmp_path, size=128)
    given = [str(a) for a in (*_inpainting(tmp_path), "--hole", "center:56", "--size", 128)]
    lines = runner.invoke(score, given).stdout.splitlines()
    (row,) = [line.split() for line in lines if line.strip().startswith("context-gan")]
    assert row == ["context-gan", "9.37", "%", "1.96", "%", "18.58", "dB"]
