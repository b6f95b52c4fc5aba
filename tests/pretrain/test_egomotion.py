import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layer_scales import spread_of_rates
from PIL import Image
from power_cuts import power_cut
from torch import Tensor

from cebench.config import load_recipe
from cebench.data.kitti import CameraClip
from cebench.data.poses import relative_motion
from cebench.data.store.ragged import RaggedImages
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.egomotion import EgomotionNetwork
from cebench.pretrain.dry_run import plan
from cebench.pretrain.egomotion import Batch, Egomotion, _ordered_share, load_pairs
from cebench.pretrain.egomotion_pairs import FramePairs, PairDraw, ViewPairs
from cebench.pretrain.options.egomotion import EgomotionRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.run_context import RunContext
from cebench.randomness import numpy_generator
from cebench.toy.drives import draw_drive
from cebench.toy.trees import write_kitti_sequence
from cebench.weights.files import load_weights

QUICK = ("steps=4", "batch_size=4", "held_out_pairs=8", "checkpoint_every=2", "log_every=1")
KITTI = ("source=kitti", "short_side=120", "frame=camera")


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kitti")
    for number, name in enumerate(("00", "06")):
        write_kitti_sequence(root, name, draw_drive(0, number, 12))
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(10):
        coarse = generator.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((220, 180)).save(folder / f"{number}.png")
    return folder


def request(data: Path, out: Path, *changes: str) -> Request:
    return Request(
        method="egomotion", data=(data,), out=out, recipe="smoke", changes=(*QUICK, *changes)
    )


def recipe(*changes: str) -> EgomotionRecipe:
    return load_recipe(EgomotionRecipe, "cebench.pretrain", "egomotion", "smoke", changes)[0]


def pairs_of(data: Path, *changes: str) -> FramePairs | ViewPairs:
    context = RunContext(
        run=None,  # type: ignore[arg-type]
        data=(data,),
        exclude=(),
        region_shapes=None,
        seed=0,
        device=torch.device("cpu"),
        keep=lambda pretrained: None,
    )
    pairs, _ = load_pairs(recipe(*changes), context)
    assert isinstance(pairs, FramePairs | ViewPairs)
    return pairs


