"""Whether a pretraining learns, said in words while it still can be stopped."""

import logging
from collections.abc import Callable, Sequence

from cebench.training.run_directory import RunDirectory

logger = logging.getLogger("cebench")

BASELINE = "loss_over_mean_colour"
"""Metric: the loss over that of the visible pixels' mean colour; 1 has learned nothing."""
POOL5_ACTIVE = "pool5_active_share"
"""Metric: share of the values of pool5 that are positive."""
DISCRIMINATOR, ADVERSARIAL = "discriminator", "adversarial"
"""Metrics: the discriminator's cross-entropy, 1.39 when it is guessing, and the generator's."""

LEAST_ACTIVE = 0.05
LEAST_DISCRIMINATOR = 0.02
"""Runs that fill holes well have 0.1 to 0.5 on the mean of a tenth of their steps."""
MOST_ADVERSARIAL = 6.0
"""Such runs have 3 to 5: a prediction is called real with a probability of a hundredth or more."""
CHECKS = 10

Lines = Sequence[dict[str, float]]
Symptoms = dict[str, str]
"""Metric -> what is wrong with it, and the remedy."""


class HealthCheck:
    """Warns, once for each metric, of symptoms in what was logged.

    Args:
        run: whose metrics are looked at.
        label: name of the method in messages.
        steps: of the run; it is looked at `CHECKS` times.
        symptoms: of the lines of metrics.jsonl, given them and the steps of the run.
    """

    def __init__(
        self, run: RunDirectory, label: str, steps: int, symptoms: Callable[[Lines, int], Symptoms]
    ) -> None:
        self.run, self.label, self.all_steps, self.symptoms = run, label, steps, symptoms
        self.steps = {steps * part // CHECKS for part in range(1, CHECKS + 1)} - {0}
        self.warned: set[str] = set()

    def check(self, step: int) -> None:
        """Look at the metrics at a step of `steps`."""
        lines = self.run.metrics()
        if step not in self.steps or not lines:
            return
        for metric, message in self.symptoms(lines, self.all_steps).items():
            if metric not in self.warned:
                self.warned.add(metric)
                logger.warning(f"{self.label}: {message}")


def reconstruction_symptoms(lines: Lines, steps: int) -> Symptoms:
    """In the newest line: pool5 has fallen silent, or the mean colour predicts better."""
    active, ratio = lines[-1].get(POOL5_ACTIVE, 1.0), lines[-1].get(BASELINE, 0.0)
    found = {}
    if active < LEAST_ACTIVE:
        found[POOL5_ACTIVE] = (
            f"only {active:.1%} of pool5 is positive: its units are dying; lower "
            "learning_rate or encoder_rate, or set batch_norm=encoder-decoder"
        )
    if ratio >= 1:
        found[BASELINE] = (
            f"the loss is {ratio:.2f} times that of the mean colour of the visible pixels: "
            "nothing is learned yet beyond it; train longer or change learning_rate"
        )
    return found


def adversary_symptoms(lines: Lines, steps: int) -> Symptoms:
    """In the means of the newest tenths of the steps: the discriminator has won.

    Its loss is next to 0 in two of them, or the generator's has grown in three to more than
    `MOST_ADVERSARIAL` (pathak22/context-encoder, issue 43).
    """
    found = {}
    losses = _means_of_tenths(lines, steps, DISCRIMINATOR, 2)
    if losses and max(losses) < LEAST_DISCRIMINATOR:
        found[DISCRIMINATOR] = (
            f"the discriminator's loss stays at {losses[0]:.2g}: it tells every prediction from "
            "the truth, and the generator learns no more from it; lower learning_rate, or raise "
            "generator_rate_factor"
        )
    growing = _means_of_tenths(lines, steps, ADVERSARIAL, 3)
    if growing and growing[0] > MOST_ADVERSARIAL and growing == sorted(growing, reverse=True):
        found[ADVERSARIAL] = (
            f"the adversarial loss keeps growing, to {growing[0]:.1f}: the discriminator wins; "
            "lower learning_rate, or raise generator_rate_factor"
        )
    return found


def _means_of_tenths(lines: Lines, steps: int, metric: str, count: int) -> list[float]:
    """Mean of `metric` in each of the last tenths of the steps, the newest first.

    Empty where fewer than `count` tenths have been logged.
    """
    newest, tenth = lines[-1]["step"], steps / CHECKS
    means = []
    for back in range(count):
        end = newest - back * tenth
        values = [
            line[metric] for line in lines if end - tenth < line["step"] <= end and metric in line
        ]
        if not values:
            return []
        means.append(sum(values) / len(values))
    return means
