"""When a discriminator is said to have won, and a reconstruction to have learned nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from cebench.pretrain.health import (
    ADVERSARIAL,
    BASELINE,
    DISCRIMINATOR,
    POOL5_ACTIVE,
    adversary_symptoms,
    reconstruction_symptoms,
)

STEPS, EVERY = 200, 4


def logged(
    discriminator: Callable[[int], float], adversarial: Callable[[int], float], until: int = STEPS
) -> list[dict[str, float]]:
    steps = range(EVERY, until + 1, EVERY)
    return [
        {"step": step, DISCRIMINATOR: discriminator(step), ADVERSARIAL: adversarial(step)}
        for step in steps
    ]


def test_a_discriminator_that_stays_next_to_0_is_told() -> None:
    lines = logged(lambda step: 0.5 if step <= 140 else 0.004, lambda step: 5)
    assert not adversary_symptoms(lines[:40], STEPS)  # One tenth, 141 to 160, is no state yet.
    found = adversary_symptoms(lines[:45], STEPS)
    assert set(found) == {DISCRIMINATOR}
    assert "the discriminator's loss stays at 0.004" in found[DISCRIMINATOR]


def test_an_adversarial_loss_that_keeps_growing_is_told() -> None:
    found = adversary_symptoms(logged(lambda step: 0.1, lambda step: step / 20), STEPS)
    assert set(found) == {ADVERSARIAL}
    # Of steps 184 to 200.
    assert "keeps growing, to 9.6" in found[ADVERSARIAL]
    fallen = logged(lambda step: 0.1, lambda step: step / 20 if step <= 180 else 8)
    assert not adversary_symptoms(fallen, STEPS)


def test_a_run_that_fills_holes_well_raises_no_alarm() -> None:
    """About as the small recipe's: 0.08 to 0.8 and 2 to 5; and the first steps of every run."""
    rng = np.random.default_rng(0)
    lines = logged(lambda step: rng.uniform(0.08, 0.8), lambda step: rng.uniform(2, 5))
    for count in range(1, len(lines) + 1):
        assert not adversary_symptoms(lines[:count], STEPS)


@pytest.mark.parametrize(
    "lines", [[{"step": 20.0, "loss": 0.1}], logged(lambda _: 0, lambda _: 9, 4)]
)
def test_without_adversary_or_history_nothing_is_said(lines: list[dict[str, float]]) -> None:
    assert not adversary_symptoms(lines, STEPS)


@pytest.mark.parametrize(
    ("active", "ratio", "expected"),
    [
        (0.3, 0.99, {}),
        (0.3, 1.0, {BASELINE: "1.00 times that of the mean colour"}),
        (0.3, 1.25, {BASELINE: "1.25 times that of the mean colour"}),
        (0.049, 0.5, {POOL5_ACTIVE: "only 4.9% of pool5 is positive"}),
    ],
)
def test_the_newest_line_tells_whether_a_reconstruction_learns(
    active: float, ratio: float, expected: dict[str, str]
) -> None:
    lines = [{POOL5_ACTIVE: 0.0, BASELINE: 9.0}, {POOL5_ACTIVE: active, BASELINE: ratio}]
    found = reconstruction_symptoms(lines, STEPS)
    assert set(found) == set(expected)
    assert all(text in found[metric] for metric, text in expected.items())