@pytest.mark.slow
@pytest.mark.parametrize("changes", [KITTI, (*KITTI, "objective=slowness"), ()])
def test_a_run_leaves_a_trunk_and_its_accuracy_beside_chance(
    kitti: Path, photos: Path, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    path = run_pretraining(request(kitti if changes else photos, tmp_path / "run", *changes))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert weights.sidecar.architecture == "caffenet-trunk"
    assert CaffeNetTrunk().load_state_dict(weights.tensors)
    assert spread_of_rates(weights.tensors) < 3
    factors = weights.tensors["conv1.weight"] / model.tensors["trunk.conv1.weight"]
    assert factors.std() < 1e-5 * factors.mean()
    slow = "objective=slowness" in changes
    assert model.sidecar.architecture == ("slowness" if slow else "egomotion")
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    names = {"near"} if slow else ({"x", "z", "yaw"} if changes else {"x", "y", "turn"})
    assert set(accuracy["chance"]) == names
    assert all(0 <= accuracy[name] <= 1 for name in names)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_recipes_dropout_is_the_networks(photos: Path, share: float) -> None:
    program = Egomotion(pairs_of(photos), recipe(f"dropout={share}"), 0, torch.device("cpu"))
    assert isinstance(program.network, EgomotionNetwork)
    assert program.network.dropout.p == share


def test_the_trunk_is_rescaled_on_images_learned_from(photos: Path) -> None:
    pairs = pairs_of(photos)
    program = Egomotion(pairs, recipe(), 0, torch.device("cpu"))
    generator = numpy_generator(0, "some-images")
    learned, _ = pairs.draw(generator, 5, held_out=False).images(slice(None))
    assert torch.equal(program.some_images(5), learned)


@pytest.mark.slow
def test_a_broken_off_run_ends_with_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    straight = run_pretraining(request(photos, tmp_path / "straight"))
    with power_cut(Egomotion, 3):
        run_pretraining(request(photos, tmp_path / "run"))
    resumed = run_pretraining(request(photos, tmp_path / "run"))
    assert sha256_of(resumed) == sha256_of(straight)


def test_frames_are_of_one_camera_near_each_other_and_labelled_by_their_motion(
    kitti: Path,
) -> None:
    pairs = pairs_of(kitti, *KITTI)
    assert isinstance(pairs, FramePairs)
    assert pairs.count == 24
    rng = np.random.default_rng(0)
    first = rng.integers(0, 24, 4000)
    second = pairs._second(first, np.ones(4000, dtype=np.bool_), rng)
    assert (first // 12 == second // 12).all()
    distance = second - first
    assert (np.abs(distance) <= 7).all()
    middle = np.isin(first % 12, [5, 6])  # 5 frames on either side: 6 and 7 are cut to 5.
    shares = np.bincount(np.abs(distance[middle]), minlength=6) / middle.sum()
    # round(7 U): 0 for a fourteenth, 1 to 4 for a seventh, the rest for 5 and beyond.
    assert shares[:5] == pytest.approx([1 / 14, *[1 / 7] * 4], abs=0.05)
    motions = relative_motion(pairs.poses[first], pairs.poses[second], "camera")
    np.testing.assert_array_equal(pairs._motion(first, second), pairs.classes(motions))
    held_out = pairs.draw(rng, 50, held_out=True)
    one, other = held_out.images(slice(0, 3))
    assert one.shape == other.shape == (3, 3, 115, 115)


@pytest.mark.parametrize("lengths", [(16, 9), (80, 3, 9), (801, 9)])
def test_frames_are_labelled_near_if_and_only_if_up_to_seven_apart(
    lengths: tuple[int, ...],
) -> None:
    """In clips where some frames, or all, have none farther; the last clip is held out."""
    pairs = slow_pairs(lengths)
    clips = np.repeat(np.arange(len(lengths)), lengths)
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        drawn, (first, second) = drawn_frames(pairs, rng, 4000, held_out=held_out)
        near = np.abs(second - first) <= 7
        np.testing.assert_array_equal(drawn.labels[:, 0], near)
        assert (clips[first] == clips[second]).all()
        assert (clips[first] == len(lengths) - 1).all() == held_out
        assert (~near).any()
        alike = (first == second).mean()
        assert alike < 0.2  # round(7 U) is 0 for a fourteenth; at a clip's end half are cut to it.


def test_far_frames_reach_from_eight_to_the_end_of_the_clip() -> None:
    pairs = slow_pairs((80, 9))
    rng = np.random.default_rng(0)
    far = pairs._second(np.full(3000, 30), np.zeros(3000, dtype=np.bool_), rng)
    assert set(far.tolist()) == {*range(23), *range(38, 80)}
    far = pairs._second(np.full(3000, 5), np.zeros(3000, dtype=np.bool_), rng)
    assert set(far.tolist()) == {*range(13, 80)}  # Five frames before it are too few.


def slow_pairs(lengths: tuple[int, ...]) -> FramePairs:
    """Clips of black frames of 8 px, so many each, for crops of 6; the last one is held out."""
    clips = [
        CameraClip("00", f"image_{n}", (Path(),) * length, np.tile(np.eye(3, 4), (length, 1, 1)))
        for n, length in enumerate(lengths)
    ]
    frame = np.zeros((8, 8, 3), np.uint8)
    return FramePairs(
        RaggedImages.from_arrays([frame] * sum(lengths)),
        clips[:-1],
        clips[-1:],
        side=6,
        most_frames=7,
        frame="camera",
        slow=True,
        device=torch.device("cpu"),
    )


def drawn_frames(
    pairs: FramePairs, rng: np.random.Generator, count: int, *, held_out: bool
) -> tuple[PairDraw, list[np.ndarray]]:
    """`count` pairs and which frames they are; both of a pair are cropped at one place."""
    frames: list[np.ndarray] = []
    places: list[tuple[np.ndarray, np.ndarray]] = []

    def crops(index: np.ndarray, y0: np.ndarray, x0: np.ndarray) -> Tensor:
        frames.append(index)
        places.append((y0, x0))
        return torch.empty(0)

    pairs._crops = crops  # type: ignore[method-assign]
    drawn = pairs.draw(rng, count, held_out=held_out)
    drawn.images(slice(None))
    np.testing.assert_array_equal(*places)
    assert {*places[0][0], *places[0][1]} == {0, 1, 2}
    return drawn, frames


def test_accuracy_is_of_the_held_out_pairs_asked_for(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All scores alike: class 0 is the answer; learned from are pairs of class 1, which is chance.

    Pairs 0 to 4 have the labels 0 and 1 in turn.
    """
    program = Egomotion(pairs_of(photos), recipe("held_out_pairs=5"), 0, torch.device("cpu"))

    def batch(generator: object, count: int, own: slice, *, held_out: bool) -> Batch:
        labels = torch.ones(count, 3, dtype=torch.int64)
        labels[[0, 2, 4]] = 0
        return Batch(torch.empty(count), torch.empty(count), labels)

    monkeypatch.setattr(program, "_batch", batch)
    learned = PairDraw(np.ones((9, 3), np.int64), lambda own: (torch.empty(0), torch.empty(0)))
    monkeypatch.setattr(program.pairs, "draw", lambda *given, held_out: held_out or learned)
    monkeypatch.setattr(program, "_outputs", lambda one, other: [torch.zeros(len(one), 7)] * 3)
    accuracy, chance = program.held_out_accuracy()
    assert accuracy == {"x": 0.6, "y": 0.6, "turn": 0.6}
    assert chance == {"x": 0.4, "y": 0.4, "turn": 0.4}


def test_rates_are_halved_and_biases_learn_twice_as_fast(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("optimizer=sgd", "learning_rate=0.01", "warmup_steps=0", "halve_every=2")
    program = Egomotion(pairs_of(photos), recipe(*changes), 0, torch.device("cpu"))
    losses = torch.zeros(3, requires_grad=True)
    monkeypatch.setattr(program, "losses", lambda *batch: losses)
    weights, biases = program.optimizer.param_groups
    rates = []
    for step in range(4):
        program.update(step, Batch(*[torch.empty(0)] * 3))
        rates.append((weights["lr"], biases["lr"]))
    np.testing.assert_allclose(rates, [(0.01, 0.02)] * 2 + [(0.005, 0.01)] * 2)


def test_accuracy_of_slowness_is_chance_where_all_pairs_are_near() -> None:
    distances = torch.tensor([1.0, 2.0, 3.0])
    assert _ordered_share(distances, torch.tensor([True, True, False])) == 1
    assert _ordered_share(distances, torch.tensor([True, False, True])) == 0.5
    assert _ordered_share(distances, torch.ones(3, dtype=torch.bool)) == 0.5


@pytest.mark.parametrize(
    ("changes", "exclude", "message"),
    [
        ((*KITTI, "objective=slowness", "most_frames=11"), (), "the longest has 12 frames.* 13"),
        (KITTI, ("photos",), "--exclude: egomotion compares KITTI's frames with no photographs"),
    ],
)
def test_what_kitti_cannot_give_is_one_line(
    kitti: Path, tmp_path: Path, changes: tuple[str, ...], exclude: tuple[str, ...], message: str
) -> None:
    given = replace(request(kitti, tmp_path / "run", *changes), exclude=tuple(map(Path, exclude)))
    for start in (run_pretraining, plan):
        with pytest.raises(InputError, match=message) as caught:
            start(given)
        assert "\n" not in str(caught.value)


def test_labels_of_views_are_their_shift_and_turn(photos: Path) -> None:
    """Along the axes of the first view: turned by 90 degrees, a shift down is one to its right."""
    pairs = pairs_of(photos, "shift_classes=3", "turn_classes=4")
    assert isinstance(pairs, ViewPairs)
    first = np.array([[0, 0, 0], [0, 0, np.pi / 2], [2, 2, 0]])
    second = np.array([[20, -20, 0.3], [0, 20, np.pi / 2], [2, 2, -0.3]])
    assert pairs._classes(first, second).tolist() == [[2, 0, 3], [2, 1, 2], [1, 1, 0]]


def test_views_with_no_shift_and_turn_are_equal(photos: Path) -> None:
    pairs = pairs_of(photos, "most_shift=0.001", "most_turn_degrees=0.001")
    one, other = pairs.draw(np.random.default_rng(0), 3, held_out=False).images(slice(None))
    torch.testing.assert_close(one, other, atol=0.1, rtol=0)


@pytest.mark.long
def test_a_shift_is_learned_where_it_can_be_seen(tmp_path: Path) -> None:
    """A bright square in the middle: a constant answer to left, right, up, down costs 2 ln 2."""
    picture = np.full((158, 158, 3), 40, np.uint8)
    picture[67:91, 67:91] = 220
    (tmp_path / "squares").mkdir()
    for number in range(4):
        Image.fromarray(picture + number).save(tmp_path / "squares" / f"{number}.png")
    changes = (
        "shift_classes=2",
        "turn_classes=1",
        "most_shift=40",
        "most_turn_degrees=0.01",
        "short_side=158",
        "steps=40",
        "batch_size=16",
        "log_every=5",
        "warmup_steps=5",
        "held_out_images=1",
        "held_out_pairs=64",
    )
    run_pretraining(request(tmp_path / "squares", tmp_path / "run", *changes))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert min(json.loads(line)["loss"] for line in lines[-2:]) < 0.8 * 2 * np.log(2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("source=kitti",), "layout of KITTI odometry"),
        (("objective=slowness",), "objective=slowness needs source=kitti"),
        (("short_side=130",), "short_side=130 is less than the 168 pixels"),
        (("held_out_images=0",), "held_out_images must be positive"),
        (("batch_size=1",), "batch_norm=true needs two pairs in a batch at side=115"),
    ],
)
def test_bad_input_is_one_line(
    photos: Path, tmp_path: Path, changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_pretraining(request(photos, tmp_path / "run", *changes))
    assert "\n" not in str(caught.value)


def test_the_paper_recipe_is_the_released_codes() -> None:
    paper, _ = load_recipe(EgomotionRecipe, "cebench.pretrain", "egomotion", "paper")
    assert (paper.source, paper.frame) == ("kitti", "sequence")
    assert (paper.most_frames, paper.side) == (7, 227)
    assert (paper.steps, paper.batch_size, paper.halve_every) == (60_000, 128, 20_000)
    assert (paper.learning_rate, paper.weight_decay, paper.init) == (1e-3, 5e-4, "caffenet")
