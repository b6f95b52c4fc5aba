"""Filling holes: the geometry of both networks, and that nothing hidden is ever seen."""

import dataclasses

import numpy as np
import pytest
import torch
from samples import SIDECAR

from cebench.errors import InputError
from cebench.inpainting.networks import (
    Inpainter,
    load_context_features,
    load_inpainter,
    network_hole,
)
from cebench.models.context_encoder import ContextEncoder
from cebench.models.inpainting_gan import PUBLISHED_FILL_RGB, InpaintingGenerator
from cebench.weights.files import Weights, random_weights

CPU = torch.device("cpu")


def hole_of(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[rows, columns] = True
    return hole


HOLE = hole_of(128, 128, slice(36, 92), slice(36, 92))


def pictures(count: int, height: int = 128, width: int = 128) -> np.ndarray:
    size = (count, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def generator_weights(region: str) -> Weights:
    values = {"side": 128, "region": region, "bottleneck": 20, "overlap": 4, "objective": "l2"}
    network = InpaintingGenerator(128, region, 20, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    sidecar = dataclasses.replace(
        SIDECAR,
        architecture="inpainting-generator",
        method="context-gan-l2",
        recipe_values=values,
        recipe_sha256="",
    )
    return Weights(name="run/model", tensors=network.state_dict(), sidecar=sidecar)


def load(kind: str) -> Inpainter:
    if kind == "context-encoder":
        tensors = ContextEncoder(generator=torch.Generator().manual_seed(0)).state_dict()
        return load_inpainter(Weights(name="run/model", tensors=tensors, sidecar=SIDECAR), CPU)
    return load_inpainter(generator_weights(kind), CPU)


@pytest.fixture(scope="module", params=["context-encoder", "center", "image"])
def inpainter(request: pytest.FixtureRequest) -> Inpainter:
    return load(request.param)


def test_only_the_hole_is_replaced_and_what_was_in_it_never_matters(inpainter: Inpainter) -> None:
    images = pictures(2)
    changed = images.copy()
    changed[:, HOLE] = 255 - changed[:, HOLE]
    filled = inpainter.fill(images, HOLE)
    np.testing.assert_array_equal(filled[:, ~HOLE], images[:, ~HOLE])
    assert (filled[:, HOLE] != images[:, HOLE]).mean() > 0.5
    np.testing.assert_array_equal(filled, inpainter.fill(changed, HOLE))
    for layer in inpainter.layers:
        before = inpainter.features(images, HOLE, layer)
        np.testing.assert_array_equal(before, inpainter.features(changed, HOLE, layer))
        assert before.dtype == np.float32


def test_central_generator_pastes_the_middle_of_its_64_predicted_pixels() -> None:
    weights = generator_weights("center")
    network = InpaintingGenerator(128, "center", 20).eval()
    network.load_state_dict(weights.tensors)
    image = pictures(1)
    shown = image.astype(np.float32)
    shown[:, HOLE] = (117, 104, 123)
    with torch.no_grad():
        out = network(torch.from_numpy(shown).permute(0, 3, 1, 2) / 127.5 - 1)
    expected = np.rint((out[0].permute(1, 2, 0).numpy() + 1) * 127.5)[4:60, 4:60]
    filled = load_inpainter(weights, CPU).fill(image, HOLE)[0, 36:92, 36:92]
    assert np.abs(filled - expected).max() <= 1
    assert PUBLISHED_FILL_RGB == (117, 104, 123)


def test_central_generator_sees_none_of_its_square_whatever_part_is_missing() -> None:
    inpainter = load("center")
    part = hole_of(128, 128, slice(50, 60), slice(40, 80))
    image = pictures(1)
    changed = image.copy()
    changed[:, HOLE & ~part] = 0  # visible, but it was trained not to look there
    np.testing.assert_array_equal(
        inpainter.fill(image, part)[:, part], inpainter.fill(changed, part)[:, part]
    )


def test_central_generator_refuses_a_hole_beyond_its_square_and_others_take_it() -> None:
    low = hole_of(128, 128, slice(37, 93), slice(36, 92))
    assert not load("center").accepts(low)
    with pytest.raises(InputError, match="central 56 x 56 of 128 x 128"):
        load("center").fill(pictures(1), low)
    for kind in ("context-encoder", "image"):
        assert load(kind).accepts(low)
        assert load(kind).fill(pictures(1), low).shape == (1, 128, 128, 3)


@pytest.mark.parametrize("missing", [False, True])
def test_a_hole_that_is_empty_or_everything_is_refused(inpainter: Inpainter, missing: bool) -> None:
    with pytest.raises(InputError, match="part of each image must be missing"):
        inpainter.fill(pictures(1), np.full((128, 128), missing))


def test_trunk_files_describe_contexts_and_fill_nothing() -> None:
    weights = random_weights(0)
    features = load_context_features(weights, CPU).features(pictures(2), HOLE)
    assert features.shape == (2, 9216)
    with pytest.raises(
        InputError, match=r"random: holds a caffenet-trunk of method random, which has no decoder"
    ):
        load_inpainter(weights, CPU)
    with pytest.raises(InputError, match="layer 'fc7': these weights have pool5; name one"):
        load_context_features(weights, CPU).features(pictures(1), HOLE, "fc7")


def test_rows_of_the_networks_hole_at_both_sides() -> None:
    np.testing.assert_array_equal(network_hole(HOLE, 128), HOLE)
    large = hole_of(227, 227, slice(64, 163), slice(64, 163))
    np.testing.assert_array_equal(network_hole(HOLE), large)
    np.testing.assert_array_equal(network_hole(large, 128), HOLE)
